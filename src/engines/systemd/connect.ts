// Opens the connection to the systemd of a container on this machine. Not through Incus: an exec there ends when Incus
// restarts, and each message would pass its daemon twice. nsenter steps into the container's namespaces, its own
// systemd-stdio-bridge carries the bytes to systemd's private socket, which only the container's root may use.
import { spawn } from 'node:child_process';
import type { Logger } from '../../lib/log.ts';
import { makeBus } from './bus.ts';
import { makeSignalReader, makeUnits, type ServiceListener, type Units } from './units.ts';

/** The command that becomes the bridge; `pid` is the container's first process as this machine sees it. */
export function renderBridge(pid: number): string[] {
  return [
    ...['nsenter', '--target', String(pid)],
    ...['--user', '--mount', '--pid', '--net', '--ipc', '--uts', '--setuid', '0', '--setgid', '0', '--'],
    ...['/usr/bin/systemd-stdio-bridge', '--bus-path=unix:path=/run/systemd/private'],
  ];
}

/** Connects; calls made before the other side is there wait for it. `name` stands in problems. */
export function connectUnits(parts: { name: string; pid: number; listener: ServiceListener; log: Logger }): Units {
  const { name, pid, listener, log } = parts;
  const [program = '', ...args] = renderBridge(pid);
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], env: { PATH: '/usr/bin:/bin' } });
  child.on('error', (error) => log.warn({ err: error, name }, 'the bridge to a node could not be started'));
  const bus = makeBus({ name, from: child.stdout, to: child.stdin, onSignal: makeSignalReader(listener), log });
  return makeUnits(bus);
}
