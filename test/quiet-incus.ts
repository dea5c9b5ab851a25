// Ends the Incus daemon that a test run has started, so that the machine is left as it was found. Apart because the
// product itself never stops it: it belongs to the machine.
import { request } from 'node:http';
import { incusSocketOf, readIncusVersion } from '../src/cli/up/incus-daemon.ts';
import { makeSystemClock } from '../src/lib/clock.ts';

const ASK_MS = 30_000;
const END_MS = 60_000;
const LOOK_EVERY_MS = 100;

async function ask(method: string, path: string): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socketPath = incusSocketOf(process.env);
  const asked = request({ socketPath, method, path, signal: AbortSignal.timeout(ASK_MS), agent: false }, (answer) => {
    let text = '';
    answer.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    answer.once('error', reject);
    answer.once('end', () => resolve(text));
  });
  asked.once('error', reject);
  asked.end();
  return JSON.parse(await promise);
}

/** Whether an Incus daemon answers. */
export async function isIncusRunning(): Promise<boolean> {
  return (await readIncusVersion(incusSocketOf(process.env), AbortSignal.timeout(ASK_MS))) !== undefined;
}

/** Shuts the daemon down as `incus admin shutdown` does, unless there is an instance of anybody's; true when it has ended. */
export async function quietIncus(): Promise<boolean> {
  if (!(await isIncusRunning())) return true;
  const { metadata } = (await ask('GET', '/1.0/instances?all-projects=true')) as { metadata: unknown[] };
  if (metadata.length > 0) return false;
  await ask('PUT', '/internal/shutdown?force=false&timeout=30').catch(() => undefined);
  const clock = makeSystemClock();
  const startedMs = clock.monotonicMs();
  while (clock.monotonicMs() - startedMs < END_MS) {
    if (!(await isIncusRunning())) return true;
    await clock.wait(LOOK_EVERY_MS);
  }
  return false;
}
