// What can go wrong with waves. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const waveProblems = makeCatalogue('wave', {
  'under-way': {
    status: 409,
    title: 'The pool has a wave already',
    detail: (a: { pool: string; wave: string; state: string; why: string }) =>
      `The wave ${a.wave} of ${a.pool} is ${a.state}: ${a.why}.`,
    todo: (a) => `Let it end, \`espalier wave resume ${a.wave}\`, or \`espalier wave abort ${a.wave}\`.`,
  },
  'two-images': {
    status: 409,
    title: 'The sites of the pool are on two images',
    detail: (a: { pool: string; own: string; other: string; sites: number }) =>
      `${a.sites} sites of ${a.pool} are on ${a.other}, the others on ${a.own}. A third image at the same time is not possible.`,
    todo: (a) =>
      `Bring them together first: \`espalier wave list --pool ${a.pool}\` shows the wave that left them, \`espalier wave resume\` tries its sites again.`,
  },
  'has-image': {
    status: 409,
    title: 'The sites have that image already',
    detail: (a: { pool: string; image: string }) => `All sites of ${a.pool} are on ${a.image}.`,
    todo: () => 'Choose another image: `espalier image list`.',
  },
  'no-upgrade': {
    status: 409,
    title: 'The app cannot upgrade its tables',
    detail: (a: { app: string }) =>
      `The recipe of ${a.app} has no command that brings a site's tables to a new version.`,
    todo: () => 'Add `site.upgrade` to the recipe, or use `espalier pool roll`, which changes code only.',
  },
  'no-sites': {
    status: 409,
    title: 'There is no site to upgrade',
    detail: (a: { pool: string; which: string }) => `${a.pool} has no site ${a.which} that is ready or suspended.`,
    todo: () => '`espalier site list` shows sites with their states; `espalier site label` gives them labels.',
  },
  'unknown-canary': {
    status: 409,
    title: 'The canary is no site of the wave',
    detail: (a: { site: string; pool: string }) =>
      `${a.site} is no site of ${a.pool} that is ready and among those chosen.`,
    todo: () => 'Name one that is: `espalier site list`.',
  },
  'not-under-way': {
    status: 409,
    title: 'The wave is over',
    detail: (a: { wave: string; state: string; why: string }) => `The wave ${a.wave} is ${a.state}: ${a.why}.`,
    todo: () => 'Begin another one: `espalier wave create`.',
  },
  'nothing-left': {
    status: 409,
    title: 'The wave has nothing left to do',
    detail: (a: { wave: string; why: string }) =>
      `The wave ${a.wave} is running, or all of its sites are upgraded: ${a.why}.`,
    todo: (a) => `Look at it: \`espalier wave show ${a.wave}\`.`,
  },
  'would-lose': {
    status: 409,
    title: 'What was entered since would be lost',
    detail: (a: { wave: string; sites: number; since: string }) =>
      `${a.sites} sites of the wave ${a.wave} are upgraded and have been used since, the first since ${a.since}. Brought back to their snapshots they lose what was entered meanwhile.`,
    todo: (a) =>
      `Leave them on the new image (\`espalier wave abort ${a.wave}\`), or say that it may be lost: \`espalier wave abort ${a.wave} --back --accept-loss\`. A last snapshot of each is taken either way.`,
  },
  'no-way-back': {
    status: 409,
    title: 'The snapshots from before are not kept any more',
    detail: (a: { wave: string; sites: number; first: string }) =>
      `${a.sites} sites of the wave ${a.wave}, ${a.first} first, were upgraded when it was done once already; their snapshots are gone.`,
    todo: (a) => `Leave them on the new image: \`espalier wave abort ${a.wave}\`.`,
  },
  'not-quiet': {
    status: 503,
    title: 'A command of the site still runs',
    detail: (a: { site: string; node: string; why: string }) =>
      `A command of ${a.site} that was cut off could not be ended on ${a.node}: ${a.why}`,
    todo: () => 'It is tried again; `espalier node show` says how the node is.',
    retryable: true,
  },
  'upgrade-failed': {
    status: 500,
    title: "The app's upgrade failed",
    detail: (a: { site: string; code: number; output: string }) =>
      `The upgrade of ${a.site} ended with exit code ${a.code}: ${a.output}`,
    todo: (a) => `${a.site} was brought back as it was. Mend it or the image, then \`espalier wave resume\`.`,
  },
  'worse-than-before': {
    status: 500,
    title: 'The site is worse than before',
    detail: (a: { site: string; why: string }) => `After its upgrade ${a.site} is worse than before: ${a.why}.`,
    todo: (a) => `${a.site} was brought back as it was. Mend it or the image, then \`espalier wave resume\`.`,
  },
});
