// What a step says while it runs: sent on in bundles, the last lines kept. Apart because a chatty step must cost neither
// the database nor the reader more than a few events.
import type { Clock } from '../../lib/clock.ts';

const BUNDLE_MS = 200;
const KEPT_LINES = 100;
const LONGEST_LINE = 400;
// Beyond this a step is a log file: the tail is kept, nothing more is sent.
const SENT_LINES = 2_000;

export interface Progress {
  say(line: string): void;
  /** Ends it: returns the lines that were not sent yet and the last ones of all. Later lines are dropped. */
  end(): { unsent: string[]; tail: string[] };
}

/** `send` gets the lines of the last fifth of a second; its failure is its own matter. */
export function makeProgress(clock: Clock, earlier: readonly string[], send: (lines: string[]) => void): Progress {
  let tail = [...earlier];
  let unsent: string[] = [];
  let sent = 0;
  const over = new AbortController();
  const flush = () => {
    const lines = unsent;
    unsent = [];
    if (lines.length > 0) send(lines);
  };
  return {
    say(text) {
      if (over.signal.aborted) return;
      for (const line of text.split(/\r?\n/)) {
        const short = line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}…` : line;
        tail.push(short);
        sent += 1;
        if (sent > SENT_LINES) continue;
        unsent.push(sent === SENT_LINES ? '… (more lines are not sent; the last ones are kept with the step)' : short);
        if (unsent.length === 1) clock.wait(BUNDLE_MS, over.signal).then(flush, () => {});
      }
      if (tail.length > 2 * KEPT_LINES) tail = tail.slice(-KEPT_LINES);
    },
    end() {
      over.abort();
      return { unsent, tail: tail.slice(-KEPT_LINES) };
    },
  };
}
