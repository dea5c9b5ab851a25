// The databases room as others see it: makes and looks after database servers, places sites on them, and does what a
// site needs of its server.
import type { DatabaseDump, DatabaseEngine, DatabaseLimits, DatabaseSite } from '../engines/database-engine.ts';
import { commonProblems } from '../lib/errors.ts';
import type { Sql } from '../platform/store.ts';
import type { ServiceLogin, ServiceParts } from '../services/kind.ts';
import { type ChosenService, placeOnService } from '../services/place.ts';
import { makeService, type Service } from '../services/service.ts';
import { DUMPS_PATH, makeDatabaseKind } from './kind.ts';
import { databaseProblems } from './problems.ts';

export interface DatabaseParts extends Omit<ServiceParts<DatabaseEngine>, 'kind' | 'problems'> {
  /** `connectMariadb(fleet)`, or the simulated one. */
  makeEngine(login: ServiceLogin): DatabaseEngine;
}

/** All servers are named by their name in the store; `common.not-found` for one that is unknown. */
export interface Databases extends Service<DatabaseEngine> {
  /** Chooses the server for a new site; the caller stores the choice in the same transaction. */
  place(sql: Sql): Promise<ChosenService>;
  createSite(server: string, site: DatabaseSite, signal: AbortSignal): Promise<void>;
  dropSite(server: string, site: { name: string; user: string }, signal: AbortSignal): Promise<void>;
  setLimits(server: string, user: string, limits: DatabaseLimits, signal: AbortSignal): Promise<void>;
  lockSite(server: string, user: string, signal: AbortSignal): Promise<void>;
  unlockSite(server: string, user: string, signal: AbortSignal): Promise<void>;
  /** Dumps into a file of this name on the server's volume for backups. */
  dump(server: string, name: string, file: string, signal: AbortSignal): Promise<DatabaseDump>;
  restore(server: string, name: string, dump: { path: string; sha256: string }, signal: AbortSignal): Promise<void>;
  removeDump(server: string, path: string, signal: AbortSignal): Promise<void>;
  readDump(server: string, path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /** As a file of this name, as `dump` does. */
  writeDump(
    server: string,
    file: string,
    pieces: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<DatabaseDump>;
  /** As restore, for a dump that nobody vouches for. */
  load(server: string, name: string, dump: { path: string; sha256: string }, signal: AbortSignal): Promise<void>;
  /** Where a dump of this name lies on every server. */
  dumpPath(file: string): string;
}

/** Makes the room and registers its operations. */
export function makeDatabases({ makeEngine, ...rest }: DatabaseParts): Databases {
  const parts = { ...rest, kind: makeDatabaseKind(makeEngine), problems: databaseProblems };
  const service = makeService(parts);
  const { engineFor } = service;
  return {
    ...service,
    place: (sql) => placeOnService(parts, sql),
    createSite: async (server, site, signal) => (await engineFor(server)).createSite(site, signal),
    dropSite: async (server, site, signal) => (await engineFor(server)).dropSite(site, signal),
    setLimits: async (server, user, limits, signal) => (await engineFor(server)).setLimits(user, limits, signal),
    lockSite: async (server, user, signal) => (await engineFor(server)).lockSite(user, signal),
    unlockSite: async (server, user, signal) => (await engineFor(server)).unlockSite(user, signal),
    dump: async (server, name, file, signal) => (await engineFor(server)).dump(name, toDumpPath(file), signal),
    restore: async (server, name, dump, signal) => (await engineFor(server)).restore(name, dump, signal),
    removeDump: async (server, path, signal) => (await engineFor(server)).removeDump(path, signal),
    readDump: async (server, path, signal) => (await engineFor(server)).readDump(path, signal),
    writeDump: async (server, file, pieces, signal) =>
      (await engineFor(server)).writeDump(toDumpPath(file), pieces, signal),
    load: async (server, name, dump, signal) => (await engineFor(server)).load(name, dump, signal),
    dumpPath: toDumpPath,
  };
}

function toDumpPath(file: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/.test(file)) return `${DUMPS_PATH}/${file}`;
  throw commonProblems.make('invalid-input', { where: 'file', why: 'a dump has a plain file name' });
}
