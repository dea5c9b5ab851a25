// Makes sure that the Incus daemon runs. Apart because it belongs to the machine, not to us: it is started when it
// is missing, and never stopped or restarted by us.
import { spawn } from 'node:child_process';
import { access, mkdir, open } from 'node:fs/promises';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { cliProblems } from '../problems.ts';
import { runCommand, runToSuccess } from '../run-command.ts';

const LOG_PATH = '/var/log/espalier/incusd.log';
const ANSWER_TIMEOUT_MS = 5_000;
/** A first start makes its database and checks the kernel: 2 s where tried; a slow disk may take ten times that. */
const START_TIMEOUT_MS = 60_000;
const LOOK_EVERY_MS = 100;
/** Debian's package first, then where others put it. */
const DAEMON_PATHS = ['/usr/libexec/incus/incusd', '/opt/incus/bin/incusd', '/usr/bin/incusd', '/usr/sbin/incusd'];

/** The socket's path, as Incus's own tools find it. */
export function incusSocketOf(env: NodeJS.ProcessEnv): string {
  return env.INCUS_SOCKET ?? join(env.INCUS_DIR ?? '/var/lib/incus', 'unix.socket');
}

/** The running daemon's version, or undefined when it does not answer. */
export async function readIncusVersion(socketPath: string, signal: AbortSignal): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const both = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
  const asked = request({ socketPath, path: '/1.0', signal: both, agent: false }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    response.once('error', () => resolve(undefined));
    response.once('end', () => resolve(/"server_version":"([^"]+)"/.exec(text)?.[1]));
  });
  asked.once('error', () => resolve(undefined));
  asked.end();
  return await promise;
}

async function findDaemon(): Promise<string> {
  for (const path of DAEMON_PATHS) {
    const there = await access(path).then(
      () => true,
      () => false,
    );
    if (there) return path;
  }
  throw cliProblems.make('command-failed', { command: 'incusd', ended: `is in none of ${DAEMON_PATHS.join(', ')}` });
}

/** Starts it in a session of its own, so that it outlives us and no Ctrl-C reaches it. */
async function startDetached(path: string): Promise<void> {
  await mkdir(dirname(LOG_PATH), { recursive: true, mode: 0o750 });
  const log = await open(LOG_PATH, 'a', 0o640);
  try {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const child = spawn(path, ['--group', 'incus-admin'], {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      cwd: '/',
      env: { ...process.env, PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    child.once('spawn', resolve);
    child.once('error', reject);
    await promise;
    child.unref();
  } finally {
    await log.close();
  }
}

/** Returns the daemon's version once it answers; starts it when it does not. */
export async function runIncusDaemon(parts: {
  systemd: boolean;
  env: NodeJS.ProcessEnv;
  clock: Clock;
  signal: AbortSignal;
  say: (line: string) => void;
}): Promise<string> {
  const { systemd, env, clock, signal, say } = parts;
  const socketPath = incusSocketOf(env);
  const running = await readIncusVersion(socketPath, signal);
  if (running !== undefined) return `${running}, was running`;

  const unit =
    systemd && (await runCommand(['systemctl', 'cat', 'incus.service'], { timeoutMs: 10_000, signal })).code === 0;
  if (unit) {
    say('systemctl start incus.service');
    await runToSuccess(['systemctl', 'start', 'incus.service'], { timeoutMs: START_TIMEOUT_MS, onLine: say, signal });
  } else {
    const path = await findDaemon();
    say(`${path} --group incus-admin, log in ${LOG_PATH}`);
    await startDetached(path);
  }
  const startedMs = clock.monotonicMs();
  while (clock.monotonicMs() - startedMs < START_TIMEOUT_MS) {
    const version = await readIncusVersion(socketPath, signal);
    if (version !== undefined) return `${version}, started`;
    await clock.wait(LOOK_EVERY_MS, signal);
  }
  throw cliProblems.make('daemon-silent', {
    name: 'The Incus daemon',
    seconds: START_TIMEOUT_MS / 1000,
    logPath: unit ? 'the journal (journalctl -u incus)' : LOG_PATH,
  });
}
