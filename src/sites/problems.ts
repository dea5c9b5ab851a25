// What can go wrong with sites. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const siteProblems = makeCatalogue('site', {
  taken: {
    status: 409,
    title: 'The site exists already',
    detail: (a: { name: string; state: string }) => `There is a site named ${a.name}; it is ${a.state}.`,
    todo: (a) => `Choose another name, or look at it with \`espalier site show ${a.name}\`.`,
  },
  'host-taken': {
    status: 409,
    title: 'The host name is taken',
    detail: (a: { host: string; site: string }) => `The host name ${a.host} belongs to the site ${a.site}.`,
    todo: () => 'Choose another host name, or take it from that site first with `espalier site set-hosts`.',
  },
  'host-overlaps': {
    status: 409,
    title: "The host name is a parent or child of another site's",
    detail: (a: { host: string; other: string; site: string }) =>
      `${a.host} and ${a.other} of the site ${a.site} lie one below the other, so they would share cookies.`,
    todo: () => 'Choose a host name beside it, not below or above it.',
  },
  'wrong-pool': {
    status: 409,
    title: 'The pool is of another kind',
    detail: (a: { pool: string; app: string }) => `The pool ${a.pool} does not serve sites of ${a.app}.`,
    todo: (a) =>
      `Choose one that does (\`espalier pool list\`), or create it: \`espalier pool create NAME --app ${a.app}\`.`,
  },
  'unknown-app': {
    status: 400,
    title: 'There is no such app',
    detail: (a: { app: string; known: string }) => `There is no app "${a.app}"; there are: ${a.known}.`,
    todo: () => 'Choose one of them, or add a recipe (docs/how-to/add-an-app.md).',
  },
  'unknown-setting': {
    status: 400,
    title: 'The app has no such setting',
    detail: (a: { app: string; setting: string; known: string }) =>
      `${a.app} has no setting "${a.setting}"; it has: ${a.known}.`,
    todo: () => 'Correct the name and try again; nothing was changed.',
  },
  'wrong-state': {
    status: 409,
    title: 'The site is in another state',
    detail: (a: { site: string; state: string; verb: string; needed: string }) =>
      `The site ${a.site} is ${a.state}; to ${a.verb} it, it must be ${a.needed}.`,
    todo: (a) => `Look at it with \`espalier site show ${a.site}\`.`,
  },
  'install-failed': {
    status: 500,
    title: "The app's installer failed",
    detail: (a: { site: string; code: number; output: string }) =>
      `The installer of ${a.site} ended with exit code ${a.code}: ${a.output}`,
    todo: () => 'Everything was taken back. Read the output above; mend the recipe or the settings, then try again.',
  },
  'no-held-mail': {
    status: 500,
    title: 'The held mail cannot be read',
    detail: (a: { site: string; why: string }) => `What ${a.site} would have sent cannot be read: ${a.why}`,
    todo: () =>
      "Exit code 127: the pool's image is older than this; bring a newer one (`espalier image refresh`, `espalier pool roll`).",
  },
  'other-version': {
    status: 409,
    title: 'The pool runs another version of the app',
    detail: (a: { site: string; app: string; has: string; pool: string; there: string }) =>
      `The site ${a.site} is of ${a.app} ${a.has}, and the pool ${a.pool} runs ${a.there}.`,
    todo: (a) =>
      `Bring both to one version first: the older one's pool with \`espalier pool roll\` or \`espalier wave create\`, then move ${a.site}.`,
  },
  'same-pool': {
    status: 409,
    title: 'The site lives there already',
    detail: (a: { site: string; pool: string }) => `${a.site} lives on the pool ${a.pool}.`,
    todo: () => 'Name another pool of the app (`espalier pool list`).',
  },
  'other-server': {
    status: 409,
    title: 'The files lie on a server that is away',
    detail: (a: { from: string; to: string; server: string }) =>
      `Between ${a.from} and ${a.to} files are carried, and ${a.server}, where some lie, is not ready.`,
    todo: (a) => `Bring ${a.server} back (\`espalier server show ${a.server}\`), or choose another pool.`,
  },
  'pause-too-long': {
    status: 409,
    title: 'The pause would be too long',
    detail: (a: { site: string; pauseS: number; maxS: number; why: string }) =>
      `${a.site} would be held for about ${a.pauseS} s, and ${a.maxS} s are allowed: ${a.why}.`,
    todo: () => 'It is served where it was. Try at a quieter time, or allow more with --max-pause.',
  },
  'none-to-move': {
    status: 409,
    title: 'No site of the pool can be moved',
    detail: (a: { pool: string }) => `No ready or suspended site lives on ${a.pool}.`,
    todo: () => 'Look at `espalier site list`; archived sites are moved when they are resumed.',
  },
  'carrier-away': {
    status: 503,
    title: 'The files cannot be read from their server yet',
    detail: (a: { site: string; why: string }) =>
      `The container that reads the files of ${a.site} is not reached: ${a.why}`,
    todo: () => 'It is tried again; if it goes on, `espalier doctor` says whether the servers reach each other.',
    retryable: true,
  },
  'copy-failed': {
    status: 500,
    title: "The site's files could not be copied",
    detail: (a: { site: string; why: string }) => `The files of ${a.site} could not be copied: ${a.why}`,
    todo: () => 'Everything was taken back. Free some disk if it is full, then try again.',
  },
  'rewrite-failed': {
    status: 500,
    title: "The app's command for links failed",
    detail: (a: { site: string; code: number; output: string }) =>
      `The recipe's rewrite of ${a.site} ended with exit code ${a.code}: ${a.output}`,
    todo: () =>
      "Everything was taken back. Exit code 127: the pool's image is older than the recipe; roll the pool to a newer one (`espalier pool roll`).",
  },
  'upgrade-failed': {
    status: 500,
    title: "The app's upgrade of its tables failed",
    detail: (a: { site: string; code: number; output: string }) =>
      `The upgrade of the tables of ${a.site} ended with exit code ${a.code}: ${a.output}`,
    todo: () =>
      'Everything was taken back. Read the output above; the data may be damaged or too old for this version.',
  },
  'too-many-labels': {
    status: 409,
    title: 'The site has too many labels',
    detail: (a: { site: string; most: number }) => `The site ${a.site} may have ${a.most} labels at most.`,
    todo: (a) => `Take some away: \`espalier site label ${a.site} key=\`. Nothing was changed.`,
  },
  'late-upgrade-failed': {
    status: 500,
    title: "The app's upgrade failed",
    detail: (a: { site: string; code: number; output: string }) =>
      `A wave passed while ${a.site} was closed. Its own upgrade ended with exit code ${a.code} now: ${a.output}`,
    todo: () => 'It stays closed. Mend what the output above says, then try again.',
  },
  'check-failed': {
    status: 503,
    title: 'The site does not serve its first page yet',
    detail: (a: { site: string; node: string; why: string }) => `${a.node} does not serve ${a.site}: ${a.why}.`,
    todo: () => 'It is tried again; if it goes on, look at the log of the site on that node.',
    retryable: true,
  },
  'no-first-password': {
    status: 404,
    title: 'The first password is not kept',
    detail: (a: { site: string }) => `There is no first password of ${a.site} any more.`,
    todo: () => "Set a new one in the app itself, with its own 'forgotten password'.",
  },
  'archive-failed': {
    status: 500,
    title: 'The final backup failed',
    detail: (a: { site: string; why: string }) => `The files of ${a.site} could not be packed: ${a.why}`,
    todo: () => 'The site is as it was. Free some disk if it is full, then try again.',
  },
});
