// The fleet's problems and how the engine's own words become them. Apart so that the simulated twin throws the
// very same ones. `retryable` means: the engine is away or busy, and the same call may succeed by itself later.
import { makeCatalogue, Problem } from '../../lib/errors.ts';

/** What a call was about, in words for a person: `container shop-1`, `image base`. */
interface About {
  what: string;
}
interface AboutWhy extends About {
  why: string;
}

export const incusProblems = makeCatalogue('incus', {
  away: {
    status: 503,
    title: 'Incus does not answer',
    detail: (a: { why: string }) => `Incus cannot be reached: ${a.why}.`,
    todo: () => 'See that incusd runs (`espalier doctor`); what waits for it goes on by itself.',
    retryable: true,
  },
  'no-access': {
    status: 403,
    title: 'Incus refuses this user',
    detail: (a: { why: string }) => `Incus does not let this process in: ${a.why}.`,
    todo: () => 'Run Espalier as root, or put its user into the group incus-admin.',
  },
  'timed-out': {
    status: 504,
    title: 'Incus took longer than the bound',
    detail: (a: AboutWhy) => `${a.what}: no end within its bound (${a.why}).`,
    todo: () => 'Run `espalier doctor` to see whether the server is overloaded; it is tried again.',
    retryable: true,
  },
  'outcome-unknown': {
    status: 503,
    title: 'Incus no longer knows how it ended',
    detail: (a: About) => `${a.what}: the engine forgot the operation before it told its result.`,
    todo: () => 'Nothing; the same call again finds out what is there.',
    retryable: true,
  },
  busy: {
    status: 409,
    title: 'Something else is being done to it',
    detail: (a: AboutWhy) => `${a.what} is busy: ${a.why}.`,
    todo: () => 'Wait until that ends; it is tried again.',
    retryable: true,
  },
  'not-found': {
    status: 404,
    title: 'There is no such thing in Incus',
    detail: (a: About) => `There is no ${a.what}.`,
    todo: () => 'See what there is with `espalier node list` and `espalier image list`.',
  },
  'source-not-found': {
    status: 404,
    title: 'What it is to be made from does not exist',
    detail: (a: AboutWhy) => `${a.what} cannot be made: ${a.why}.`,
    todo: () => 'Bake or import the image first (`espalier image list`).',
  },
  exists: {
    status: 409,
    title: 'There already is one of that name',
    detail: (a: About) => `There already is a ${a.what}.`,
    todo: () => 'Choose another name, or delete that one first.',
  },
  'not-ours': {
    status: 409,
    title: 'It belongs to someone else',
    detail: (a: About) => `The ${a.what} was not made by this deployment; it is left alone.`,
    todo: () => 'Choose another name for the deployment, or rename what is in the way.',
  },
  'not-running': {
    status: 409,
    title: 'The container is not running',
    detail: (a: About) => `The ${a.what} is not running.`,
    todo: () => 'Start it; if it is a node, healing does that or makes a new one.',
    retryable: true,
  },
  running: {
    status: 409,
    title: 'The container is running',
    detail: (a: About) => `The ${a.what} is running.`,
    todo: () => 'Stop it first.',
  },
  'in-use': {
    status: 409,
    title: 'It is in use',
    detail: (a: AboutWhy) => `The ${a.what} is in use: ${a.why}.`,
    todo: () => 'Stop or delete what uses it first.',
  },
  'address-taken': {
    status: 409,
    title: 'The address is taken',
    detail: (a: AboutWhy) => `${a.what} cannot have its address: ${a.why}.`,
    todo: () => 'Give it another one; an address is free again when the container that has it is deleted.',
  },
  'no-space': {
    status: 507,
    title: 'The disk is full',
    detail: (a: AboutWhy) => `${a.what}: ${a.why}.`,
    todo: () => 'Delete old images, or enlarge the storage pool; `espalier doctor` shows what takes the room.',
  },
  'exec-timed-out': {
    status: 504,
    title: 'The command took longer than its bound and was killed',
    detail: (a: About & { program: string; seconds: number; output: string }) =>
      `${a.program} in ${a.what} did not end within ${a.seconds} s${a.output === '' ? '' : `; its last words: ${a.output}`}.`,
    todo: () => 'Find out why it hangs; give it a longer bound if it is right that it takes so long.',
  },
  refused: {
    status: 400,
    title: 'Incus refused it',
    detail: (a: AboutWhy) => `${a.what}: ${a.why}.`,
    todo: () => 'Correct what it names; nothing was changed.',
  },
});

type ByMessage =
  | 'address-taken'
  | 'busy'
  | 'exists'
  | 'in-use'
  | 'no-space'
  | 'not-running'
  | 'running'
  | 'source-not-found'
  | 'timed-out';

/** Which problem the engine's message means; the first that fits. Wording of Incus 6.0 to 6.x and LXD 5. */
const BY_MESSAGE: readonly (readonly [RegExp, ByMessage])[] = [
  [/deadline exceeded|timed? ?out/i, 'timed-out'],
  [/IP address .*(?:already defined|in use)|address already in use/i, 'address-taken'],
  [/^image not (?:provided|found)/i, 'source-not-found'],
  [/no space left|disk quota exceeded|not enough space/i, 'no-space'],
  [/is busy running|operation in progress|currently busy|is locked/i, 'busy'],
  [/(?:is not|isn't|not) running|already stopped|is stopped/i, 'not-running'],
  [/is (?:already )?running|must be stopped|while.* running|running instance/i, 'running'],
  [/already exists|UNIQUE constraint|already in database|^snapshot .* already in use/i, 'exists'],
  [/in use|is currently used|still used|being used by/i, 'in-use'],
];

const AWAY =
  /dqlite|database is locked|leader|connection (?:refused|reset)|no route to host|(?:not|isn't) (?:yet )?ready|starting up|daemon is stopping|failed to connect|offline/i;

/**
 * The engine's answer as a problem. `what` says in words what the call was about; `status` is the HTTP status or the
 * operation's error code, 0 when unknown.
 */
export function toIncusProblem(what: string, status: number, message: string): Problem {
  const why = message.trim().replace(/\.$/, '') || `status ${status}`;
  // Kept whole for the log and for those who must know more than the kind of problem.
  const cause = new Error(why);
  if (status === 503 || (status !== 404 && AWAY.test(why))) return incusProblems.make('away', { why }, cause);
  if (status === 412) return incusProblems.make('busy', { what, why: 'it was changed meanwhile' }, cause);
  for (const [pattern, name] of BY_MESSAGE) {
    if (pattern.test(why)) return incusProblems.make(name, { what, why }, cause);
  }
  if (status === 404 || /(?:not found|does not exist)$/i.test(why))
    return incusProblems.make('not-found', { what }, cause);
  if (status === 403) return incusProblems.make('no-access', { why }, cause);
  if (status === 409) return incusProblems.make('exists', { what }, cause);
  return incusProblems.make('refused', { what, why }, cause);
}

/** True when `thrown` is the fleet's problem `name`. */
export function isProblem(thrown: unknown, name: keyof typeof incusProblems.entries): boolean {
  return thrown instanceof Problem && thrown.code === `incus.${name}`;
}

/** For `catch`: swallows the problem `name`, throws on everything else. */
export function unless(name: keyof typeof incusProblems.entries): (thrown: unknown) => void {
  return (thrown) => {
    if (!isProblem(thrown, name)) throw thrown;
  };
}
