// Starting our daemons as steps: each is started and then waited for until it answers, or until it is sure that it
// will not. Apart because `up`, `down` and `destroy` all need a controller that answers.
import { readFile } from 'node:fs/promises';
import { Problem } from '../../lib/errors.ts';
import type { Cli } from '../cli.ts';
import type { AboutDocument } from '../documents.ts';
import { cliProblems } from '../problems.ts';
import { isDaemonRunning, startDaemon } from './daemon.ts';
import { type DaemonParts, type DaemonSpec, logPathOf } from './daemon-spec.ts';
import { readHost } from './host.ts';
import type { HostStep } from './run-steps.ts';

/** PGlite's first boot takes 3 s; PostgreSQL may still be starting itself after a reboot. */
const ANSWER_TIMEOUT_MS = 60_000;
const LOOK_EVERY_MS = 50;
/** A daemon that dies at once is not waited for; systemd restarts one after 1 s, so a single look proves nothing. */
const DEAD_LOOKS = 40;
const SHOWN_LOG_LINES = 15;

/** A step a daemon. Only the controller answers on a socket; the agent's connection is seen by the controller. */
export function makeDaemonSteps(cli: Cli, daemons: readonly DaemonSpec[]): HostStep[] {
  return daemons.map((spec) => ({
    name: `Start the ${spec.name}`,
    async run(say, signal) {
      const { systemd } = await readHost(spec.dataDir);
      const parts: DaemonParts = { systemd, clock: cli.clock, signal, say };
      const said = await startDaemon(spec, parts);
      if (spec.name === 'controller') await waitForAnswer(cli, spec, parts);
      return said;
    },
  }));
}

async function waitForAnswer(cli: Cli, spec: DaemonSpec, parts: DaemonParts): Promise<void> {
  const { clock, signal, say } = parts;
  const startedMs = clock.monotonicMs();
  let deadLooks = 0;
  while (clock.monotonicMs() - startedMs < ANSWER_TIMEOUT_MS && deadLooks < DEAD_LOOKS) {
    try {
      const { body: about } = await cli.client.request<AboutDocument>('GET', '/v1/about', { signal, timeoutMs: 5_000 });
      // One that has just begun says what it is before it leads, and nothing else is answered while none does. Its own name as the
      // leader's is that of the process before it.
      if (about.leads !== false || ![undefined, null, about.controller].includes(about.leader)) return;
    } catch (thrown) {
      if (!(thrown instanceof Problem) || !thrown.retryable) throw thrown;
    }
    deadLooks = (await isDaemonRunning(spec, parts)) ? 0 : deadLooks + 1;
    await clock.wait(LOOK_EVERY_MS, signal);
  }
  const log = await readFile(logPathOf(spec), 'utf8').catch(() => '');
  for (const line of log.trimEnd().split('\n').slice(-SHOWN_LOG_LINES)) say(line);
  const seconds = Math.round((clock.monotonicMs() - startedMs) / 1000);
  throw cliProblems.make('daemon-silent', { name: `The ${spec.name}`, seconds, logPath: logPathOf(spec) });
}
