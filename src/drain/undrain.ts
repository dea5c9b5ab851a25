// Ends the emptying of a server: it takes new things again. One that is still under way is cancelled; what has moved stays
// where it is, since nothing says that it was better here.
import { standByAgain } from '../edge/pass-on.ts';
import { commonProblems } from '../lib/errors.ts';
import { UNDER_WAY } from '../platform/operations/list-all.ts';
import type { Asker } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { serverLock } from '../servers/locks.ts';
import { readServer, storeDraining } from '../servers/store.ts';
import type { DrainParts } from './parts.ts';
import { drainProblems } from './problems.ts';

/** Stores it in the caller's transaction, or says why there is nothing to end. */
export async function storeUndrained(parts: DrainParts, sql: Sql, name: string, who: Asker): Promise<void> {
  const server = await readServer(sql, name);
  if (server === undefined) throw commonProblems.make('not-found', { noun: 'server', name });
  if (server.drainReason === null) throw drainProblems.make('not-draining', { server: name, state: server.state });
  const reason = who.reason ?? `${who.by} lets it take new things again`;
  await storeDraining(sql, name, null, reason);
  await parts.events.append(sql, { kind: 'server.undrained', subject: serverLock(name), by: who.by, reason });
}

/** The drain that is under way. */
export async function findDrain(parts: DrainParts, name: string): Promise<string | undefined> {
  const filter = { lock: serverLock(name), kind: 'server.drain', states: UNDER_WAY };
  return (await parts.operations.list(filter)).items[0]?.id;
}

/** Ends it, and cancels what is under way. */
export async function endDraining(parts: DrainParts, name: string, who: Asker): Promise<void> {
  await parts.store.transaction((sql) => storeUndrained(parts, sql, name, who));
  await standByAgain(parts, name);
  const under = await findDrain(parts, name);
  // One that ended between our look and now needs no cancelling.
  if (under !== undefined) await parts.operations.cancel(under, who.by).catch(() => undefined);
}
