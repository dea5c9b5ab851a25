// One kind of service put together: its operations registered, its loop, its open engines. What databases/ and caches/
// have in common for the rest of the program.

import { type Loop, makeLoop } from '../platform/loops.ts';
import type { Asker, Operation } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { makeServiceCreate, startServiceCreate } from './create.ts';
import { endSessionsFrom } from './end-sessions.ts';
import { makeServiceEngines } from './engines.ts';
import { makeServiceHomes, type ServiceHomes } from './homes.ts';
import { makeAccessKeeper } from './keep-access.ts';
import type { ServiceEngine, ServiceParts } from './kind.ts';
import type { ServiceNoun } from './noun.ts';
import type { ServiceProblems } from './problems.ts';
import { makeServiceRemove, startServiceRemove } from './remove.ts';
import { makeServiceRenew, startServiceRenew } from './renew.ts';
import { listServices, type NewService, readService, type ServiceRow } from './store.ts';
import { makeServiceWatch } from './watch.ts';

/** A server with the number of sites on it. */
export type ServiceView = ServiceRow & { sites: number };

export interface Service<E extends ServiceEngine> {
  readonly noun: ServiceNoun;
  readonly problems: ServiceProblems;
  /** To be added to the loops: it looks after all servers. */
  readonly watch: Loop;
  /** To be added too: it lets every controller in. */
  readonly access: Loop;
  list(sql: Sql): Promise<ServiceView[]>;
  read(sql: Sql, name: string): Promise<ServiceView | undefined>;
  /** Each begins an operation in the caller's transaction. */
  startCreate(sql: Sql, wish: Omit<NewService, 'name'> & { name?: string | undefined }, who: Asker): Promise<Operation>;
  startRemove(sql: Sql, wish: { name: string; deleteBackups: boolean }, who: Asker): Promise<Operation>;
  startRenew(sql: Sql, wish: { name: string; image: string }, who: Asker): Promise<Operation>;
  /** For moving one to another server. */
  readonly homes: ServiceHomes;
  /** Fingerprint of the newest image of this kind. */
  readServiceImage(): Promise<string>;
  /** The open engine of a server; `common.not-found`. */
  engineFor(name: string): Promise<E>;
  /** Ends every session from these networks at all servers but those on `apart`; gives what it left out, in words. */
  endSessions(
    from: { networks: readonly string[]; apart: ReadonlySet<string> },
    signal: AbortSignal,
  ): Promise<string[]>;
  /** Closes every open engine. */
  close(): Promise<void>;
}

/** Puts a kind together and registers its operations. */
export function makeService<E extends ServiceEngine>(parts: ServiceParts<E>): Service<E> {
  const { kind, operations, problems } = parts;
  const engines = makeServiceEngines(parts);
  operations.register(makeServiceCreate(parts));
  operations.register(makeServiceRenew(parts));
  operations.register(makeServiceRemove(parts));
  return {
    noun: kind.noun,
    problems,
    watch: makeServiceWatch(parts, engines),
    access: makeLoop({
      name: `${kind.noun}.access`,
      wrongWhen: `a controller would not be let in by a ${kind.noun} server, from where it comes`,
      everyMs: 5_000,
      timeoutMs: 60_000,
      runOnce: makeAccessKeeper(parts),
    }),
    async list(sql) {
      const [rows, counts] = [await listServices(sql, kind.noun), await parts.countSites(sql)];
      return rows.map((row) => ({ ...row, sites: counts.get(row.name) ?? 0 }));
    },
    async read(sql, name) {
      const row = await readService(sql, kind.noun, name);
      return row === undefined ? undefined : { ...row, sites: (await parts.countSites(sql)).get(name) ?? 0 };
    },
    startCreate: (sql, wish, who) => startServiceCreate(parts, sql, wish, who),
    startRemove: (sql, wish, who) => startServiceRemove(parts, sql, wish, who),
    startRenew: (sql, wish, who) => startServiceRenew(parts, sql, wish, who),
    homes: makeServiceHomes(parts),
    readServiceImage: () => parts.readServiceImage(),
    engineFor: (name) => engines.engineFor(name),
    endSessions: (from, signal) => endSessionsFrom(parts, engines, from, signal),
    close: () => engines.close(),
  };
}
