// The append-only journal: what happened, to what, asked by whom and why. It feeds the API's event stream, the
// audit log and the console, and is apart so that every room writes it in the transaction of the change itself.
import type { Clock } from '../lib/clock.ts';
import { makeCatalogue } from '../lib/errors.ts';
import { makeBell } from './bell.ts';
import { type Json, type Sql, type Store, toJsonValue } from './store.ts';

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
   * Events after the one with id `after`, in commit order, without gaps, until the signal aborts; then it ends quietly.
   * Without `after`: from about now on; whoever must not miss what they do next reads `readLastId` first. `events.trimmed` (410) when events after `after` are no longer kept.
   */
  watch(options: EventFilter & { after?: string; signal: AbortSignal }): AsyncIterable<Event>;
  /** The id of the newest event, for `watch`. */
  readLastId(): Promise<string>;
  /** Deletes events older than this; returns how many. */
  trim(olderThanMs: number, signal?: AbortSignal): Promise<number>;
}

export const eventProblems = makeCatalogue('events', {
  trimmed: {
    status: 410,
    title: 'Events after this one are no longer kept',
    detail: (a: { after: string }) => `Some of the events that followed ${a.after} have been deleted for their age.`,
    todo: () => 'Read the present state anew, then watch from now on (without an event to begin after).',
  },
  'bad-token': {
    status: 400,
    title: 'This is no id of an event',
    detail: (a: { token: string }) => `"${a.token}" is not the id of an event.`,
    todo: () => 'Use the id or page token of an earlier answer as it was.',
  },
});

// An arbitrary number that only appenders lock (`even` in ASCII).
const LOCK = 0x6576656e;
const PAGE = 50;
const LARGEST_PAGE = 500;
const WATCH_BATCH = 200;
const TRIM_BATCH = 5_000;
const COLUMNS = 'id, at, kind, subject, by, reason, data';

type Row = Omit<Event, 'id'> & { id: number };

function toEvent(row: Row): Event {
  return { ...row, id: String(row.id) };
}

function fromToken(token: string): number {
  const id = Number(token);
  if (!Number.isSafeInteger(id) || id < 0) throw eventProblems.make('bad-token', { token });
  return id;
}

function matches(event: Event, { subject, kind }: EventFilter): boolean {
  if (subject !== undefined && event.subject !== subject) return false;
  if (kind === undefined) return true;
  return kind.endsWith('.*') ? event.kind.startsWith(kind.slice(0, -1)) : event.kind === kind;
}

/** The clauses of `matches` in SQL, below an id, with their values from $1 on. */
function renderWhere({ subject, kind }: EventFilter, before: number | undefined): { text: string; values: unknown[] } {
  const values: unknown[] = [];
  const clauses: string[] = ['true'];
  const add = (clause: string, value: unknown) => clauses.push(clause.replace('?', `$${values.push(value)}`));
  if (before !== undefined) add('id < ?', before);
  if (subject !== undefined) add('subject = ?', subject);
  if (kind?.endsWith('.*')) add('starts_with(kind, ?)', kind.slice(0, -1));
  else if (kind !== undefined) add('kind = ?', kind);
  return { text: clauses.join(' and '), values };
}

/** `pollMs`: how soon events of other controllers arrive (1 s unless told); own ones arrive at once. */
export function makeEvents(options: { store: Store; clock: Clock; pollMs?: number }): Events {
  const { store, clock, pollMs = 1_000 } = options;
  const bell = makeBell(clock);
  // What each open transaction has appended: written by one statement at its end.
  const drafts = new WeakMap<Sql, NewEvent[]>();

  async function read(text: string, values: unknown[]): Promise<Event[]> {
    return (await store.query<Row>(`select ${COLUMNS} from event where ${text}`, values)).map(toEvent);
  }

  async function readLastId(): Promise<number> {
    const [last] = await store.query<{ id: number }>('select id from event order by id desc limit 1');
    return last?.id ?? 0;
  }

  async function assertKept(after: number): Promise<void> {
    const [kept] = await store.query<{ first: number | null }>('select min(id) as first from event');
    if (kept?.first != null && kept.first > after + 1 && after > 0)
      throw eventProblems.make('trimmed', { after: String(after) });
  }

  // Every event is read once and filtered here, so that a watcher of a rare kind does not scan the same rows again.
  async function* watchFrom(start: Promise<number>, filter: EventFilter, signal: AbortSignal): AsyncGenerator<Event> {
    let last = await start;
    await assertKept(last);
    while (!signal.aborted) {
      const since = bell.rings;
      const events = await read(`id > $1 order by id limit ${WATCH_BATCH}`, [last]);
      for (const event of events) {
        if (signal.aborted) return;
        last = Number(event.id);
        if (matches(event, filter)) yield event;
      }
      if (events.length < WATCH_BATCH) await bell.wait(since, pollMs, signal).catch(() => {});
    }
  }

  return {
    async append(sql, event) {
      const earlier = drafts.get(sql);
      if (earlier !== undefined) {
        earlier.push(event);
        return;
      }
      const events = [event];
      drafts.set(sql, events);
      await sql.beforeCommit(async () => {
        drafts.delete(sql);
        await sql.query(
          `insert into event (kind, subject, by, reason, data)
           select kind, subject, by, reason, coalesce(data, 'null')
           from (select pg_advisory_xact_lock($1)) as held,
             jsonb_to_recordset($2::jsonb) as new (kind text, subject text, by text, reason text, data jsonb)`,
          [LOCK, toJsonValue(events)],
        );
      });
      sql.afterCommit(bell.ring);
    },

    async list(filter = {}) {
      const limit = Math.min(filter.limit ?? PAGE, LARGEST_PAGE);
      const where = renderWhere(filter, filter.pageToken === undefined ? undefined : fromToken(filter.pageToken));
      const rows = await read(`${where.text} order by id desc limit ${limit + 1}`, where.values);
      const items = rows.slice(0, limit);
      return { items, nextPageToken: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
    },

    watch({ after, signal, ...filter }) {
      // Asked for now, not at the first `next`.
      const start = after === undefined ? readLastId() : Promise.resolve(after).then(fromToken);
      start.catch(() => {});
      return watchFrom(start, filter, signal);
    },

    readLastId: async () => String(await readLastId()),

    async trim(olderThanMs, signal) {
      for (let trimmed = 0; ; ) {
        signal?.throwIfAborted();
        const rows = await store.query(
          `delete from event where id in (select id from event
             where at < clock_timestamp() - $1::float8 * interval '1 millisecond' order by id limit ${TRIM_BATCH}) returning 1`,
          [olderThanMs],
        );
        trimmed += rows.length;
        if (rows.length < TRIM_BATCH) return trimmed;
      }
    },
  };
}
