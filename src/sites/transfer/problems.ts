// What can go wrong when sites are carried in files. Apart as each room's catalogue is.
import { makeCatalogue } from '../../lib/errors.ts';

export const transferProblems = makeCatalogue('transfer', {
  'no-upload': {
    status: 404,
    title: 'There is no such upload',
    detail: (a: { id: string }) => `There is no upload ${a.id}; uploads that nobody used go after a day.`,
    todo: () => 'Begin again; nothing was changed.',
  },
  'wrong-offset': {
    status: 409,
    title: 'The upload goes on elsewhere',
    detail: (a: { id: string; offset: number; bytes: number }) =>
      `The upload ${a.id} has ${a.bytes} bytes; a piece for ${a.offset} does not follow.`,
    todo: (a) => `Go on at ${a.bytes}.`,
  },
  'not-an-export': {
    status: 400,
    title: 'The file is no export of a site',
    detail: (a: { why: string }) => `The file cannot be read as an export: ${a.why}.`,
    todo: () =>
      'Take a file that `espalier site export` made. For an installation from elsewhere give --app, --dump and --files.',
  },
  'newer-format': {
    status: 409,
    title: 'The export is of a newer format',
    detail: (a: { version: number; known: number }) =>
      `The file is of format ${a.version}; this controller reads up to ${a.known}.`,
    todo: () => 'Bring this controller to a newer version first.',
  },
  damaged: {
    status: 409,
    title: 'The export is damaged',
    detail: (a: { part: string }) => `The checksum of ${a.part} is not the one in the manifest. Nothing was changed.`,
    todo: () => 'Copy the file again, or export the site again.',
  },
  'newer-app': {
    status: 409,
    title: "The data are of a newer version than the pool's image",
    detail: (a: { app: string; version: string; pool: string; has: string }) =>
      `The data were written by ${a.app} ${a.version}; the pool ${a.pool} has ${a.has}, whose code cannot read newer tables.`,
    todo: (a) => `Build a newer image (\`espalier image refresh ${a.app}\`) and roll the pool to it, then try again.`,
  },
  'not-importable': {
    status: 400,
    title: 'The app cannot take in installations from elsewhere',
    detail: (a: { app: string }) => `The recipe of ${a.app} has no section \`import\`.`,
    todo: () => 'Add one (docs/how-to/add-an-app.md), or import an export of Espalier.',
  },
  'wrong-file': {
    status: 400,
    title: 'The file cannot be read',
    detail: (a: { why: string }) => `The file cannot be read: ${a.why}. Nothing was changed.`,
    todo: () => 'Pack it anew by gzip or zstd, or give it as it is.',
  },
  'wrong-dump': {
    status: 400,
    title: 'The dump is not of that app',
    detail: (a: { app: string; why: string }) => `The dump holds no ${a.app}: ${a.why}. Everything was taken back.`,
    todo: () => 'Give the right app, or the dump of the right database.',
  },
  lacks: {
    status: 409,
    title: 'The image lacks what the installation needs',
    detail: (a: { app: string; missing: string }) =>
      `The installation uses what the pool's image of ${a.app} lacks: ${a.missing}. Without all of it no page can be shown. Everything was taken back.`,
    todo: (a) =>
      `Put it into a seed (\`espalier seed create NAME --app ${a.app}\`), bake an image, roll the pool to it, and import again; or import now with --accept-missing and do that afterwards.`,
  },
  'read-failed': {
    status: 500,
    title: 'The imported data could not be read',
    detail: (a: { site: string; code: number; output: string }) =>
      `The recipe's command that looks at the data of ${a.site} ended with exit code ${a.code}: ${a.output}`,
    todo: () =>
      "Everything was taken back. Exit code 127: the pool's image is older than the recipe; build one (`espalier image refresh`) and roll the pool.",
  },
  'unpack-failed': {
    status: 500,
    title: 'The files could not be unpacked',
    detail: (a: { site: string; why: string }) => `The files of ${a.site} could not be packed or unpacked: ${a.why}`,
    todo: () => 'Everything was taken back. Free some disk if it is full, or look at the archive.',
  },
  'not-packed': {
    status: 409,
    title: 'The snapshot is not packed for an export',
    detail: (a: { site: string; number: number }) => `Snapshot ${a.number} of ${a.site} is no export.`,
    todo: (a) => `Use \`espalier site export ${a.site} --to FILE\`.`,
  },
});
