// What can go wrong with pools and nodes. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const poolProblems = makeCatalogue('pool', {
  taken: {
    status: 409,
    title: 'The pool exists already',
    detail: (a: { pool: string }) => `There is a pool named ${a.pool}.`,
    todo: () => 'Choose another name, or use `espalier pool scale` to change that one.',
  },
  'in-use': {
    status: 409,
    title: 'The pool still has sites',
    detail: (a: { pool: string; sites: number }) => `${a.sites} sites live on the pool ${a.pool}.`,
    todo: () =>
      'Move them (`espalier site move`) or delete them first (`espalier site list`); archived ones count until they are purged.',
  },
  'disk-shrinks': {
    status: 409,
    title: 'The disk of a living node only grows',
    detail: (a: { pool: string; hadGib: number; wantsGib: number }) =>
      `The nodes of ${a.pool} have ${a.hadGib === 0 ? 'disks without a bound' : `disks of ${a.hadGib} GiB`}; ${a.wantsGib} GiB may be too little for what is on them.`,
    todo: () => 'Make another pool with the smaller disk and move its sites there (`espalier site move`).',
  },
  'other-site': {
    status: 409,
    title: 'The pool is dedicated to another site',
    detail: (a: { pool: string; site: string }) => `Only the site ${a.site} may live on the pool ${a.pool}.`,
    todo: () => 'Choose another pool, or make one for this site: `espalier pool create NAME --dedicated-to SITE`.',
  },
  'has-workers': {
    status: 409,
    title: 'The pool has workers',
    detail: (a: { pool: string; workers: string }) => `The pool ${a.workers} works for ${a.pool}.`,
    todo: (a) => `Change its size with \`espalier pool scale ${a.workers} N\`, or delete it first.`,
  },
  'holds-backups': {
    status: 409,
    title: 'The pool holds final backups',
    detail: (a: { pool: string; files: number }) =>
      `${a.files} final backups of deleted sites lie on the pool ${a.pool}.`,
    todo: () => 'Copy what you need, then delete it with --delete-backups.',
  },
  full: {
    status: 409,
    title: 'The pool is at its limit',
    detail: (a: { pool: string; max: number }) => `The pool ${a.pool} has its ${a.max} sites.`,
    todo: () => 'Create another pool of that app, or raise the limit: `espalier pool set NAME --max-sites N`.',
  },
  'none-for-app': {
    status: 409,
    title: 'No pool can take the site',
    detail: (a: { app: string }) => `There is no ready pool of ${a.app} with room.`,
    todo: (a) => `Create one: \`espalier pool create NAME --app ${a.app} --size 2\`.`,
  },
  'two-generations': {
    status: 409,
    title: 'The pool is on its way to another image',
    detail: (a: { pool: string; verb: string }) =>
      `The pool ${a.pool} has nodes of two images while its sites are upgraded in waves; no site is ${a.verb} meanwhile.`,
    todo: () => 'Wait until the waves have ended (`espalier wave list`), then try again.',
  },
  'not-ready': {
    status: 409,
    title: 'The pool is not ready',
    detail: (a: { pool: string; state: string }) => `The pool ${a.pool} is ${a.state}.`,
    todo: () => 'Wait until it is ready (`espalier pool show`), then try again.',
  },
  'no-node': {
    status: 503,
    title: 'The pool has no node that can work',
    detail: (a: { pool: string }) => `No node of the pool ${a.pool} is ready.`,
    todo: (a) => `It is waited for; \`espalier why pool ${a.pool}\` says what is being done.`,
    retryable: true,
  },
  'nodes-missing': {
    status: 503,
    title: 'The pool does not have all its nodes yet',
    detail: (a: { pool: string; ready: number; wanted: number; why: string }) =>
      `${a.ready} of ${a.wanted} nodes of ${a.pool} are ready. ${a.why}`,
    todo: () => 'It is waited for; `espalier node list` and `espalier operation list` show what is under way.',
    retryable: true,
  },
  'node-broken': {
    status: 500,
    title: 'New nodes of the pool fail',
    detail: (a: { pool: string; why: string }) => `A new node of ${a.pool} did not come up: ${a.why}`,
    todo: () => 'Look at the failed operation (`espalier operation list`); build the image anew if it is at fault.',
  },
  'backups-unseen': {
    status: 409,
    title: 'Whether the pool holds final backups could not be seen',
    detail: (a: { pool: string; why: string }) =>
      `The pool ${a.pool} is asleep, and no node of it came up to look for backups: ${a.why}`,
    todo: () =>
      'Build its image anew if that is at fault, or delete the pool with --delete-backups if nobody needs them.',
  },
  'node-stays': {
    status: 503,
    title: 'A node could not be removed yet',
    detail: (a: { node: string; why: string }) =>
      `The node ${a.node} takes no visitors any more and is still there: ${a.why}`,
    todo: () => 'It is tried again; `espalier operation list` shows its removal.',
    retryable: true,
  },
  'serves-worse': {
    status: 500,
    title: 'A new node does not serve the sites as the others do',
    detail: (a: { node: string; why: string }) => `The node ${a.node} takes no visitors: ${a.why}.`,
    todo: (a) => `Read its last words (\`espalier node log ${a.node}\`), mend the image, roll again.`,
  },
  'gate-failed': {
    status: 500,
    title: 'The new nodes serve worse than the old ones',
    detail: (a: { pool: string; image: number; why: string }) => `Image ${a.image} on ${a.pool}: ${a.why}.`,
    todo: () =>
      'The pool goes back to its old image. Read the logs of the new nodes (`espalier node logs`), mend the image, roll again.',
  },
  'roll-its-pool': {
    status: 409,
    title: 'Workers have the image of the pool that they work for',
    detail: (a: { pool: string; worksFor: string }) => `${a.pool} works for ${a.worksFor} and is rolled with it.`,
    todo: (a) => `Roll that one: \`espalier pool roll ${a.worksFor}\`.`,
  },
  'has-image': {
    status: 409,
    title: 'The pool has that image already',
    detail: (a: { pool: string; image: string }) => `Every node of ${a.pool} has ${a.image}.`,
    todo: () => 'Build a newer one (`espalier image refresh`), or name another with --image.',
  },
  draining: {
    status: 409,
    title: 'Something of the pool is being drained',
    detail: (a: { pool: string; what: string }) => `${a.pool} cannot be rolled now: ${a.what}.`,
    todo: (a) => `Wait until that is over (\`espalier why pool ${a.pool}\`), then roll.`,
  },
  'too-small': {
    status: 409,
    title: 'The pool is too small for the batch',
    detail: (a: { pool: string; wanted: number; batch: number; strategy: string }) =>
      `${a.pool} wants ${a.wanted} nodes; ${a.batch} at a time are too many for ${a.strategy}.`,
    todo: () =>
      'Name a smaller --batch, or a strategy that makes new nodes first: canary, additional-batch or immutable.',
  },
  rolling: {
    status: 409,
    title: 'The pool is being rolled already',
    detail: (a: { pool: string; image: string; why: string }) => `${a.pool} is on its way to ${a.image}: ${a.why}.`,
    todo: (a) => `Wait for it, or end it: \`espalier roll abort ${a.pool}\`.`,
  },
  'two-images': {
    status: 409,
    title: 'The sites of the pool are on two images',
    detail: (a: { pool: string; other: string }) => `Some sites of ${a.pool} are on ${a.other}: a wave is not over.`,
    todo: (a) => `See \`espalier wave list --pool ${a.pool}\`; resume or abort it, then roll.`,
  },
  'not-rolling': {
    status: 409,
    title: 'The pool is not being rolled',
    detail: (a: { pool: string }) => `No roll of ${a.pool} is under way.`,
    todo: (a) => `See what was: \`espalier roll list --pool ${a.pool}\`.`,
  },
  'not-applied': {
    status: 503,
    title: 'A node has not taken its configuration yet',
    detail: (a: { node: string; why: string }) => `The node ${a.node} has not applied it: ${a.why}.`,
    todo: () => 'It is tried again; `espalier node show` says how the node is.',
    retryable: true,
  },
  'not-healthy': {
    status: 503,
    title: 'A node does not answer yet',
    detail: (a: { node: string; why: string }) => `The node ${a.node} does not serve: ${a.why}.`,
    todo: () => 'It is waited for; `espalier node show` says how the node is.',
    retryable: true,
  },
});
