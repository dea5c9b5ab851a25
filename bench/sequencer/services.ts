// The servers that every contestant uses: one PostgreSQL and one Redis (or Valkey), durable, started for the benchmark on a real
// disk and removed with it. Apart so that all are measured on the very same ones.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { startTestPostgres } from '../../test/postgres/start.ts';

const run = promisify(execFile);
/** Not /tmp, which may be memory, where a sync costs nothing. */
const ON_DISK = '/var/tmp';
const START_MS = 15_000;

/** What a production server has: every commit is on the disk before it is acknowledged. The rest fits a small machine. */
const DURABLE = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  shared_buffers: '1GB',
  max_wal_size: '8GB',
  checkpoint_timeout: '15min',
  wal_compression: 'lz4',
  autovacuum_naptime: '5s',
};

/** Where contestants find their servers; plain data, so that it can be handed to other processes. */
export interface Addresses {
  /** A PostgreSQL server; each contestant has a database of its own on it. */
  postgres: string;
  redisPort: number;
  /** For files of the measurements: removed with the servers, also after a kill, by whoever starts some next. */
  folder: string;
}

export interface Services {
  readonly addresses: Addresses;
  /** What they are and how they are set, as a sentence. */
  readonly sentence: string;
  stop(): Promise<void>;
}

/** Programs of Debian's packages: `redis-tools` and `valkey-tools` hold the server itself under another name. */
const CACHES = [
  { name: 'Valkey', program: '/usr/bin/valkey-check-rdb', argv0: 'valkey-server', package: 'valkey-tools' },
  { name: 'Redis', program: '/usr/bin/redis-check-rdb', argv0: 'redis-server', package: 'redis-tools' },
] as const;

async function findCache(): Promise<(typeof CACHES)[number]> {
  const found = () => CACHES.find(({ program }) => existsSync(program));
  for (const { package: name } of CACHES) {
    if (found() !== undefined) break;
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    await run('apt-get', ['-qq', '-y', 'install', '--no-install-recommends', name], { env, timeout: 600_000 }).catch(
      () => undefined,
    );
  }
  const cache = found();
  if (cache === undefined) throw new Error('neither valkey-tools nor redis-tools could be installed');
  return cache;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

async function untilListening(port: number, child: ChildProcess): Promise<void> {
  const untilMs = Date.now() + START_MS;
  while (Date.now() < untilMs && child.exitCode === null) {
    const socket = createConnection(port, '127.0.0.1');
    const open = await new Promise<boolean>((done) => {
      socket.once('connect', () => done(true)).once('error', () => done(false));
    });
    socket.destroy();
    if (open) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`nothing listens on 127.0.0.1:${port}`);
}

/** Starts both. They also end when this process dies. */
export async function startServices(): Promise<Services> {
  const postgres = await startTestPostgres(ON_DISK, DURABLE);
  const cache = await findCache();
  const dir = await mkdtemp(join(ON_DISK, 'espalier-bench-cache-'));
  const redisPort = await freePort();
  const settings = [
    '--appendonly',
    'yes',
    '--appendfsync',
    'everysec',
    '--save',
    '',
    '--maxmemory-policy',
    'noeviction',
  ];
  // As for PostgreSQL: its parent is a shell that ends it when the pipe from this process closes.
  const script =
    'program=$1; shift; "$program" "$@" & server=$!; read -r _; kill -TERM $server; wait $server; rm -rf "$CACHE_DIR"';
  const argv = ['--bind', '127.0.0.1', '--port', String(redisPort), '--dir', dir, ...settings];
  const link = join(dir, cache.argv0);
  // What it is goes by the name it is called by.
  await symlink(cache.program, link);
  const { stdout } = await run(link, ['--version']);
  const child = spawn('sh', ['-c', script, 'sh', link, ...argv], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: { ...process.env, CACHE_DIR: dir },
  });
  child.unref();
  await untilListening(redisPort, child);
  const version = /v=([\d.]+)/.exec(stdout)?.[1] ?? '';
  return {
    addresses: {
      postgres: postgres.url,
      redisPort,
      folder: new URLSearchParams(postgres.url.split('?')[1]).get('host') ?? ON_DISK,
    },
    sentence: `PostgreSQL ${await readVersion(postgres.url)} with fsync and synchronous_commit on; ${cache.name} ${version} with appendonly, appendfsync everysec`,
    async stop() {
      const ended = new Promise((done) => child.once('exit', done));
      child.stdin?.end();
      if (child.exitCode === null) await ended;
      await rm(dir, { recursive: true, force: true });
      await postgres.stop();
    },
  };
}

async function readVersion(url: string): Promise<string> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    return rows[0]?.server_version.split(' ')[0] ?? '';
  });
}

/** The same server, another database. */
export function databaseUrl(server: string, database: string): string {
  return server.replace(/^([a-z]+:\/\/[^/]*\/)[^?]*/, `$1${database}`);
}

/** Makes a database anew, empty. */
export async function makeDatabase(server: string, name: string): Promise<string> {
  await withClient(server, async (client) => {
    await client.query(`drop database if exists ${name} with (force)`);
    await client.query(`create database ${name}`);
  });
  return databaseUrl(server, name);
}

/** One session for a short work. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
