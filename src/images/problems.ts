// What can go wrong with images. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const imageProblems = makeCatalogue('image', {
  none: {
    status: 409,
    title: 'There is no image yet',
    detail: (a: { recipe: string }) => `No image of ${a.recipe} has been built.`,
    todo: (a) => `Build it: \`espalier image build ${a.recipe}\`.`,
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
