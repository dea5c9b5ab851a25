// Where the uploads of a pool's sites lie: on a volume, which keeps its nodes on one server, or below the folder that all
// servers share. Apart from making pools and nodes, which both ask.
import { join } from 'node:path';
import type { Device } from '../engines/fleet.ts';
import type { Sql } from '../platform/store.ts';
import type { SharedContent } from '../protocol/contract.ts';
import type { OnlyOn } from '../servers/place.ts';
import { serverProblems } from '../servers/problems.ts';
import { contentVolume, type PoolParts } from './parts.ts';
import { readPool } from './store.ts';

const MOUNT = '/srv/content';
/** Thousands of uploads over a network. */
const DISCARD_MS = 55_000;
/** A container's ids. */
const MAP_SIZE = 65_536;
/** Root's range of sub-ids ends here (`espalier up` writes it); maps that the engine chooses by itself begin at its start. */
const LAST_ID = 1_001_000_000;

/** The pool's folder; undefined when it has a volume. */
export async function readSharedContent(parts: PoolParts, sql: Sql, pool: string): Promise<SharedContent | undefined> {
  const base = (await readPool(sql, pool))?.contentBase ?? null;
  if (base === null) return undefined;
  const shared = await parts.readSharedFolder(sql);
  if (shared === undefined) throw new Error(`the pool ${pool} lies in a shared folder, and there is none`);
  return { root: shared.path, mark: shared.id, path: join(shared.path, parts.deployment, pool), base };
}

/** Chooses the ids of a new pool's content, the highest that are free; in the caller's transaction. */
export async function storeContentBase(sql: Sql, pool: string): Promise<void> {
  const rows = await sql.query<{ base: number }>(
    'SELECT content_base AS base FROM pool WHERE content_base IS NOT NULL ORDER BY content_base DESC',
  );
  const taken = new Set(rows.map(({ base }) => base));
  let base = LAST_ID - MAP_SIZE;
  while (taken.has(base)) base -= MAP_SIZE;
  await sql.query('UPDATE pool SET content_base = $2 WHERE name = $1 AND content_base IS NULL', [pool, base]);
}

/** What a container needs to have it under a path, that of nodes unless told. */
export function renderContent(
  pool: string,
  shared: SharedContent | undefined,
  path = MOUNT,
): { device: Device; config: Record<string, string> } {
  const isolated = { 'security.idmap.isolated': 'true' };
  if (shared === undefined) return { device: { kind: 'volume', volume: contentVolume(pool), path }, config: isolated };
  return {
    device: { kind: 'disk', source: shared.path, path },
    config: { ...isolated, 'security.idmap.base': String(shared.base), 'security.idmap.size': String(MAP_SIZE) },
  };
}

/** The server that a pool's nodes are bound to, with the reason; undefined when they may be on any. */
export async function readContentServer(parts: PoolParts, pool: string): Promise<OnlyOn | undefined> {
  if ((await readPool(parts.store, pool))?.contentBase != null) return undefined;
  const volume = await parts.fleet.volumes.read(contentVolume(pool));
  if (volume === undefined) return undefined;
  return { server: volume.server, why: `the uploads of ${pool} lie on a volume there` };
}

/** Removes the pool's content with everything in it; what is gone is fine. */
export async function removeContent(parts: PoolParts, pool: string, signal: AbortSignal): Promise<void> {
  const content = await readSharedContent(parts, parts.store, pool);
  if (content === undefined) return await parts.fleet.volumes.delete(contentVolume(pool), { signal });
  const [server] = parts.agents.connected();
  if (server === undefined) throw serverProblems.make('not-connected', { server: 'any server' });
  await parts.agents.call(server, 'pool.discard', { content }, { timeoutMs: DISCARD_MS, signal });
}
