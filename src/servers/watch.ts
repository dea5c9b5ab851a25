// Keeps the servers' states true. Wrong is: a server counts as ready and its agent has been silent for longer than
// LOST_AFTER_MS; it counts as lost and its agent is heard again; it is gone and not fenced; it is fenced and no operation puts the
// fence up; it is back and no operation cleans it. An agent that was frozen for a moment goes on over the same connection,
// without another hello.
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../platform/events.ts';
import { isHeld } from '../platform/operations/list-all.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Sql, Store } from '../platform/store.ts';
import type { Hearing } from './hearing.ts';
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
/**
 * A controller that is behind may keep two heartbeats waiting, one after the other, so that nothing of a server is stored for twice as
 * long; a third time keeps those that fall silent together from being judged one before the other (verdict.ts).
 */
const BEHIND_TIMES = 3;
const BY = { by: 'watch' };
/** A fence or a cleaning that failed is begun again after this. */
const AGAIN_MS = 10_000;

export interface WatchParts {
  store: Store;
  events: Events;
  operations: Operations;
  clock: Clock;
  witnesses: Witnesses;
  hearing: Pick<Hearing, 'behindMs'>;
  /** So many servers can carry containers now. */
  noteReady(count: number): void;
  /** The server whose controller decides now; undefined while there is one server alone. */
  readLeadingServer(sql: Sql): Promise<string | undefined>;
  /** The servers that the engine's cluster does not hear. */
  readOffline(signal: AbortSignal): Promise<ReadonlySet<string>>;
}

/** One look at all servers; returns how many are in which state, and how far the controller is behind with hearing them. */
export async function watchServers(parts: WatchParts, signal: AbortSignal): Promise<Record<string, number>> {
  const { store } = parts;
  const before = await listServers(store);
  // After they were read: what was stored by then has waited no longer than that.
  const behindMs = parts.hearing.behindMs();
  let changed = false;
  for (const server of before) {
    if (await noteSilence(parts, server, behindMs)) changed = true;
    if (await noteEngine(parts, server)) changed = true;
  }
  const servers = changed ? await listServers(store) : before;
  const wanted = await judgeAll(parts, servers, behindMs, signal);
  for (const { name, state, isFenceUp } of servers) {
    if (state === 'fenced' && !isFenceUp)
      wanted.push({ kind: 'server.fence', server: name, reason: 'its fence is not up yet' });
    if (state === 'back') wanted.push({ kind: 'server.clean', server: name, reason: 'it is heard again' });
  }
  await beginAll(parts, wanted);
  const counts: Record<string, number> = {};
  for (const { state } of servers) counts[state] = (counts[state] ?? 0) + 1;
  parts.noteReady(counts.ready ?? 0);
  return behindMs === 0 ? counts : { ...counts, behindMs: Math.round(behindMs) };
}

/** True when its state is another one now. */
async function noteSilence({ store, events }: WatchParts, server: ServerRow, behindMs: number): Promise<boolean> {
  const { name, state } = server;
  const silentMs = server.silentMs ?? Number.POSITIVE_INFINITY;
  const silent = silentMs > LOST_AFTER_MS + BEHIND_TIMES * behindMs;
  if (silent && state === 'back')
    return await storeServerState(store, name, 'fenced', 'it was heard, and is silent again');
  const isHeardState = state === 'ready' || state === 'draining';
  // One that was lost before the controller fell behind is not heard for that.
  if (silent ? !isHeardState : state !== 'lost' || silentMs > LOST_AFTER_MS) return false;
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

/** A fence or a cleaning. */
interface Wanted {
  kind: 'server.fence' | 'server.clean';
  server: string;
  reason: string;
}

/** Looks for who else hears those that are lost; gives the fences of those that are gone. */
async function judgeAll(
  parts: WatchParts,
  servers: readonly ServerRow[],
  behindMs: number,
  signal: AbortSignal,
): Promise<Wanted[]> {
  const { store, witnesses } = parts;
  const lost = servers.filter(({ state }) => state === 'lost');
  const wanted: Wanted[] = [];
  if (lost.length === 0) return wanted;
  const controller = await parts.readLeadingServer(store);
  const testimonies = new Map(lost.map(({ name }) => [name, witnesses.ask(name)]));
  const unheard = [...testimonies.values()].some(({ hear, deaf }) => hear.length + deaf.length === 0);
  // The engine needs twice as long as the agents to notice, and answers slowly while a member is away.
  const offline =
    unheard && controller !== undefined ? await parts.readOffline(signal).catch(() => undefined) : undefined;
  for (const server of lost) {
    const testimony = testimonies.get(server.name) ?? { hear: [], deaf: [] };
    const isOffline = offline?.has(server.name);
    const verdict = judgeLost(server, { servers, controller, testimony, isOffline, behindMs });
    if (verdict.gone) wanted.push({ kind: 'server.fence', server: server.name, reason: verdict.reason });
    else if (verdict.alive !== server.alive || verdict.reason !== server.reason)
      await storeSuspicion(store, server.name, verdict);
  }
  return wanted;
}

/** Begins them one after the other, but for those that cannot be begun now. */
async function beginAll(parts: WatchParts, wanted: readonly Wanted[]): Promise<void> {
  const { store, operations } = parts;
  // Asked all at once: a hundred that wait for their fences cost one wait for the store.
  const may = await Promise.all(wanted.map((one) => mayBegin(parts, one)));
  for (const { kind, server, reason } of wanted.filter((_, index) => may[index]))
    await store.transaction((sql) => operations.start(sql, kind, { server, why: reason }, { ...BY, reason }));
}

/** Unless one is under way there; one that failed is begun again after a pause. */
async function mayBegin({ operations, clock }: WatchParts, { kind, server }: Wanted): Promise<boolean> {
  const lock = fenceLock(server);
  if (await isHeld(operations, lock)) return false;
  const [last] = (await operations.list({ lock, kind, limit: 1 })).items;
  const failedMs = last === undefined || last.state === 'succeeded' ? undefined : Date.parse(last.endedAt ?? '');
  return failedMs === undefined || clock.nowMs() - failedMs >= AGAIN_MS;
}
