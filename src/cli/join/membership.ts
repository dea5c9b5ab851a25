// What `doctor` finds out on a server that joined: whether the cluster counts on it, asked at the controller's door with this server's
// own certificate, as its agent does. Apart because no command line need be let in for it.
import { toProblem } from '../../lib/errors.ts';
import { readIdentity } from '../../lib/identity-file.ts';
import type { FindingDocument } from '../documents.ts';
import { identityPathOf } from '../up/deployment.ts';
import { askDoor } from './door.ts';

const HEARD = new Set(['ready', 'draining']);

/** `controller`: `HOST:PORT` of the door at which the machine joined. */
export async function checkMembership(
  { dataDir, controller }: { dataDir: string; controller: string },
  signal: AbortSignal,
): Promise<FindingDocument> {
  const name = 'cluster';
  const identity = await readIdentity(identityPathOf(dataDir));
  if (identity === undefined) {
    const detail = `${identityPathOf(dataDir)} is missing or not whole: it holds the key with which the agent is let in.`;
    const todo = 'Let this machine join anew: `espalier server join TOKEN`, with a token of `espalier server add`.';
    return { name, status: 'fail', detail, todo };
  }
  const { authority: ca, key, certificate: cert } = identity;
  try {
    const asked = { controller, method: 'GET', path: '/v1/self', tls: { ca, key, cert }, signal } as const;
    const { state, reason } = await askDoor<{ state: string; reason: string }>(asked);
    const detail = `To the controller at ${controller} this server is ${state}: ${reason}.`;
    if (HEARD.has(state)) return { name, status: 'ok', detail };
    return { name, status: 'fail', detail, todo: 'The end of the log of the agent here says more.' };
  } catch (thrown) {
    signal.throwIfAborted();
    const { detail, todo } = toProblem(thrown).document;
    return { name, status: 'fail', detail, todo };
  }
}
