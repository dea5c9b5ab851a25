// The database engine over a real MariaDB: what is run, in which order. The text of statements is in sql.ts, the
// connections in connections.ts, the commands inside the container in tools.ts.
import { createHash } from 'node:crypto';
import { Problem } from '../../lib/errors.ts';
import { isWithin } from '../../lib/ipv4.ts';
import type { DatabaseDump, DatabaseEngine, DatabaseSize } from '../database-engine.ts';
import { type ConnectionBounds, type Login, makeConnections, type RunStatement } from './connections.ts';
import { mariadbProblems } from './problems.ts';
import * as sql from './sql.ts';
import {
  parseDump,
  parseToolError,
  type RunInServer,
  renderDump,
  renderLoad,
  renderRemoveDump,
  renderRestore,
  type ServerFiles,
} from './tools.ts';

export interface MariadbOptions extends Login, ConnectionBounds {
  runInServer: RunInServer;
  files: ServerFiles;
}

/** ER_NO_SUCH_THREAD: it has ended by itself. */
const NO_SUCH_THREAD = 1094;
const toErrno = (thrown: unknown): unknown =>
  typeof thrown === 'object' && thrown !== null && 'errno' in thrown ? thrown.errno : undefined;

/** A dump or restore of a large site; longer is a sign of a fault. */
const toolMs = 3_600_000;

/** Makes the engine for one server. It connects when it is first asked; `close` gives the connections back. */
export function makeMariadb(options: MariadbOptions): DatabaseEngine {
  const { host, port, user, password, runInServer, files, ...bounds } = options;
  const server = `${host}:${port}`;
  const connections = makeConnections({ host, port, user, password }, bounds);

  async function eachHost(name: string, run: RunStatement, render: (host: string) => string): Promise<number> {
    const { rows } = await run(sql.renderListHosts(name));
    for (const row of rows) await run(render(String(row.host)));
    return rows.length;
  }

  const setLocked = (account: string, locked: boolean, signal: AbortSignal | undefined) =>
    connections.use(locked ? 'Locking an account' : 'Unlocking an account', signal, async (run) => {
      const hosts = await eachHost(account, run, (from) => sql.renderLock(account, from, locked));
      if (hosts === 0) throw mariadbProblems.make('unknown-site', { server, name: account });
      if (locked) await run(sql.renderKill(account));
    });

  async function runTool(what: string, name: string, argv: string[], signal: AbortSignal | undefined): Promise<string> {
    const { code, stdout, stderr } = await runInServer(argv, { signal, timeoutMs: toolMs });
    if (code === 0) return stdout;
    const { kind, why } = parseToolError(code, stderr);
    if (kind === 'unknown') throw mariadbProblems.make('unknown-site', { server, name });
    if (kind === 'away') throw mariadbProblems.make('away', { server, why });
    if (/No space left on device/.test(stderr)) throw mariadbProblems.make('disk-full', { server });
    throw mariadbProblems.make('failed', { server, what, why });
  }

  return {
    createSite: (site, signal) =>
      connections.use('Creating a database', signal, async (run) => {
        await run(sql.renderCreateDatabase(site.name));
        const { warnings } = await run(sql.renderCreateAccount(site));
        if (warnings > 0) await run(sql.renderRepairAccount(site));
        await run(sql.renderGrant(site));
        const { rows } = await run(sql.renderListHosts(site.user));
        for (const row of rows) {
          if (row.host !== site.allowedFrom) await run(sql.renderDropAccount(site.user, String(row.host)));
        }
      }),

    dropSite: (site, signal) =>
      connections.use('Dropping a database', signal, async (run) => {
        await eachHost(site.user, run, (from) => sql.renderDropAccount(site.user, from));
        // Of a load that was killed.
        await run(sql.renderDropAccount(sql.loaderOf(site.name), 'localhost'));
        // An open transaction of the site would hold the drop back.
        await run(sql.renderKill(site.user));
        await run(sql.renderDropDatabase(site.name));
      }),

    setLimits: (account, limits, signal) =>
      connections.use('Setting limits', signal, async (run) => {
        const hosts = await eachHost(account, run, (from) => sql.renderSetLimits(account, from, limits));
        if (hosts === 0) throw mariadbProblems.make('unknown-site', { server, name: account });
      }),

    lockSite: (account, signal) => setLocked(account, true, signal),
    unlockSite: (account, signal) => setLocked(account, false, signal),

    endSessions: (networks, signal) =>
      connections.use('Ending sessions', signal, async (run) => {
        const list = async (): Promise<number[]> =>
          (await run(sql.renderListSessions())).rows
            .filter(({ host }) => isWithin(String(host).split(':')[0] ?? '', networks))
            .map(({ id }) => Number(id));
        for (const id of await list()) {
          await run(sql.renderKillSession(id)).catch((thrown: unknown) => {
            if (toErrno(thrown) !== NO_SUCH_THREAD) throw thrown;
          });
        }
        // A large transaction takes its time to be rolled back.
        const left = await list();
        if (left.length > 0)
          throw mariadbProblems.make('busy', { server, why: `${left.length} sessions are still ending` });
      }),

    listSites: (signal) =>
      connections.use('Listing databases', signal, async (run) => (await run(sql.renderListSites())).rows.map(toSize)),

    sizeOf: (name, signal) =>
      connections.use('Reading the size of a database', signal, async (run) => {
        const [row] = (await run(sql.renderListSites(name))).rows;
        return row === undefined ? undefined : toSize(row).bytes;
      }),

    checkHealth: (signal) =>
      connections.use('Checking health', signal, async (run) => {
        const row = (await run(sql.renderHealth())).rows[0] ?? {};
        return {
          version: String(row.version),
          readOnly: Number(row.readOnly) !== 0,
          uptimeS: Number(row.uptimeS),
          connections: { used: Number(row.connectionsUsed), max: Number(row.connectionsMax) },
          gtidPosition: String(row.gtidPosition ?? ''),
        };
      }),

    async dump(name, path, signal): Promise<DatabaseDump> {
      const stdout = await runTool('Dumping a database', name, renderDump(name, path), signal);
      const dump = parseDump(path, stdout);
      if (dump === undefined)
        throw mariadbProblems.make('failed', {
          server,
          what: 'Dumping a database',
          why: 'its answer is not understood',
        });
      return dump;
    },

    async restore(name, dump, signal) {
      const { code, stderr } = await runInServer(renderRestore(name, dump), { signal, timeoutMs: toolMs });
      if (code === 3) throw mariadbProblems.make('bad-dump', { server, path: dump.path });
      if (code === 0) return;
      const { kind, why } = parseToolError(code, stderr);
      if (kind === 'away') throw mariadbProblems.make('away', { server, why });
      throw mariadbProblems.make('failed', { server, what: 'Restoring a database', why });
    },

    async removeDump(path, signal) {
      await runTool('Removing a dump', path, renderRemoveDump(path), signal);
    },

    async readDump(path, signal) {
      try {
        return await files.read(path, { signal, timeoutMs: toolMs });
      } catch (thrown) {
        const isAbsent = thrown instanceof Problem && thrown.code === 'incus.not-found';
        throw isAbsent ? mariadbProblems.make('bad-dump', { server, path }, thrown) : thrown;
      }
    },

    async writeDump(path, pieces, signal) {
      const hash = createHash('sha256');
      let bytes = 0;
      async function* counted() {
        for await (const piece of pieces) {
          hash.update(piece);
          bytes += piece.length;
          yield piece;
        }
      }
      await files.write(path, counted(), { signal, timeoutMs: toolMs });
      return { path, bytes, sha256: hash.digest('hex') };
    },

    async load(name, dump, signal) {
      const argv = renderLoad(name, sql.loaderOf(name), dump);
      const { code, stderr } = await runInServer(argv, { signal, timeoutMs: toolMs });
      if (code === 3) throw mariadbProblems.make('bad-dump', { server, path: dump.path });
      if (code === 0) return;
      const { kind, why } = parseToolError(code, stderr);
      if (kind === 'away') throw mariadbProblems.make('away', { server, why });
      throw mariadbProblems.make('dump-refused', { server, why });
    },

    close: () => connections.close(),
  };
}

function toSize(row: Record<string, unknown>): DatabaseSize {
  return { name: String(row.name), bytes: Number(row.bytes) };
}
