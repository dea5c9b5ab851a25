// Follows an operation to its end: woken by the event stream, never by events alone, so that a lost event, a
// restarted controller or a stream that breaks costs a second and no more. Apart from how it is shown.
import type { Clock } from '../../lib/clock.ts';
import { Problem } from '../../lib/errors.ts';
import type { ApiClient } from '../client.ts';
import { type EventDocument, hasEnded, type OperationDocument } from '../documents.ts';
import { cliProblems } from '../problems.ts';
import { type OperationFamily, toStepTree } from './operation-tree.ts';
import type { StepDisplay } from './step-tree.ts';

/** Without a stream it is asked this often; with one this is the net under it. */
const LOOK_EVERY_MS = 1_000;
/** Events come in bursts; one look answers those of this time. */
const SETTLE_MS = 30;
/** A controller may be restarted while its operations wait; after this it is said to be away. */
const AWAY_LIMIT_MS = 120_000;

export interface FollowParts {
  client: ApiClient;
  clock: Clock;
  display: StepDisplay;
  signal: AbortSignal;
  /** Ends with `cli.timed-out` after this; the operation goes on. */
  timeoutMs?: number;
  /** Told when the controller stops answering (a sentence) and when it answers again (undefined). */
  onAway?: (why: string | undefined) => void;
}

/** Resolves with the operation and all below it once it has ended, in whichever way. */
export async function followOperation(id: string, parts: FollowParts): Promise<OperationFamily> {
  const { client, clock, display, signal, timeoutMs, onAway } = parts;
  const startedMs = clock.monotonicMs();
  const ended = new Map<string, OperationFamily>();
  const ends = new AbortController();
  const bell = makeBell();
  const stream = watchOperations(client, clock, bell.ring, AbortSignal.any([signal, ends.signal]));
  let awaySinceMs: number | undefined;
  try {
    for (;;) {
      signal.throwIfAborted();
      try {
        const family = await readFamily(client, id, ended, signal);
        if (awaySinceMs !== undefined) onAway?.(undefined);
        awaySinceMs = undefined;
        display.update([toStepTree(family)]);
        if (hasEnded(family.operation)) return family;
      } catch (thrown) {
        if (!(thrown instanceof Problem) || !thrown.retryable) throw thrown;
        if (awaySinceMs === undefined) onAway?.(thrown.document.detail);
        awaySinceMs ??= clock.monotonicMs();
        if (clock.monotonicMs() - awaySinceMs > AWAY_LIMIT_MS) throw thrown;
      }
      if (timeoutMs !== undefined && clock.monotonicMs() - startedMs >= timeoutMs) {
        throw cliProblems.make('timed-out', { what: `The operation ${id}`, seconds: Math.round(timeoutMs / 1000) });
      }
      await bell.heard(clock, signal);
    }
  } finally {
    ends.abort();
    await stream;
  }
}

/** The operation, and each that it started; what has ended is not read again. */
async function readFamily(
  client: ApiClient,
  id: string,
  ended: Map<string, OperationFamily>,
  signal: AbortSignal,
): Promise<OperationFamily> {
  const known = ended.get(id);
  if (known !== undefined) return known;
  const { body } = await client.request<OperationDocument>('GET', `/v1/operations/${encodeURIComponent(id)}`, {
    signal,
  });
  const children: OperationFamily[] = [];
  for (const child of body.children) children.push(await readFamily(client, child.id, ended, signal));
  const family = { operation: body, children };
  if (hasEnded(body)) ended.set(id, family);
  return family;
}

/** Rings at every event of any operation until the signal aborts; a broken stream is opened again. */
async function watchOperations(client: ApiClient, clock: Clock, ring: () => void, signal: AbortSignal): Promise<void> {
  let lastEventId: string | undefined;
  while (!signal.aborted) {
    try {
      const options = { signal, onOpen: ring, ...(lastEventId === undefined ? {} : { lastEventId }) };
      for await (const event of client.watch({ kind: 'operation.*' }, options)) {
        lastEventId = (event.data as EventDocument).id;
        ring();
      }
    } catch (thrown) {
      // Events that are no longer kept: begin from now on. Everything else: the looks in between tell.
      if (thrown instanceof Problem && thrown.document.status === 410) lastEventId = undefined;
    }
    await clock.wait(LOOK_EVERY_MS, signal).catch(() => undefined);
  }
}

function makeBell() {
  let rung = Promise.withResolvers<void>();
  return {
    ring: () => rung.resolve(),
    /** Until it is rung and its burst has settled, or until it is time to look anyway. */
    async heard(clock: Clock, signal: AbortSignal): Promise<void> {
      const enough = new AbortController();
      const both = AbortSignal.any([signal, enough.signal]);
      const late = clock.wait(LOOK_EVERY_MS, both).catch(() => undefined);
      const why = await Promise.race([rung.promise.then(() => 'rung'), late.then(() => 'late')]);
      enough.abort();
      if (why !== 'rung') return;
      await clock.wait(SETTLE_MS, signal).catch(() => undefined);
      rung = Promise.withResolvers<void>();
    },
  };
}
