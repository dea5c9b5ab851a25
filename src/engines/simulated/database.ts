// A database server in memory: the twin of engines/mariadb/ for tests and `up --simulated`. It keeps accounts,
// databases (as lists of notes) and dumps, refuses what MariaDB refuses, and can be told to fail.
import { createHash } from 'node:crypto';
import { type Clock, makeSystemClock } from '../../lib/clock.ts';
import { isWithin } from '../../lib/ipv4.ts';
import type { DatabaseEngine, DatabaseLimits } from '../database-engine.ts';
import { mariadbProblems } from '../mariadb/problems.ts';
import { type EngineFaults, makeEngineFaults } from './engine-faults.ts';

export type DatabaseCall = Exclude<keyof DatabaseEngine, 'close'>;

/** A site's own connection to the twin. What it writes are notes in its database. */
export interface SimulatedSession {
  write(note: string): void;
  /** Of its own database, or of another's, which is refused. */
  read(database?: string): string[];
  close(): void;
}

export interface SimulatedDatabase extends DatabaseEngine {
  readonly faults: EngineFaults<DatabaseCall>;
  /** Changes a database as a command of its site would; nothing happens where it is not. */
  alter(name: string, change: (notes: readonly string[]) => readonly string[]): void;
  /**
   * Logs in as a site, from an address where that matters; throws when the account is unknown or locked, the password wrong,
   * or the limit reached.
   */
  login(user: string, password: string, database: string, from?: string): SimulatedSession;
  /** Paths of the dumps that lie on it. */
  dumps(): string[];
}

interface Account {
  password: string;
  limits: DatabaseLimits;
  locked: boolean;
  /** Each with the address that it comes from. */
  sessions: Map<symbol, string>;
  databases: Set<string>;
}

const megabyte = 1024 * 1024;

/** What a dump of the twin holds; one that came from elsewhere is a note by itself. */
function toNotes(content: string): string[] {
  try {
    return JSON.parse(content) as string[];
  } catch {
    return [content];
  }
}

export function makeSimulatedDatabase(options: { server?: string; clock?: Clock } = {}): SimulatedDatabase {
  const clock = options.clock ?? makeSystemClock();
  const server = options.server ?? 'simulated:3306';
  const startedMs = clock.monotonicMs();
  const { faults, run } = makeEngineFaults<DatabaseCall>(clock);
  const accounts = new Map<string, Account>();
  const databases = new Map<string, string[]>();
  const dumps = new Map<string, string>();
  let transactions = 0;

  const accountOf = (user: string): Account => {
    const account = accounts.get(user);
    if (account === undefined) throw mariadbProblems.make('unknown-site', { server, name: user });
    return account;
  };
  const notesOf = (name: string): string[] => {
    const notes = databases.get(name);
    if (notes === undefined) throw mariadbProblems.make('unknown-site', { server, name });
    return notes;
  };
  const bytesOf = (notes: readonly string[]) => notes.reduce((sum, note) => sum + note.length, megabyte);
  const digest = (content: string) => createHash('sha256').update(content).digest('hex');

  return {
    faults,

    createSite: (site, signal) =>
      run('createSite', signal, () => {
        transactions += 1;
        if (!databases.has(site.name)) databases.set(site.name, []);
        const { sessions = new Map<symbol, string>(), databases: granted = new Set<string>() } =
          accounts.get(site.user) ?? {};
        granted.add(site.name);
        const { password, limits } = site;
        accounts.set(site.user, { password, limits, locked: false, sessions, databases: granted });
      }),

    dropSite: (site, signal) =>
      run('dropSite', signal, () => {
        transactions += 1;
        accounts.get(site.user)?.sessions.clear();
        accounts.delete(site.user);
        databases.delete(site.name);
      }),

    setLimits: (user, limits, signal) =>
      run('setLimits', signal, () => {
        accountOf(user).limits = limits;
      }),

    lockSite: (user, signal) =>
      run('lockSite', signal, () => {
        const account = accountOf(user);
        account.locked = true;
        account.sessions.clear();
      }),

    unlockSite: (user, signal) =>
      run('unlockSite', signal, () => {
        accountOf(user).locked = false;
      }),

    endSessions: (networks, signal) =>
      run('endSessions', signal, () => {
        for (const { sessions } of accounts.values())
          for (const [session, from] of sessions) if (isWithin(from, networks)) sessions.delete(session);
      }),

    listSites: (signal) =>
      run('listSites', signal, () =>
        [...databases]
          .map(([name, notes]) => ({ name, bytes: bytesOf(notes) }))
          .sort((a, b) => (a.name < b.name ? -1 : 1)),
      ),

    sizeOf: (name, signal) =>
      run('sizeOf', signal, () => {
        const notes = databases.get(name);
        return notes === undefined ? undefined : bytesOf(notes);
      }),

    checkHealth: (signal) =>
      run('checkHealth', signal, () => ({
        version: '11.8.0-simulated',
        readOnly: false,
        uptimeS: Math.floor((clock.monotonicMs() - startedMs) / 1000),
        connections: {
          used: [...accounts.values()].reduce((sum, account) => sum + account.sessions.size, 0),
          max: 150,
        },
        gtidPosition: transactions === 0 ? '' : `0-1-${transactions}`,
      })),

    dump: (name, path, signal) =>
      run('dump', signal, () => {
        const content = JSON.stringify(notesOf(name));
        dumps.set(path, content);
        return { path, bytes: content.length, sha256: digest(content) };
      }),

    restore: (name, dump, signal) =>
      run('restore', signal, () => {
        const content = dumps.get(dump.path);
        if (content === undefined || digest(content) !== dump.sha256) {
          throw mariadbProblems.make('bad-dump', { server, path: dump.path });
        }
        databases.set(name, JSON.parse(content) as string[]);
      }),

    removeDump: (path, signal) =>
      run('removeDump', signal, () => {
        dumps.delete(path);
      }),

    readDump: (path, signal) =>
      run('readDump', signal, () => {
        const content = dumps.get(path);
        if (content === undefined) throw mariadbProblems.make('bad-dump', { server, path });
        return (async function* () {
          yield Buffer.from(content);
        })();
      }),

    async writeDump(path, pieces, signal) {
      const all: Uint8Array[] = [];
      for await (const piece of pieces) all.push(piece);
      return await run('writeDump', signal, () => {
        const content = Buffer.concat(all).toString();
        dumps.set(path, content);
        return { path, bytes: content.length, sha256: digest(content) };
      });
    },

    load: (name, dump, signal) =>
      run('load', signal, () => {
        const content = dumps.get(dump.path);
        if (content === undefined || digest(content) !== dump.sha256) {
          throw mariadbProblems.make('bad-dump', { server, path: dump.path });
        }
        databases.set(name, toNotes(content));
      }),

    close: async () => {},
    dumps: () => [...dumps.keys()],

    alter(name, change) {
      const notes = databases.get(name);
      if (notes !== undefined) databases.set(name, [...change(notes)]);
    },

    login(user, password, database, from = '127.0.0.1') {
      const account = accountOf(user);
      if (account.locked || account.password !== password || !account.databases.has(database)) {
        throw mariadbProblems.make('access-denied', { server });
      }
      if (account.sessions.size >= account.limits.connections) {
        throw mariadbProblems.make('busy', { server, why: `${user} has all its connections in use` });
      }
      const session = Symbol(user);
      account.sessions.set(session, from);
      const assertOpen = () => {
        if (!account.sessions.has(session))
          throw mariadbProblems.make('away', { server, why: 'the connection was ended' });
      };
      return {
        write(note) {
          assertOpen();
          notesOf(database).push(note);
          transactions += 1;
        },
        read(from = database) {
          assertOpen();
          if (!account.databases.has(from)) throw mariadbProblems.make('access-denied', { server });
          return [...notesOf(from)];
        },
        close: () => {
          account.sessions.delete(session);
        },
      };
    },
  };
}
