// What a change of a pool would do, for people: where its nodes would go and why there is room, or which would leave. The
// refusals are those of the change itself, which is rehearsed first.

import type { Asker } from '../platform/operations/operation.ts';
import { rehearse } from '../platform/rehearse.ts';
import type { Sql } from '../platform/store.ts';
import { choosePlacement, freeMb, RESERVED_MEMORY_MB } from '../servers/place.ts';
import { listServers } from '../servers/store.ts';
import { type NewPool, startPoolCreate } from './create.ts';
import { startPoolDelete } from './delete.ts';
import { nameOfImage, type PoolParts } from './parts.ts';
import { startPoolScale } from './scale.ts';
import { sortLeaving } from './start-nodes.ts';
import { listNodes, type PoolRow, readPool } from './store.ts';

/** As `planSchema` of platform/http.ts. */
export interface PoolPlan {
  plan: string[];
  sites: string[];
  pauseS: number;
}

const nodes = (count: number): string => (count === 1 ? '1 node' : `${count} nodes`);

/** Where new nodes would go, as each placement sees those before it. */
async function planNodes(sql: Sql, pool: PoolRow, count: number): Promise<string[]> {
  const servers = await listServers(sql);
  if (!servers.some(({ state, load }) => state === 'ready' && load !== undefined))
    return ['No server has reported yet; the nodes wait for one.'];
  const groupOn = new Map<string, number>();
  for (const { server } of await listNodes(sql, { pool: pool.name }))
    if (server !== null) groupOn.set(server, (groupOn.get(server) ?? 0) + 1);
  const chosen = new Map<string, { count: number; reason: string }>();
  for (let made = 0; made < count; made += 1) {
    const { server, reason } = choosePlacement(servers, { memoryMb: pool.nodeMemoryMb, groupOn });
    groupOn.set(server, (groupOn.get(server) ?? 0) + 1);
    chosen.set(server, { count: (chosen.get(server)?.count ?? 0) + 1, reason: chosen.get(server)?.reason ?? reason });
  }
  const free = servers.reduce((sum, server) => sum + Math.max(0, freeMb(server) - RESERVED_MEMORY_MB), 0);
  return [
    ...[...chosen].map(([server, one]) => `${nodes(one.count)} on ${server}: ${one.reason}.`),
    `They are expected to use ${count * pool.nodeMemoryMb} MB; ${free} MB can be used.`,
  ];
}

/** Of a new pool. */
export function planPoolCreate(parts: PoolParts, wish: NewPool, who: Asker): Promise<PoolPlan> {
  return rehearse(parts.store, async (sql) => {
    await startPoolCreate(parts, sql, wish, who);
    const pool = await readPool(sql, wish.name);
    if (pool === undefined) throw new Error('a pool that was just stored is there');
    const image = nameOfImage(pool.app, pool.imageNumber);
    const owner = pool.dedicatedTo === null ? undefined : await parts.findSite(sql, pool.dedicatedTo);
    const forWhom = owner === undefined ? `for up to ${pool.maxSites} sites` : `for ${owner.name} alone`;
    const plan = [
      `The pool ${pool.name} is made with ${nodes(pool.wanted)} of ${image}, ${pool.worksFor === null ? forWhom : `to work for ${pool.worksFor}`}.`,
      ...(await planNodes(sql, pool, pool.wanted)),
      ...(owner === undefined ? [] : [`${owner.name} stays where it is until it is moved there.`]),
    ];
    return { plan, sites: [], pauseS: 0 };
  });
}

/** Of another size. */
export function planPoolScale(parts: PoolParts, name: string, size: number, who: Asker): Promise<PoolPlan> {
  return rehearse(parts.store, async (sql) => {
    await startPoolScale(parts, sql, name, size, who);
    const pool = await readPool(sql, name);
    if (pool === undefined) throw new Error('a pool that can be scaled is there');
    const living = (await listNodes(sql, { pool: name })).filter(
      ({ state }) => state === 'ready' || state === 'booting',
    );
    const leaving = (await sortLeaving(sql, pool, living)).slice(0, Math.max(0, living.length - size));
    const more = Math.max(0, size - living.length);
    const plan = [
      `${name} goes from ${nodes(pool.wanted)} to ${size}; ${living.length} live now.`,
      ...(more === 0 ? [] : await planNodes(sql, pool, more)),
      ...leaving.map((node) => `${node.name} on ${node.server} leaves: its requests end first.`),
    ];
    return { plan, sites: [], pauseS: 0 };
  });
}

/** Of a pool's end. */
export function planPoolDelete(
  parts: PoolParts,
  wish: { name: string; deleteBackups: boolean },
  who: Asker,
): Promise<PoolPlan> {
  return rehearse(parts.store, async (sql) => {
    const living = await listNodes(sql, { pool: wish.name });
    await startPoolDelete(parts, sql, wish, who);
    const plan = [
      `The pool ${wish.name} goes with ${nodes(living.length)} and its volume of uploads; no site lives on it.`,
      wish.deleteBackups
        ? 'Final backups of deleted sites on its volume go too.'
        : 'It is refused if final backups of deleted sites lie on its volume.',
    ];
    return { plan, sites: [], pauseS: 0 };
  });
}
