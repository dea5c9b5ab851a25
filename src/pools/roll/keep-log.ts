// Keeps the last words of a node that failed, before its container is gone: what the engine logged, what systemd said
// failed, the end of its journal. Never in the way: a log that cannot be had is not waited for.
import { nameOfImage, type PoolParts } from '../parts.ts';
import { readNode, readPool } from '../store.ts';
import { insertNodeLog } from './store.ts';

const JOURNAL = ['journalctl', '--no-pager', '--quiet', '--lines=400', '--output=short-iso'];
const FAILED_UNITS = ['systemctl', '--no-pager', '--no-legend', 'list-units', '--failed'];
const READ_MS = 10_000;
/** Of each part so much of its end is kept. */
const PART_BYTES = 64 * 1024;
/** So many logs are kept of all pools. */
const KEPT_LOGS = 100;

/** Reads and stores it; whatever goes wrong, the caller goes on. */
export async function keepNodeLog(parts: PoolParts, name: string, why: string, signal: AbortSignal): Promise<void> {
  const { store, fleet } = parts;
  try {
    const node = await readNode(store, name);
    if (node === undefined || (await fleet.instances.read(name, { signal })) === undefined) return;
    const pool = await readPool(store, node.pool);
    const bound = { signal, timeoutMs: READ_MS, maxOutputBytes: PART_BYTES };
    const run = (argv: readonly string[]) =>
      fleet.exec(name, argv, bound).then(
        ({ stdout }) => stdout,
        (thrown: unknown) => `(${thrown instanceof Error ? thrown.message : String(thrown)})\n`,
      );
    const console_ = await fleet.instances.readLog(name, { signal, timeoutMs: READ_MS }).catch(() => '');
    const texts = [
      ['units that failed', await run(FAILED_UNITS)],
      ['journal', await run(JOURNAL)],
      ['console', console_.slice(-PART_BYTES)],
    ];
    const log = texts.map(([title, text]) => `== ${title}\n${text}`).join('\n');
    const image = nameOfImage(pool?.app ?? '?', node.imageNumber);
    await store.transaction((sql) => insertNodeLog(sql, { node: name, pool: node.pool, image, why, log }, KEPT_LOGS));
  } catch {
    signal.throwIfAborted();
  }
}
