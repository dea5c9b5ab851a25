// Keeps the servers' states true. Wrong is: a server counts as ready and its agent has been silent for longer than
// LOST_AFTER_MS; it counts as lost and its agent is heard again; it is gone and not fenced; it is fenced and no operation puts the
// fence up; it is back and no operation cleans it. An agent that was frozen for a moment goes on over the same connection,
// without another hello.
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../platform/events.ts';
import { isHeld } from '../platform/operations/list-all.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Sql, Store } from '../platform/store.ts';
import { fenceLock, serverLock } from './locks.ts';
import {
  listServers,
  type ServerRow,
  storeEngineSilence,
  storeLost,
  storeReturn,
  storeServerState,
  storeSuspicion,
  toWell,
} from './store.ts';
import { judgeLost } from './verdict.ts';
import type { Witnesses } from './witnesses.ts';

/** Ten missed heartbeats. */
export const LOST_AFTER_MS = 10_000;
const BY = { by: 'watch' };
/** A fence or a cleaning that failed is begun again after this. */
const AGAIN_MS = 10_000;

export interface WatchParts {
  store: Store;
  events: Events;
  operations: Operations;
  clock: Clock;
  witnesses: Witnesses;
  /** So many servers can carry containers now. */
  noteReady(count: number): void;
  /** The server whose controller decides now; undefined while there is one server alone. */
  readLeadingServer(sql: Sql): Promise<string | undefined>;
  /** The servers that the engine's cluster does not hear. */
  readOffline(signal: AbortSignal): Promise<ReadonlySet<string>>;
}

/** One look at all servers; returns how many are in which state. */
export async function watchServers(parts: WatchParts, signal: AbortSignal): Promise<Record<string, number>> {
  const { store } = parts;
  const before = await listServers(store);
  let changed = false;
  for (const server of before) {
    if (await noteSilence(parts, server)) changed = true;
    if (await noteEngine(parts, server)) changed = true;
  }
  const servers = changed ? await listServers(store) : before;
  await judgeAll(parts, servers, signal);
  for (const { name, state, isFenceUp } of servers) {
    if (state === 'fenced' && !isFenceUp) await begin(parts, 'server.fence', name, 'its fence is not up yet');
    if (state === 'back') await begin(parts, 'server.clean', name, 'it is heard again');
  }
  const counts: Record<string, number> = {};
  for (const { state } of servers) counts[state] = (counts[state] ?? 0) + 1;
  parts.noteReady(counts.ready ?? 0);
  return counts;
}

/** True when its state is another one now. */
async function noteSilence({ store, events }: WatchParts, server: ServerRow): Promise<boolean> {
  const { name, state } = server;
  const silentMs = server.silentMs ?? Number.POSITIVE_INFINITY;
  const silent = silentMs > LOST_AFTER_MS;
  if (silent && state === 'back')
    return await storeServerState(store, name, 'fenced', 'it was heard, and is silent again');
  const isHeardState = state === 'ready' || state === 'draining';
  if (silent ? !isHeardState : state !== 'lost') return false;
  const reason = silent ? `no heartbeat for ${Math.round(silentMs / 1000)} s` : 'its agent is heard again';
  return await store.transaction(async (sql) => {
    const changed = silent
      ? await storeLost(sql, name, reason)
      : await storeReturn(sql, name, { from: 'lost', reason });
    if (!changed) return false;
    const kind = `server.${silent ? 'lost' : toWell(server)}`;
    await events.append(sql, { kind, subject: serverLock(name), ...BY, reason });
    return true;
  });
}

/** The agent is well and the engine beside it answers nobody: said, and nothing is placed there. True when that has changed. */
async function noteEngine({ store, events, witnesses }: WatchParts, server: ServerRow): Promise<boolean> {
  const { name, state, isEngineSilent } = server;
  if (state !== 'ready' && state !== 'draining') return false;
  const { hear, deaf } = witnesses.ask(name);
  const isSilent = deaf.length > hear.length;
  // Without word nothing is changed.
  if (isSilent === isEngineSilent || hear.length + deaf.length === 0) return false;
  const reason = isSilent
    ? `its agent is heard, but its Incus does not answer ${deaf.toSorted().join(', ')}: what runs there runs on, nothing new is placed there`
    : 'its Incus answers again';
  return await store.transaction(async (sql) => {
    if (!(await storeEngineSilence(sql, name, { isSilent, reason }))) return false;
    const kind = `server.engine-${isSilent ? 'silent' : 'heard'}`;
    await events.append(sql, { kind, subject: serverLock(name), ...BY, reason });
    return true;
  });
}

/** Looks for who else hears those that are lost, and has those fenced that are gone. */
async function judgeAll(parts: WatchParts, servers: readonly ServerRow[], signal: AbortSignal): Promise<void> {
  const { store, witnesses } = parts;
  const lost = servers.filter(({ state }) => state === 'lost');
  if (lost.length === 0) return;
  const controller = await parts.readLeadingServer(store);
  const testimonies = new Map(lost.map(({ name }) => [name, witnesses.ask(name)]));
  const unheard = [...testimonies.values()].some(({ hear, deaf }) => hear.length + deaf.length === 0);
  // The engine needs twice as long as the agents to notice, and answers slowly while a member is away.
  const offline =
    unheard && controller !== undefined ? await parts.readOffline(signal).catch(() => undefined) : undefined;
  for (const server of lost) {
    const testimony = testimonies.get(server.name) ?? { hear: [], deaf: [] };
    const isOffline = offline?.has(server.name);
    const verdict = judgeLost(server, { servers, controller, testimony, isOffline });
    if (verdict.gone) await begin(parts, 'server.fence', server.name, verdict.reason);
    else await storeSuspicion(store, server.name, verdict);
  }
}

/** Begins a fence or a cleaning unless one is under way there; one that failed is begun again after a pause. */
async function begin(parts: WatchParts, kind: string, server: string, reason: string): Promise<void> {
  const { store, operations, clock } = parts;
  const lock = fenceLock(server);
  if (await isHeld(operations, lock)) return;
  const [last] = (await operations.list({ lock, kind, limit: 1 })).items;
  const failedMs = last === undefined || last.state === 'succeeded' ? undefined : Date.parse(last.endedAt ?? '');
  if (failedMs !== undefined && clock.nowMs() - failedMs < AGAIN_MS) return;
  await store.transaction((sql) => operations.start(sql, kind, { server, why: reason }, { ...BY, reason }));
}
