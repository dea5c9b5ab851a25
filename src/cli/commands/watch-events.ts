// `event watch`: a line an event until Ctrl-C, going on where it was after the controller was away.
import { Problem } from '../../lib/errors.ts';
import { type Cli, say } from '../cli.ts';
import type { EventDocument } from '../documents.ts';
import type { ExitCode } from '../problems.ts';

const RECONNECT_MS = 1_000;

/** Runs until interrupted. */
export async function runWatchEvents(cli: Cli, query: { kind?: string; subject?: string }): Promise<ExitCode> {
  const { client, clock, terminal, signal, options } = cli;
  let lastEventId: string | undefined;
  let away = false;
  for (;;) {
    try {
      const from = lastEventId === undefined ? {} : { lastEventId };
      const onOpen = () => {
        if (away) say(cli, 'The controller answers again.');
        away = false;
      };
      for await (const { data } of client.watch(query, { ...from, signal, onOpen })) {
        const event = data as EventDocument;
        lastEventId = event.id;
        const reason = event.reason === null ? '' : `  ${event.reason}`;
        terminal.out(
          options.json === true
            ? `${JSON.stringify(event)}\n`
            : `${event.at.slice(0, 19)}  ${event.kind}  ${event.subject}  ${event.by}${reason}\n`,
        );
      }
    } catch (thrown) {
      signal.throwIfAborted();
      if (!(thrown instanceof Problem) || !thrown.retryable || (lastEventId === undefined && !away)) throw thrown;
      if (!away) say(cli, `Waiting: ${thrown.document.detail}`);
      away = true;
    }
    await clock.wait(RECONNECT_MS, signal);
  }
}
