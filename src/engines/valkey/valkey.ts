// The cache engine over a real Valkey: one connection, connected when first asked and again after it broke, every
// command bounded in time. The commands themselves are in commands.ts.
import { Redis } from 'iovalkey';
import { Problem } from '../../lib/errors.ts';
import { isWithin } from '../../lib/ipv4.ts';
import type { CacheEngine } from '../cache-engine.ts';
import { untilAborted } from '../until-aborted.ts';
import * as commands from './commands.ts';
import { valkeyProblems } from './problems.ts';

export interface ValkeyOptions {
  host: string;
  port: number;
  user: string;
  password: string;
  /** Bound of one command. Default 5 s. */
  commandMs?: number;
}

/** A server on the same network answers within milliseconds; a second without is away. */
const connectMs = 1_000;

/** Makes the engine for one server. It connects when it is first asked; `close` gives the connection back. */
export function makeValkey(options: ValkeyOptions): CacheEngine {
  const server = `${options.host}:${options.port}`;
  const client = new Redis({
    host: options.host,
    port: options.port,
    username: options.user,
    password: options.password,
    lazyConnect: true,
    connectTimeout: connectMs,
    commandTimeout: options.commandMs ?? 5_000,
    // A broken connection fails the call; the next call connects anew.
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
  });
  // Every caller gets its own error; without a listener the library prints them.
  client.on('error', () => {});
  let connecting: Promise<void> | undefined;

  async function connect(): Promise<void> {
    if (client.status === 'ready') return;
    connecting ??= client.connect().finally(() => {
      connecting = undefined;
    });
    await connecting;
  }

  /** Sends the commands in one round trip; throws the first one's problem. */
  async function run(what: string, signal: AbortSignal | undefined, ...lines: string[][]): Promise<unknown[]> {
    signal?.throwIfAborted();
    try {
      await untilAborted(connect(), signal);
      const pipeline = client.pipeline();
      for (const [command = '', ...args] of lines) pipeline.call(command, ...args);
      const answers = await untilAborted(pipeline.exec(), signal);
      return (answers ?? []).map(([error, value]) => {
        if (error !== null) throw error;
        return value;
      });
    } catch (thrown) {
      if (signal?.aborted) throw signal.reason;
      const problem = toValkeyProblem(server, what, thrown);
      if (problem.code === 'valkey.away') client.disconnect();
      throw problem;
    }
  }

  async function setLocked(name: string, locked: boolean, signal: AbortSignal | undefined): Promise<void> {
    const what = locked ? 'Locking an account' : 'Unlocking an account';
    const [known] = await run(what, signal, ['ACL', 'GETUSER', name]);
    if (known === null) throw valkeyProblems.make('unknown-site', { server, name });
    const kill = locked ? [commands.renderKill(name)] : [];
    await run(what, signal, commands.renderLock(name, locked), ['ACL', 'SAVE'], ...kill);
  }

  return {
    async setSite(site, signal) {
      await run('Setting an account', signal, commands.renderSetSite(site), ['ACL', 'SAVE']);
    },

    async removeSite(site, signal) {
      await run('Removing an account', signal, commands.renderRemoveSite(site.name), ['ACL', 'SAVE']);
      let cursor = '0';
      do {
        const [page] = await run("Listing a site's keys", signal, commands.renderScan(cursor, site.prefix));
        const [next, keys] = page as [string, string[]];
        if (keys.length > 0) await run("Deleting a site's keys", signal, ['UNLINK', ...keys]);
        cursor = next;
      } while (cursor !== '0');
    },

    lockSite: (name, signal) => setLocked(name, true, signal),
    unlockSite: (name, signal) => setLocked(name, false, signal),

    async endSessions(networks, signal) {
      const [list] = await run('Listing clients', signal, ['CLIENT', 'LIST']);
      const mine = commands.parseSessions(String(list)).filter(({ address }) => isWithin(address, networks));
      if (mine.length > 0)
        await run('Ending sessions', signal, ...mine.map(({ id }) => commands.renderKillSession(id)));
    },

    async listSites(signal) {
      const [lines] = await run('Listing accounts', signal, ['ACL', 'LIST']);
      return commands.parseAccounts(lines as string[], [options.user]);
    },

    async checkHealth(signal) {
      const [info] = await run('Checking health', signal, ['INFO']);
      return commands.parseHealth(String(info));
    },

    close: async () => client.disconnect(),
  };
}

/** A library's or server's error as a problem. Codes: the first word of the server's error replies. */
export function toValkeyProblem(server: string, what: string, thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  const why = (thrown instanceof Error ? thrown.message : 'it broke off').replace(/\.$/, '');
  const code = /^[A-Z]+(?= )/.exec(why)?.[0] ?? '';
  if (['WRONGPASS', 'NOAUTH', 'NOPERM'].includes(code)) return valkeyProblems.make('access-denied', { server }, thrown);
  if (['BUSY', 'OOM'].includes(code) || /max number of clients/.test(why))
    return valkeyProblems.make('busy', { server, why }, thrown);
  if (code === 'MISCONF' || /save the ACLs|saving the ACLs|ACL file/i.test(why))
    return valkeyProblems.make('not-saved', { server, why }, thrown);
  const isAway = code === 'LOADING' || hasSystemCode(thrown) || /connection is closed|timed ?out/i.test(why);
  if (isAway) return valkeyProblems.make('away', { server, why }, thrown);
  return valkeyProblems.make('failed', { server, what, why }, thrown);
}

/** `ECONNREFUSED` and its like. */
function hasSystemCode(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && /^E[A-Z]+$/.test(String(thrown.code));
}
