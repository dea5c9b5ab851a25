// What can go wrong with secrets. Apart so that the key file and the table share the catalogue.
import { makeCatalogue } from '../lib/errors.ts';

export const secretProblems = makeCatalogue('secrets', {
  'key-file-open': {
    status: 500,
    title: 'Others may read the key of the secrets',
    detail: (a: { path: string; mode: string }) => `${a.path} has the mode ${a.mode}.`,
    todo: (a) => `If nobody else can have read it, run \`chmod 600 ${a.path}\`, then start again.`,
  },
  'key-file-broken': {
    status: 500,
    title: 'The key file of the secrets cannot be read',
    detail: (a: { path: string }) => `${a.path} does not hold what Espalier wrote there.`,
    todo: () => 'Put back the copy from your backup; without it the stored secrets cannot be decrypted.',
  },
  'key-missing': {
    status: 500,
    title: 'A key of the secrets is missing',
    detail: (a: { path: string; keyId: string }) =>
      `The database has secrets that need the key ${a.keyId}, which is not in ${a.path}.`,
    todo: () =>
      'Put back the key file that belongs to this database: from a backup, or from another controller of the same database.',
  },
  'not-genuine': {
    status: 500,
    title: 'A stored secret was changed',
    detail: (a: { name: string }) => `The stored secret ${a.name} is not what Espalier stored under this name.`,
    todo: () => 'Find out who changed the database; then restore it from a backup, or set the secret anew.',
  },
});
