// Our two daemons, controller and agent: started, restarted when they changed, stopped. Apart so that both are handled
// alike, with systemd as the first process (systemd-unit.ts) and without it (detached-process.ts).
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type DaemonName, type DaemonParts, type DaemonSpec, logPathOf, runPathOf } from './daemon-spec.ts';
import { isDetachedRunning, startDetached, stopDetached } from './detached-process.ts';
import { isUnitRunning, removeUnit, startUnit, stopUnit } from './systemd-unit.ts';

/** Starts it, or starts it anew when it runs with other arguments, environment or code. Says which. */
export async function startDaemon(spec: DaemonSpec, parts: DaemonParts): Promise<string> {
  await mkdir(dirname(logPathOf(spec)), { recursive: true, mode: 0o700 });
  await mkdir(dirname(runPathOf(spec, 'json')), { recursive: true, mode: 0o700 });
  return parts.systemd ? await startUnit(spec, parts) : await startDetached(spec, parts);
}

/** Stops it and waits until it is gone; false when it was not running. */
export async function stopDaemon(spec: DaemonName, parts: DaemonParts): Promise<boolean> {
  return parts.systemd ? await stopUnit(spec, parts) : await stopDetached(spec, parts);
}

/** Removes what it has outside the data directory. */
export async function removeDaemon(spec: DaemonName, parts: DaemonParts): Promise<void> {
  if (parts.systemd) await removeUnit(spec, parts);
}

/** True while its process is there. */
export async function isDaemonRunning(spec: DaemonName, parts: DaemonParts): Promise<boolean> {
  return parts.systemd ? await isUnitRunning(spec, parts) : await isDetachedRunning(spec);
}
