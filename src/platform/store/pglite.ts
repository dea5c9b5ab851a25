// The embedded engine: PGlite in the controller's own process, one session, in a data directory or in memory.
// Apart from PostgreSQL because here transactions queue for the only session.
import { PGlite } from '@electric-sql/pglite';
import { lockDataDir } from './data-dir-lock.ts';
import { DurableFs, makeDataDir, makeDurableStartParams, syncTree } from './durable-files.ts';
import type { Lender } from './make-store.ts';
import { storeProblems } from './problems.ts';
import { parsers, toText } from './values.ts';

// Longer than any sound transaction; what waits longer most likely waits for itself.
const LEND_TIMEOUT_MS = 30_000;
/** Whoever is not of the store waits no longer than this for a turn, but for a single slow statement. */
const MOST_TURN_MS = 10;

// Every parameter is text already, whatever its type's OID.
const textSerializers = new Proxy<Record<number, (value: unknown) => string>>(
  {},
  { get: () => (value: string) => value },
);

export interface PgliteOptions {
  /** Without it: in memory. */
  dataDir?: string;
  /** A dump to begin with (`dumpDataDir`), for tests. */
  from?: Blob;
}

/** Opens PGlite and lends its one session to one borrower after the other, in the order they asked. */
export async function makePgliteLender(options: PgliteOptions): Promise<Lender & { readonly pglite: PGlite }> {
  const { dataDir } = options;
  const unlock = dataDir === undefined ? () => {} : await lockDataDir(dataDir);
  const opening = dataDir === undefined ? openInMemory(options.from) : openInDirectory(dataDir);
  const pglite = await opening.catch((error: unknown) => {
    unlock();
    throw error;
  });
  await pglite.exec("set timezone = 'UTC'; set datestyle = 'ISO'");

  const connection = {
    async query(text: string, values: readonly unknown[]) {
      const result = await pglite.query(text, values.map(toText), { serializers: textSerializers });
      return result.rows;
    },
    async script(text: string) {
      await pglite.exec(text);
    },
  };
  const queue = makeQueue(LEND_TIMEOUT_MS);
  let closed = false;
  return {
    engine: 'pglite',
    pglite,
    async lend() {
      if (closed) throw storeProblems.make('away', { why: 'it has been closed' });
      const leave = await queue();
      return { connection, release: leave };
    },
    async close() {
      if (closed) return;
      closed = true;
      const leave = await queue();
      leave();
      await pglite.close();
      unlock();
    },
  };
}

function openInMemory(from: Blob | undefined): Promise<PGlite> {
  return PGlite.create({ ...(from === undefined ? {} : { loadDataDir: from }), parsers });
}

async function openInDirectory(dataDir: string): Promise<PGlite> {
  const isNew = await makeDataDir(dataDir);
  const pglite = await PGlite.create({ fs: new DurableFs(dataDir), startParams: makeDurableStartParams(), parsers });
  if (isNew) await syncTree(dataDir);
  return pglite;
}

/**
 * First come, first served; resolves with the function that lets the next one in. The engine answers within the turn of the event
 * loop in which it was asked: under load, timers and sockets would never have theirs, so now and then the next one waits for that.
 */
function makeQueue(timeoutMs: number): () => Promise<() => void> {
  const waiting: (() => void)[] = [];
  let taken = false;
  let turnMs = performance.now();
  const pass = () => {
    const next = waiting.shift();
    if (next === undefined) taken = false;
    else next();
  };
  const leave = () => {
    if (performance.now() - turnMs < MOST_TURN_MS) return pass();
    setImmediate(() => {
      turnMs = performance.now();
      pass();
    });
  };
  return () => {
    if (!taken) {
      taken = true;
      return Promise.resolve(leave);
    }
    return new Promise((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer);
        resolve(leave);
      };
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(enter), 1);
        const why = `a transaction was still open after ${timeoutMs / 1000} s, or this query was made inside it but not with its sql`;
        reject(storeProblems.make('busy', { why }));
      }, timeoutMs);
      waiting.push(enter);
    });
  };
}
