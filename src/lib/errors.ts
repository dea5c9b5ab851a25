// Typed problems: what happened, why, what to do. Every room has a catalogue (problems.ts) made with
// makeCatalogue; the API renders them as RFC 9457. Apart so that all layers throw the same shape.

/** What a catalogue says of one problem; `A` is what its sentences need to know. */
export interface ProblemEntry<A> {
  /** HTTP status. */
  status: number;
  /** The same sentence each time this problem occurs. */
  title: string;
  /** What happened this time, and why. Never holds a secret. */
  detail: (about: A) => string;
  /** What a person can do about it. */
  todo: (about: A) => string;
  /** True when trying the same thing again later may succeed by itself: operations then wait instead of failing. */
  retryable?: boolean;
}

/** A problem as it is stored, sent and printed (RFC 9457 members plus `code`, `todo`, `retryable`). */
export interface ProblemDocument {
  type: string;
  code: string;
  title: string;
  status: number;
  detail: string;
  todo: string;
  retryable: boolean;
  about?: Record<string, unknown>;
}

/** The one error type that people see. `cause` carries the inner error, which never leaves the process. */
export class Problem extends Error {
  readonly document: ProblemDocument;

  constructor(document: ProblemDocument, cause?: unknown) {
    super(`${document.detail} ${document.todo}`, cause === undefined ? undefined : { cause });
    this.name = 'Problem';
    this.document = document;
  }

  get code(): string {
    return this.document.code;
  }

  get retryable(): boolean {
    return this.document.retryable;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the one place where entries of different shapes meet
type Entries = Record<string, ProblemEntry<any>>;
type AboutOf<E> = E extends ProblemEntry<infer A> ? A : never;

/** A room's problems: `make` builds one by its short name; the code is `room.short-name`. */
export interface Catalogue<E extends Entries> {
  readonly room: string;
  readonly entries: E;
  make<K extends keyof E & string>(name: K, about: AboutOf<E[K]>, cause?: unknown): Problem;
}

/** Makes a room's catalogue. Code = `room.name`; `type` is the page of that code in docs/reference/errors.md. */
export function makeCatalogue<E extends Entries>(room: string, entries: E): Catalogue<E> {
  return {
    room,
    entries,
    make(name, about, cause) {
      const entry = entries[name];
      if (entry === undefined) throw new Error(`the catalogue of ${room} has no problem ${name}`);
      const code = `${room}.${name}`;
      return new Problem(
        {
          type: `https://espalier.invalid/errors#${code.replace('.', '-')}`,
          code,
          title: entry.title,
          status: entry.status,
          detail: entry.detail(about),
          todo: entry.todo(about),
          retryable: entry.retryable ?? false,
          ...(typeof about === 'object' && about !== null ? { about: about as Record<string, unknown> } : {}),
        },
        cause,
      );
    },
  };
}

/** Problems that belong to no room. */
export const commonProblems = makeCatalogue('common', {
  internal: {
    status: 500,
    title: 'Something went wrong inside Espalier',
    detail: (a: { what: string }) => `${a.what}.`,
    todo: () => 'Look at the controller log for this time, then run `espalier doctor`.',
  },
  'invalid-input': {
    status: 400,
    title: 'The input is not valid',
    detail: (a: { where: string; why: string }) => `${a.where}: ${a.why}.`,
    todo: () => 'Correct the input and try again; nothing was changed.',
  },
  'not-found': {
    status: 404,
    title: 'There is no such thing',
    detail: (a: { noun: string; name: string }) => `There is no ${a.noun} named "${a.name}".`,
    todo: (a) => `List what there is with \`espalier ${a.noun} list\`.`,
  },
  'timed-out': {
    status: 504,
    title: 'It took longer than its bound',
    detail: (a: { what: string; seconds: number }) => `${a.what} did not end within ${a.seconds} s.`,
    todo: () => 'Run `espalier doctor` to see which engine is slow or away, then try again.',
    retryable: true,
  },
});

/** Any thrown value as a problem: problems as they are, everything else as common.internal with the cause kept. */
export function toProblem(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  const what = thrown instanceof Error ? thrown.message : String(thrown);
  return commonProblems.make('internal', { what: what.replace(/\.$/, '') }, thrown);
}
