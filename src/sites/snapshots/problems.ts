// What can go wrong with snapshots of sites. Apart as each room's catalogue is.
import { makeCatalogue } from '../../lib/errors.ts';

export const snapshotProblems = makeCatalogue('snapshot', {
  none: {
    status: 404,
    title: 'There is no such snapshot',
    detail: (a: { site: string; number: number; known: string }) =>
      `The site ${a.site} has no snapshot ${a.number} that is whole; it has: ${a.known}.`,
    todo: (a) => `Choose one of \`espalier site snapshots ${a.site}\`.`,
  },
  elsewhere: {
    status: 409,
    title: 'The snapshot lies where the site no longer is',
    detail: (a: { site: string; number: number; there: string; here: string }) =>
      `Snapshot ${a.number} of ${a.site} lies on ${a.there}, and the site is on ${a.here} now.`,
    todo: () => 'Move the site back there first (`espalier site move`), then restore it.',
  },
  'newer-image': {
    status: 409,
    title: "The snapshot is of a newer version than the pool's image",
    detail: (a: { site: string; number: number; image: string; now: string }) =>
      `Snapshot ${a.number} of ${a.site} was taken on the image ${a.image}; its pool has ${a.now}, whose code cannot read newer tables.`,
    todo: (a) => `Roll the pool to ${a.image} or a newer one first (\`espalier pool roll\`).`,
  },
  'too-many': {
    status: 409,
    title: 'The site has too many snapshots',
    detail: (a: { site: string; most: number }) =>
      `The site ${a.site} has ${a.most} snapshots, the most that one may have: each holds a dump and the blocks of its files.`,
    todo: (a) => `Remove some with \`espalier site delete-snapshot ${a.site} NUMBER\`.`,
  },
  'copy-failed': {
    status: 500,
    title: "The site's files could not be copied",
    detail: (a: { site: string; why: string }) => `The files of ${a.site} could not be copied: ${a.why}`,
    todo: () => 'What was begun is taken back. Free some disk if it is full, then try again.',
  },
});
