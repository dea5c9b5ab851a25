// What can go wrong with database servers and cache servers as things that are made, chosen and removed. Each of the
// two rooms has a catalogue of its own made from these entries; what their engines say is in the engines' catalogues.
import type { Catalogue } from '../lib/errors.ts';
import type { ServiceNoun } from './noun.ts';

export type ServiceProblems = Catalogue<ReturnType<typeof makeServiceEntries>>;

export function makeServiceEntries(noun: ServiceNoun) {
  return {
    taken: {
      status: 409,
      title: `There is a ${noun} server of that name`,
      detail: (a: { name: string; state: string }) => `The ${noun} server ${a.name} exists already; it is ${a.state}.`,
      todo: () => `Choose another name; \`espalier ${noun} list\` shows those in use.`,
    },
    'in-use': {
      status: 409,
      title: `Sites live on this ${noun} server`,
      detail: (a: { name: string; sites: number }) => `${a.sites} sites live on the ${noun} server ${a.name}.`,
      todo: () => 'Delete those sites first; archived ones count until they are purged.',
    },
    'holds-backups': {
      status: 409,
      title: `This ${noun} server holds backups`,
      detail: (a: { name: string; files: number }) => `The ${noun} server ${a.name} holds ${a.files} backups.`,
      todo: () => 'Copy what you need, then delete it with --delete-backups.',
    },
    'not-ready': {
      status: 409,
      title: `This ${noun} server is not ready`,
      detail: (a: { name: string; state: string; reason: string }) =>
        `The ${noun} server ${a.name} is ${a.state}: ${a.reason}.`,
      todo: () => `Wait until \`espalier ${noun} list\` shows it ready, then try again.`,
    },
    'none-ready': {
      status: 503,
      title: `No ${noun} server is ready`,
      detail: (a: { why: string }) => `No ${noun} server can take a site now: ${a.why}.`,
      todo: () => `It is tried again by itself; \`espalier ${noun} list\` tells what is missing.`,
      retryable: true,
    },
    full: {
      status: 507,
      title: `Every ${noun} server is full`,
      detail: (a: { why: string }) => `Every ${noun} server has as many sites as it may have: ${a.why}.`,
      todo: () => `Add one with \`espalier ${noun} create\`, or raise a limit with \`espalier ${noun} set-max-sites\`.`,
    },
    'volume-exists': {
      status: 409,
      title: 'There is a volume of that name',
      detail: (a: { volume: string }) =>
        `The volume ${a.volume} exists already and may hold data of another ${noun} server.`,
      todo: () => 'Choose another name, or delete that volume when its data is not needed.',
    },
    'data-gone': {
      status: 500,
      title: `The data of this ${noun} server is gone`,
      detail: (a: { name: string }) =>
        `A volume of the ${noun} server ${a.name} does not exist; an empty one is not put in its place.`,
      todo: () => 'Bring the volume back from a backup of the storage pool; the server then starts by itself.',
    },
  };
}
