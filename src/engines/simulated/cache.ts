// A cache server in memory: the twin of engines/valkey/ for tests and `up --simulated`. It keeps accounts and keys,
// refuses what Valkey refuses, and can be told to fail.
import { type Clock, makeSystemClock } from '../../lib/clock.ts';
import { isWithin } from '../../lib/ipv4.ts';
import type { CacheEngine } from '../cache-engine.ts';
import { valkeyProblems } from '../valkey/problems.ts';
import { type EngineFaults, makeEngineFaults } from './engine-faults.ts';

export type CacheCall = Exclude<keyof CacheEngine, 'close'>;

/** A site's own connection to the twin. */
export interface SimulatedCacheSession {
  set(key: string, value: string): void;
  get(key: string): string | null;
}

export interface SimulatedCache extends CacheEngine {
  readonly faults: EngineFaults<CacheCall>;
  /** Logs in as a site, from an address where that matters; throws when the account is unknown or locked, or the password wrong. */
  login(name: string, password: string, from?: string): SimulatedCacheSession;
}

interface Account {
  password: string;
  prefix: string;
  locked: boolean;
  /** Each with the address that it comes from. */
  sessions: Map<symbol, string>;
}

export function makeSimulatedCache(options: { server?: string; clock?: Clock } = {}): SimulatedCache {
  const clock = options.clock ?? makeSystemClock();
  const server = options.server ?? 'simulated:6379';
  const startedMs = clock.monotonicMs();
  const { faults, run } = makeEngineFaults<CacheCall>(clock);
  const accounts = new Map<string, Account>();
  const keys = new Map<string, string>();

  const accountOf = (name: string): Account => {
    const account = accounts.get(name);
    if (account === undefined) throw valkeyProblems.make('unknown-site', { server, name });
    return account;
  };

  return {
    faults,

    setSite: ({ name, password, prefix }, signal) =>
      run('setSite', signal, () => {
        accounts.set(name, { password, prefix, locked: false, sessions: accounts.get(name)?.sessions ?? new Map() });
      }),

    removeSite: ({ name, prefix }, signal) =>
      run('removeSite', signal, () => {
        accounts.get(name)?.sessions.clear();
        accounts.delete(name);
        for (const key of keys.keys()) if (key.startsWith(prefix)) keys.delete(key);
      }),

    lockSite: (name, signal) =>
      run('lockSite', signal, () => {
        const account = accountOf(name);
        account.locked = true;
        account.sessions.clear();
      }),

    unlockSite: (name, signal) =>
      run('unlockSite', signal, () => {
        accountOf(name).locked = false;
      }),

    endSessions: (networks, signal) =>
      run('endSessions', signal, () => {
        for (const { sessions } of accounts.values())
          for (const [session, from] of sessions) if (isWithin(from, networks)) sessions.delete(session);
      }),

    listSites: (signal) =>
      run('listSites', signal, () =>
        [...accounts].map(([name, { locked }]) => ({ name, locked })).sort((a, b) => (a.name < b.name ? -1 : 1)),
      ),

    checkHealth: (signal) =>
      run('checkHealth', signal, () => ({
        version: '8.1.0-simulated',
        uptimeS: Math.floor((clock.monotonicMs() - startedMs) / 1000),
        connections: {
          used: [...accounts.values()].reduce((sum, account) => sum + account.sessions.size, 0),
          max: 10_000,
        },
        memory: {
          usedBytes: [...keys].reduce((sum, [key, value]) => sum + key.length + value.length, 0),
          maxBytes: 2 ** 28,
        },
        persistent: true,
      })),

    close: async () => {},

    login(name, password, from = '127.0.0.1') {
      const account = accountOf(name);
      if (account.locked || account.password !== password) throw valkeyProblems.make('access-denied', { server });
      const session = Symbol(name);
      account.sessions.set(session, from);
      const assertMay = (key: string) => {
        if (!account.sessions.has(session))
          throw valkeyProblems.make('away', { server, why: 'the connection was ended' });
        if (!key.startsWith(account.prefix)) throw valkeyProblems.make('access-denied', { server });
      };
      return {
        set(key, value) {
          assertMay(key);
          keys.set(key, value);
        },
        get(key) {
          assertMay(key);
          return keys.get(key) ?? null;
        },
      };
    },
  };
}
