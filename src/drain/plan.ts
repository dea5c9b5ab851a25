// What the emptying of a server would do: where everything would go, what stays, whether another loss could still be made
// good. Looked at before anything begins; the same answer refuses the drain and is shown by its dry run.
import { commonProblems } from '../lib/errors.ts';
import type { Sql } from '../platform/store.ts';
import { listNodes, listPools } from '../pools/store.ts';
import { type Placed, placeAll } from '../servers/place-all.ts';
import { findShortfalls, type Movable, renderShortfall } from '../servers/spare.ts';
import { listServers, readServer, type ServerRow } from '../servers/store.ts';
import { SERVICE_PAUSE_S } from './move-service.ts';
import type { DrainParts } from './parts.ts';
import { drainProblems } from './problems.ts';
import { listTenants, renderStaying, type Tenant } from './tenants.ts';

export interface DrainWish {
  /** What cannot go stays, in place of a refusal. */
  leaveBehind: boolean;
  /** For the runs of each node. */
  patienceS: number;
}

export interface DrainPlan {
  plan: string[];
  sites: string[];
  pauseS: number;
  /** How many nodes leave, and how many services. */
  nodes: number;
  services: number;
}

/** Refuses with the reason, or says what would be done. */
export async function planDrain(
  parts: DrainParts,
  name: string,
  wish: DrainWish,
  signal: AbortSignal,
): Promise<DrainPlan> {
  const { store: sql } = parts;
  const server = await readServer(sql, name);
  if (server === undefined) throw commonProblems.make('not-found', { noun: 'server', name });
  if (server.state !== 'ready' && server.state !== 'draining')
    throw drainProblems.make('wrong-state', { server: name, state: server.state, reason: server.reason });
  const tenants = await listTenants(parts, name, signal);
  const staying = tenants.filter(({ stays }) => stays !== null);
  // A controller alone is nothing that visitors would miss.
  const isMissed = staying.some(({ kind }) => kind !== 'controller');
  if (isMissed && !wish.leaveBehind)
    throw drainProblems.make('stays-behind', { server: name, what: renderStaying(staying) });
  const movers = tenants.filter(({ stays, passes }) => stays === null && passes === null);
  const others = (await listServers(sql)).map((one) =>
    one.name === name ? { ...one, state: 'draining' as const } : one,
  );
  const services = movers.filter(({ kind }) => kind !== 'node');
  const { placed, servers } =
    movers.length === 0 ? { placed: [], servers: others } : await place(sql, others, movers, name);
  const away = unique(staying);
  const waiting = unique(services);
  return {
    plan: [
      ...renderMoves(name, placed, services, wish.patienceS),
      ...tenants.flatMap(({ words, passes }) => (passes === null ? [] : [`It is relieved: ${words}; ${passes}.`])),
      ...staying.map(({ words, stays }) => `It stays: ${words}, since ${stays}.`),
      ...(await renderSpare(sql, servers, placed, name)),
      waiting.length === 0
        ? 'No visitor notices it.'
        : `Visitors of these wait about ${SERVICE_PAUSE_S} s, none is turned away: ${waiting.join(', ')}.`,
      away.length === 0
        ? 'While the server is off no site is away.'
        : `While the server is off these are away: ${away.join(', ')}.`,
      `${name} takes nothing new until \`espalier server undrain ${name}\`.`,
    ],
    ...{ sites: [...new Set([...waiting, ...away])].sort(), pauseS: waiting.length === 0 ? 0 : SERVICE_PAUSE_S },
    ...{ services: services.length, nodes: movers.filter(({ kind }) => kind === 'node').length },
  };
}

async function place(sql: Sql, servers: readonly ServerRow[], movers: readonly Tenant[], from: string) {
  const groups = new Map<string, Map<string, number>>();
  for (const { pool, server } of await listNodes(sql)) {
    if (server === null || server === from) continue;
    const on = groups.get(pool) ?? new Map<string, number>();
    groups.set(pool, on.set(server, (on.get(server) ?? 0) + 1));
  }
  return placeAll(servers, movers, groups);
}

const unique = (tenants: readonly Tenant[]): string[] => [...new Set(tenants.flatMap(({ sites }) => sites))].sort();

function renderMoves(
  server: string,
  placed: readonly Placed[],
  services: readonly Tenant[],
  patienceS: number,
): string[] {
  if (placed.length === 0) return [`Nothing on ${server} can go elsewhere.`];
  const nodes = placed.filter(({ name }) => !services.some((service) => service.name === name));
  const moves = services.flatMap(({ words, name }) => {
    const place = placed.find((one) => one.name === name);
    return place === undefined ? [] : [`It moves with its data: ${words}, to ${place.server}: ${place.reason}.`];
  });
  if (nodes.length === 0) return moves;
  const count = nodes.length === 1 ? '1 node' : `${nodes.length} nodes`;
  return [
    ...moves,
    ...nodes.map(({ name, server: to, reason }) => `In the place of ${name} a new one is made on ${to}: ${reason}.`),
    `${count} leave, of each pool one after another: the new one serves before the old one gets no more visitors. ` +
      `Requests end first, and runs of tasks have ${patienceS} s.`,
  ];
}

/** Whether one more server could be lost then. */
async function renderSpare(
  sql: Sql,
  servers: readonly ServerRow[],
  placed: readonly Placed[],
  from: string,
): Promise<string[]> {
  const memory = new Map((await listPools(sql)).map(({ name, nodeMemoryMb }) => [name, nodeMemoryMb]));
  const to = new Map(placed.map((one) => [one.name, one.server]));
  const movable = (await listNodes(sql)).flatMap(({ name, pool, server }): Movable[] => {
    const home = to.get(name) ?? server;
    return home === null || home === from ? [] : [{ server: home, memoryMb: memory.get(pool) ?? 0 }];
  });
  const ready = servers.filter(({ state }) => state === 'ready');
  if (ready.length < 2) return ['Then one server carries everything: the loss of it could not be made good (no N+1).'];
  const short = findShortfalls(ready, movable);
  if (short.length === 0) return ['The others could still lose one more server (N+1 holds).'];
  return [`N+1 does not hold meanwhile: ${short.map(renderShortfall).join('; ')}.`];
}
