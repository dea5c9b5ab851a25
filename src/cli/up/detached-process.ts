// A daemon of ours where systemd is not the first process: a session of its own, and a record of which process it is.
// Apart because no signal may ever go to a process that only has the same number.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import {
  type DaemonName,
  type DaemonParts,
  type DaemonSpec,
  logPathOf,
  runPathOf,
  STOP_TIMEOUT_MS,
} from './daemon-spec.ts';

/** A process that was started: its start time (clock ticks since boot) and the boot tell it from a later one. */
interface RunRecord {
  pid: number;
  startTicks: string;
  bootId: string;
  /** Hash of the daemon as it was started: arguments, environment, code. The environment may hold a secret. */
  specHash: string;
}

const LOOK_EVERY_MS = 50;

/** Starts it unless it runs as wanted. */
export async function startDetached(spec: DaemonSpec, parts: DaemonParts): Promise<string> {
  const specHash = createHash('sha256')
    .update(JSON.stringify([spec.argv, spec.env, spec.build]))
    .digest('hex');
  const before = await readRecord(spec);
  if (before?.specHash === specHash) return 'runs';
  if (before !== undefined) await stopDetached(spec, parts);
  const log = await open(logPathOf(spec), 'a', 0o600);
  try {
    const [program = '', ...args] = spec.argv;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const child = spawn(program, args, {
      detached: true,
      cwd: spec.cwd,
      stdio: ['ignore', log.fd, log.fd],
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: process.env.HOME ?? '/root',
        ...spec.env,
      },
    });
    child.once('spawn', resolve);
    child.once('error', reject);
    await promise;
    child.unref();
    const pid = child.pid ?? 0;
    const startTicks = await readStartTicks(pid);
    if (startTicks !== undefined) {
      const record: RunRecord = { pid, startTicks, bootId: await readBootId(), specHash };
      await writeRecord(spec, record);
    }
  } finally {
    await log.close();
  }
  return before === undefined ? 'started' : 'restarted, since it changed';
}

/** Ends it with SIGTERM, then SIGKILL; false when it was not running. */
export async function stopDetached(spec: DaemonName, { clock, say }: DaemonParts): Promise<boolean> {
  const record = await readRecord(spec);
  if (record === undefined) return false;
  // Not cut short by Ctrl-C: a record without its process, or the reverse, is worse than waiting.
  for (const signalName of ['SIGTERM', 'SIGKILL'] as const) {
    say(`${signalName} to the ${spec.name} (process ${record.pid})`);
    try {
      process.kill(record.pid, signalName);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ESRCH') throw thrown;
    }
    const sentMs = clock.monotonicMs();
    while (clock.monotonicMs() - sentMs < STOP_TIMEOUT_MS) {
      if ((await readRecord(spec)) === undefined) {
        await rm(runPathOf(spec, 'json'), { force: true });
        return true;
      }
      await clock.wait(LOOK_EVERY_MS);
    }
  }
  throw new Error(`The ${spec.name} (process ${record.pid}) does not end, not even when killed`);
}

/** True while its process is there. */
export async function isDetachedRunning(spec: DaemonName): Promise<boolean> {
  return (await readRecord(spec)) !== undefined;
}

/** The record of a process that runs now; undefined when there is none, it has ended, or its number is another's. */
async function readRecord(spec: DaemonName): Promise<RunRecord | undefined> {
  const text = await readText(runPathOf(spec, 'json'));
  if (text === undefined) return undefined;
  let record: RunRecord;
  try {
    record = JSON.parse(text) as RunRecord;
  } catch {
    return undefined;
  }
  if (record.bootId !== (await readBootId())) return undefined;
  return (await readStartTicks(record.pid)) === record.startTicks ? record : undefined;
}

/** Field 22 of /proc/PID/stat (proc(5)), counted after the command's closing parenthesis; undefined for no process or a zombie. */
async function readStartTicks(pid: number): Promise<string | undefined> {
  const stat = await readText(`/proc/${pid}/stat`);
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields === undefined || fields[0] === 'Z' ? undefined : fields[19];
}

async function readBootId(): Promise<string> {
  return ((await readText('/proc/sys/kernel/random/boot_id')) ?? '').trim();
}

async function readText(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch(() => undefined);
}

async function writeRecord(spec: DaemonName, record: RunRecord): Promise<void> {
  const path = runPathOf(spec, 'json');
  await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${path}.new`, path);
}
