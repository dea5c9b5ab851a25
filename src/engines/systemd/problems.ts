// What can go wrong with the systemd of a node. Apart so that whoever uses the engine knows its problems by name.
import { makeCatalogue, Problem } from '../../lib/errors.ts';

export const systemdProblems = makeCatalogue('systemd', {
  away: {
    status: 503,
    title: 'The node’s systemd cannot be reached',
    detail: (a: { name: string; why: string }) => `The systemd of ${a.name} cannot be reached: ${a.why}.`,
    todo: () => 'It is tried again; if it goes on, see whether the node runs (`espalier node list`).',
    retryable: true,
  },
  'no-answer': {
    status: 504,
    title: 'The node’s systemd did not answer in time',
    detail: (a: { name: string; member: string; seconds: number }) =>
      `The systemd of ${a.name} did not answer ${a.member} within ${a.seconds} s.`,
    todo: () => 'It is tried again; if it goes on, the server is overloaded: see `espalier server list`.',
    retryable: true,
  },
  refused: {
    status: 409,
    title: 'The node’s systemd refused it',
    detail: (a: { name: string; member: string; error: string; why: string }) =>
      `The systemd of ${a.name} refused ${a.member}: ${a.why} (${a.error}).`,
    todo: () => 'Correct what it names; nothing was changed.',
  },
});

/** The D-Bus name of the error by which systemd refused a call; undefined for every other problem. */
export function readErrorName(thrown: unknown): string | undefined {
  if (!(thrown instanceof Problem) || thrown.code !== 'systemd.refused') return undefined;
  return String(thrown.document.about?.error);
}
