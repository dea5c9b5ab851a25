// The two steps by which data from outside become a new site's: its database and its files. What was sent is loaded by an account
// that has nothing but this database, and unpacked where only root comes; nothing of it is run as root.

import type { Step } from '../../platform/operations/operation.ts';
import type { Json } from '../../platform/store.ts';
import { COPY_MS, type RootCommand, renderBeforeSending, renderRemoveSent, runAsRoot, sentFileOf } from '../files.ts';
import { readServingNodes } from '../nodes.ts';
import type { SiteParts } from '../parts.ts';
import { type PlacedSite, readPlacedSite } from '../snapshots/take.ts';
import { transferProblems } from './problems.ts';

/** Of some gigabytes over a busy disk, read, sent and loaded. */
export const TAKE_IN_MS = 2 * COPY_MS;

export const uploadLock = (upload: string): string => `upload:${upload}`;

export interface TakenIn {
  /** A dump, compressed by zstd. */
  database(): Promise<AsyncIterable<Uint8Array>>;
  /** A tar archive; undefined when there are no files. */
  files(): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Unpacks it into the site's folder, by commands that root runs in a node. */
  unpack(site: PlacedSite, run: (commands: RootCommand[]) => Promise<string>): Promise<Json | undefined>;
}

export function makeTakeInSteps(parts: SiteParts, id: string, source: TakenIn) {
  const { databases } = parts;
  const dumpName = `${id}-import.sql.zst`;
  const toProblem = (name: string) => (why: string) => transferProblems.make('unpack-failed', { site: name, why });
  return {
    database: {
      name: 'database',
      timeoutMs: TAKE_IN_MS,
      async do({ signal }) {
        const { databaseServer } = await readPlacedSite(parts, id);
        const dump = await databases.writeDump(databaseServer, dumpName, await source.database(), signal);
        await databases.load(databaseServer, id, dump, signal);
        await databases.removeDump(databaseServer, dump.path, signal);
        return { bytes: dump.bytes };
      },
      async undo({ signal }) {
        const { databaseServer } = await readPlacedSite(parts, id);
        await databases.removeDump(databaseServer, databases.dumpPath(dumpName), signal);
      },
    },
    files: {
      name: 'files',
      timeoutMs: TAKE_IN_MS,
      async do({ signal }) {
        const site = await readPlacedSite(parts, id);
        const pieces = await source.files();
        if (pieces === undefined) return undefined;
        const run = (commands: RootCommand[]) => runAsRoot(parts, site.pool, commands, toProblem(site.name), signal);
        await run(renderBeforeSending());
        const [node] = await readServingNodes(parts, site);
        await parts.pools.fleet.files.writePieces(node.name, sentFileOf(id), pieces, { signal, mode: 0o600 });
        const found = await source.unpack(site, run);
        await run(renderRemoveSent(id));
        return found;
      },
      async undo({ signal }) {
        const site = await readPlacedSite(parts, id);
        await runAsRoot(parts, site.pool, renderRemoveSent(id), toProblem(site.name), signal);
      },
    },
  } satisfies Record<string, Step>;
}
