// What the agent must remember of runs when it is killed: which it has begun, and how they ended until the controller has
// taken note. A file of JSON lines that only grows, written anew when it has grown enough. Apart from what runs are.
//
// Begun runs are not synced to the disk: the file survives the agent, and a machine that loses power loses its runs too.
// Ends are: a run that ended must not be taken for lost.
import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { runOrderSchema, runResultSchema } from '../../protocol/contract.ts';

const entrySchema = z.object({
  order: runOrderSchema,
  /** When it was begun, by the machine's monotonic clock, milliseconds. */
  beganMs: z.number(),
  result: runResultSchema.optional(),
});
export type JournalEntry = z.infer<typeof entrySchema>;

const lineSchema = z.union([
  z.object({ began: entrySchema }),
  z.object({ ended: z.object({ id: z.number(), result: runResultSchema }) }),
  z.object({ dropped: z.array(z.number()) }),
]);
type Line = z.infer<typeof lineSchema>;

export interface Journal {
  /** What was read when it was opened. */
  readonly found: readonly JournalEntry[];
  began(entries: readonly JournalEntry[]): Promise<void>;
  ended(id: number, result: NonNullable<JournalEntry['result']>): Promise<void>;
  /** Forgets runs. */
  dropped(ids: readonly number[]): Promise<void>;
  close(): Promise<void>;
}

/** Lines after which the file is written anew, with what still counts. */
const LINES_MOST = 10_000;

/** Applies lines in order; what cannot be read, such as a last line that was torn, is left out. */
export function parseJournal(text: string): Map<number, JournalEntry> {
  const entries = new Map<number, JournalEntry>();
  for (const line of text.split('\n')) {
    const parsed = lineSchema.safeParse(toJson(line));
    if (parsed.success) apply(entries, parsed.data);
  }
  return entries;
}

function toJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function apply(entries: Map<number, JournalEntry>, line: Line): void {
  if ('began' in line) entries.set(line.began.order.id, line.began);
  else if ('dropped' in line) for (const id of line.dropped) entries.delete(id);
  else {
    const entry = entries.get(line.ended.id);
    if (entry !== undefined) entries.set(line.ended.id, { ...entry, result: line.ended.result });
  }
}

const render = (lines: readonly Line[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join('');

interface Waiting {
  lines: readonly Line[];
  sync: boolean;
  done: PromiseWithResolvers<void>;
}

/** Opens the journal at `file`, made when it is missing. Writes that come while one is under way go together. */
export async function openJournal(file: string, linesMost = LINES_MOST): Promise<Journal> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const entries = parseJournal(await readFile(file, 'utf8').catch(() => ''));
  const found = [...entries.values()];
  let waiting: Waiting[] = [];
  let writing: Promise<void> | undefined;
  let lines = 0;
  let handle = await rewrite();

  async function rewrite(): Promise<FileHandle> {
    const draft = await open(`${file}.new`, 'w', 0o600);
    await draft.appendFile(render([...entries.values()].map((began) => ({ began }))));
    await draft.datasync();
    await rename(`${file}.new`, file);
    lines = entries.size;
    return draft;
  }

  async function write(batch: readonly Waiting[]): Promise<void> {
    const all = batch.flatMap((each) => each.lines);
    await handle.appendFile(render(all));
    if (batch.some((each) => each.sync)) await handle.datasync();
    for (const line of all) apply(entries, line);
    lines += all.length;
    if (lines - entries.size < linesMost) return;
    const old = handle;
    handle = await rewrite();
    await old.close();
  }

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      try {
        await write(batch);
        for (const each of batch) each.done.resolve();
      } catch (thrown) {
        for (const each of batch) each.done.reject(thrown);
      }
    }
    writing = undefined;
  }

  function add(more: readonly Line[], sync: boolean): Promise<void> {
    if (more.length === 0) return Promise.resolve();
    const done = Promise.withResolvers<void>();
    waiting.push({ lines: more, sync, done });
    writing ??= writeAll();
    return done.promise;
  }

  return {
    found,
    began: (more) =>
      add(
        more.map((began) => ({ began })),
        false,
      ),
    ended: (id, result) => add([{ ended: { id, result } }], true),
    dropped: (ids) => add(ids.length === 0 ? [] : [{ dropped: [...ids] }], false),
    async close() {
      await writing;
      await handle.close();
    },
  };
}
