// Starts a PostgreSQL server of its own for the tests and stops it again: Debian's package, a fresh directory, one
// Unix socket, no TCP. Apart so that the test runner, a benchmark and a person can use the same one.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const PREFIX = 'espalier-test-postgres-';
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 15_000;

export interface TestPostgres {
  /** For ESPALIER_TEST_POSTGRES: a server where databases may be created. */
  url: string;
  /** Stops the server and deletes its directory. */
  stop(): Promise<void>;
}

/** Where Debian's `initdb` and `postgres` are, the newest version first; undefined when the package is missing. */
async function findPrograms(): Promise<string | undefined> {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? await readdir(root) : [];
  const found = versions.map(Number).sort((a, b) => b - a);
  return found.map((version) => join(root, String(version), 'bin')).find((dir) => existsSync(join(dir, 'initdb')));
}

/** Installs Debian's package, without the cluster that it would otherwise make and start. */
async function install(): Promise<string> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', DEBCONF_NONINTERACTIVE_SEEN: 'true' };
  const apt = (...args: string[]) => run('apt-get', ['-qq', '-y', ...args], { env, timeout: 600_000 });
  await apt('update');
  await apt('install', '--no-install-recommends', 'postgresql-common');
  await mkdir('/etc/postgresql-common/createcluster.d', { recursive: true });
  await writeFile('/etc/postgresql-common/createcluster.d/espalier-test.conf', 'create_main_cluster = false\n');
  await apt('install', '--no-install-recommends', 'postgresql');
  const programs = await findPrograms();
  if (programs === undefined) throw new Error('the package postgresql brought no /usr/lib/postgresql/*/bin/initdb');
  return programs;
}

/** Who the server runs as: root may not, so Debian's user `postgres`; anyone else as themselves. */
async function readServerUser(): Promise<{ uid: number; gid: number } | Record<string, never>> {
  if (process.getuid?.() !== 0) return {};
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find((entry) => entry.startsWith('postgres:'));
  const [, , uid, gid] = (line ?? '').split(':').map(Number);
  if (uid === undefined || gid === undefined) throw new Error('there is no user postgres in /etc/passwd');
  return { uid, gid };
}

/** Removes what killed runs left: directories of ours whose maker and whose server are gone. */
async function removeLeftovers(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const lines = await readFile(join(parent, name, 'data/postmaster.pid'), 'utf8').catch(() => '');
    // A server that is still being made has another process each moment, and a negative number.
    const pids = [lines.split('\n')[0], name.slice(PREFIX.length).split('-')[0]].map(Number);
    if (pids.some((pid) => pid !== 0 && existsSync(`/proc/${Math.abs(pid)}`))) continue;
    await rm(join(parent, name), { recursive: true, force: true });
  }
}

/** For tests that never outlive the server: nothing waits for the disk. */
const FOR_TESTS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', shared_buffers: '64MB' };

/**
 * Starts a server below `parent` (the system's temporary directory unless told). Durability is off unless `settings` say
 * otherwise. The server also stops when this process dies without calling `stop`.
 */
export async function startTestPostgres(
  parent: string = tmpdir(),
  chosen: Readonly<Record<string, string>> = FOR_TESTS,
): Promise<TestPostgres> {
  const programs = (await findPrograms()) ?? (await install());
  await removeLeftovers(parent);
  const user = await readServerUser();
  const dir = await mkdtemp(join(parent, `${PREFIX}${process.pid}-`));
  if ('uid' in user) await chown(dir, user.uid, user.gid);
  const data = join(dir, 'data');
  await run(
    join(programs, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '-N'],
    {
      ...user,
      cwd: dir,
    },
  );
  const settings = {
    listen_addresses: '',
    unix_socket_directories: dir,
    max_connections: '200',
    ...chosen,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  // Its parent is a shell that ends the server when the pipe from this process closes, in whichever way we die.
  const script = '"$@" & server=$!; read -r _; kill -INT $server; wait $server';
  const server = spawn('sh', ['-c', script, 'sh', join(programs, 'postgres'), '-D', data, ...args], {
    ...user,
    cwd: dir,
    stdio: ['pipe', 'ignore', 'pipe'],
    detached: true,
  });
  const log: string[] = [];
  server.stderr?.setEncoding('utf8').on('data', (text: string) => log.push(text) > 200 && log.shift());
  await waitUntilReady(server, join(programs, 'pg_isready'), dir, log);
  server.unref();
  return {
    url: `postgresql:///postgres?host=${encodeURIComponent(dir)}&user=postgres`,
    async stop() {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      server.stdin?.end();
      const timer = setTimeout(() => server.pid !== undefined && process.kill(-server.pid, 'SIGKILL'), STOP_TIMEOUT_MS);
      if (server.exitCode === null) await ended;
      clearTimeout(timer);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function waitUntilReady(
  server: ChildProcess,
  isReady: string,
  dir: string,
  log: readonly string[],
): Promise<void> {
  const untilMs = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < untilMs && server.exitCode === null) {
    const ready = await run(isReady, ['-h', dir, '-q']).then(
      () => true,
      () => false,
    );
    if (ready) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  server.stdin?.end();
  throw new Error(`PostgreSQL did not start:\n${log.join('')}`);
}

if (import.meta.main) {
  const postgres = await startTestPostgres();
  process.stdout.write(`${postgres.url}\n`);
  process.stderr.write('PostgreSQL runs until this program ends (Ctrl-C).\n');
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void postgres.stop().then(() => process.exit(0));
    });
  }
  // A pipe that nobody closes keeps the program running.
  setInterval(() => {}, 60_000);
}
