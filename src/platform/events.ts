// The append-only journal: what happened, to what, asked by whom and why. It feeds the API's event stream, the
// audit log and the console, and is apart so that every room writes it in the transaction of the change itself.
import type { Json, Sql } from './store.ts';

export interface NewEvent {
  /** `noun.past-tense`: `site.created`, `node.drained`. */
  kind: string;
  /** What it is about: `site:s1a2b3c4d5`. */
  subject: string;
  by: string;
  reason?: string;
  /** Without secrets. */
  data?: Json;
}

export interface Event {
  /** Opaque, ordered as the events were committed; the `Last-Event-ID` of the stream. */
  id: string;
  at: string;
  kind: string;
  subject: string;
  by: string;
  reason: string | null;
  data: Json;
}

export interface EventFilter {
  subject?: string;
  /** Exact, or all of a noun with `site.*`. */
  kind?: string;
}

export interface Events {
  /** Writes an event in the caller's transaction. */
  append(sql: Sql, event: NewEvent): Promise<void>;
  /** Newest first; 50 unless told, 500 at most. */
  list(
    filter?: EventFilter & { limit?: number; pageToken?: string },
  ): Promise<{ items: Event[]; nextPageToken: string | null }>;
  /**
   * Events after the one with id `after` (without it: from now on), in commit order, without gaps, until the signal
   * aborts; then it ends quietly. `events.trimmed` (410) when events after `after` are no longer kept.
   */
  watch(options: EventFilter & { after?: string; signal: AbortSignal }): AsyncIterable<Event>;
  /** Deletes events older than this; returns how many. */
  trim(olderThanMs: number, signal?: AbortSignal): Promise<number>;
}
