// What can go wrong with images. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const imageProblems = makeCatalogue('image', {
  none: {
    status: 409,
    title: 'There is no image yet',
    detail: (a: { recipe: string }) => `No image of ${a.recipe} has been built.`,
    todo: (a) => `Build it: \`espalier image build ${a.recipe}\`.`,
  },
  gone: {
    status: 409,
    title: 'The image is gone',
    detail: (a: { image: string }) => `There is no image ${a.image} that can be used; it was deleted.`,
    todo: () => 'Choose another (`espalier image list`), or bake one: `espalier image build APP`.',
  },
  'in-use': {
    status: 409,
    title: 'The image is in use',
    detail: (a: { image: string; users: string }) => `${a.image} is what these were made from: ${a.users}.`,
    todo: () => 'Roll them to another image first (`espalier pool roll`); a seed can be deleted.',
  },
  kept: {
    status: 409,
    title: 'The image is to be kept',
    detail: (a: { image: string; why: string }) => `${a.image} was marked to be kept: ${a.why}.`,
    todo: (a) => `Take the mark away: \`espalier image keep ${a.image} --off\`.`,
  },
  'from-seed': {
    status: 409,
    title: 'The newest image was changed by hand',
    detail: (a: { image: string; seed: string }) =>
      `${a.image} was baked from the seed ${a.seed}; the recipe alone does not have what was changed there.`,
    todo: (a) =>
      `Bring the newest packages into the seed: \`espalier seed bake ${a.seed} --upgrade\`; or bake without its changes: --from-recipe.`,
  },
  'bad-code': {
    status: 409,
    title: "The site's own code cannot be fetched",
    detail: (a: { source: string; why: string }) => `${a.source}: ${a.why}`,
    todo: () =>
      'Name a Git repository that this machine may read (https, ssh, or an absolute path here), and a branch, tag or commit of it.',
  },
  'no-code-place': {
    status: 409,
    title: 'The app takes no code of a site',
    detail: (a: { app: string }) => `The recipe of ${a.app} does not say where a site's own code goes.`,
    todo: () => "Add `code` to the recipe's site (docs/how-to/add-an-app.md), or bake an image from a seed.",
  },
  'no-code-yet': {
    status: 409,
    title: 'The site has no code of its own yet',
    detail: (a: { site: string }) => `Nobody has said where the code of ${a.site} comes from.`,
    todo: (a) => `Say it: \`espalier site code ${a.site} --from REPOSITORY\`.`,
  },
  'of-site': {
    status: 409,
    title: "The image has a site's own code",
    detail: (a: { image: string; pool: string }) =>
      `${a.image} is for one site alone, and the pool ${a.pool} is not dedicated to it.`,
    todo: () =>
      'Choose another image (`espalier image list`), or make a pool: `espalier pool create --dedicated-to SITE`.',
  },
  'only-layer': {
    status: 409,
    title: 'Seeds are of apps and services',
    detail: (a: { layer: string }) => `${a.layer} is a layer below the images of apps; nothing is made of it directly.`,
    todo: () => 'Name an app (`espalier app list`).',
  },
  'seed-taken': {
    status: 409,
    title: 'The seed exists already',
    detail: (a: { seed: string }) => `There is a seed named ${a.seed}.`,
    todo: (a) => `Enter that one (\`espalier seed enter ${a.seed}\`), or choose another name.`,
  },
  'seed-not-ready': {
    status: 409,
    title: 'The seed is not ready',
    detail: (a: { seed: string; state: string }) => `The seed ${a.seed} is ${a.state}.`,
    todo: (a) =>
      `Wait for its operation; \`espalier why seed ${a.seed}\` names it. A half deleted one can be deleted again.`,
  },
  'seed-stages': {
    status: 409,
    title: 'A copy of a site lives on the seed',
    detail: (a: { seed: string; site: string }) => `${a.site} lives on the seed ${a.seed}.`,
    todo: (a) => `Take it off first: \`espalier seed unstage ${a.seed}\`.`,
  },
  'seed-stopped': {
    status: 409,
    title: 'The seed does not run',
    detail: (a: { seed: string }) => `The container of the seed ${a.seed} is stopped.`,
    todo: () => 'Start it with `espalier up`, then ask again.',
  },
  'no-recipe': {
    status: 404,
    title: 'There is no such recipe',
    detail: (a: { recipe: string; known: string }) => `There is no recipe "${a.recipe}"; there are: ${a.known}.`,
    todo: () => 'Choose one of them, or add a recipe (docs/how-to/add-an-app.md).',
  },
  'step-failed': {
    status: 500,
    title: 'The image could not be built',
    detail: (a: { recipe: string; what: string; code: number; output: string }) =>
      `${a.what} of ${a.recipe} ended with exit code ${a.code}: ${a.output}`,
    todo: () =>
      "Read the output above: a package's name, the package sources or prepare.sh is at fault. Then build again.",
  },
  'seed-booting': {
    status: 503,
    title: 'The seed has not booted yet',
    detail: (a: { recipe: string; why: string }) => `The seed of ${a.recipe} has no network yet: ${a.why}`,
    todo: () => 'It is waited for; if it goes on, look at the bridge with `espalier doctor`.',
    retryable: true,
  },
  'no-archive': {
    status: 409,
    title: "The app's release archive is not at hand",
    detail: (a: { recipe: string; variable: string; why: string }) =>
      `${a.recipe} is built from a release archive, named by ${a.variable}: ${a.why}.`,
    todo: (a) => `Set ${a.variable} to the archive's path, run \`espalier up\` again, then build.`,
  },
  'wrong-checksum': {
    status: 409,
    title: 'The release archive is not the expected one',
    detail: (a: { recipe: string; expected: string; actual: string }) =>
      `The archive of ${a.recipe} has the checksum ${a.actual}, and ${a.expected} is expected.`,
    todo: () => 'Download it again from its makers and compare the checksum they publish.',
  },
  'base-failed': {
    status: 500,
    title: 'The base system could not be made',
    detail: (a: { suite: string; output: string }) => `mmdebstrap failed for ${a.suite}: ${a.output}`,
    todo: () => 'See whether `apt-get update` works on this machine, then try again.',
  },
});
