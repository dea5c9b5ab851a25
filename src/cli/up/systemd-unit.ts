// A daemon of ours as a systemd unit. Apart from the detached process, because here systemd supervises: it starts the
// daemon at boot and again when it dies.
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand, runToSuccess } from '../run-command.ts';
import {
  type DaemonName,
  type DaemonParts,
  type DaemonSpec,
  logPathOf,
  runPathOf,
  STOP_TIMEOUT_MS,
} from './daemon-spec.ts';

const COMMAND_TIMEOUT_MS = 60_000;

/** `espalier-controller.service`, or with the deployment's name in it when that is not the default. */
export function unitNameOf(spec: Omit<DaemonName, 'dataDir'>): string {
  return spec.deployment === 'espalier'
    ? `espalier-${spec.name}.service`
    : `espalier-${spec.deployment}-${spec.name}.service`;
}

const unitPathOf = (spec: Omit<DaemonName, 'dataDir'>): string => join('/etc/systemd/system', unitNameOf(spec));

const quote = (text: string): string =>
  `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')}"`;

/** The unit. `Restart=always`: sites serve without us, but nodes are healed only with us. */
export function renderUnit(spec: DaemonSpec): string {
  return `# Written by \`espalier up\`; \`espalier down\` stops it, \`espalier destroy\` removes it.
[Unit]
Description=Espalier ${spec.name} (${spec.deployment})
After=network.target incus.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=${spec.argv.map(quote).join(' ')}
WorkingDirectory=${spec.cwd}
EnvironmentFile=${runPathOf(spec, 'env')}
# Build: ${spec.build}
StandardOutput=append:${logPathOf(spec)}
StandardError=append:${logPathOf(spec)}
Restart=always
RestartSec=1
KillMode=mixed
TimeoutStopSec=${STOP_TIMEOUT_MS / 1000}

[Install]
WantedBy=multi-user.target
`;
}

/** Environment as systemd and we read it back: a name and a quoted value a line. */
export function renderEnvironment(env: Readonly<Record<string, string>>): string {
  const quoted = (value: string) => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
  return Object.entries(env)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}="${quoted(value)}"\n`)
    .join('');
}

/** Writes what changed and starts or restarts the unit. */
export async function startUnit(spec: DaemonSpec, parts: DaemonParts): Promise<string> {
  const { signal, say } = parts;
  const command = { timeoutMs: COMMAND_TIMEOUT_MS, signal, onLine: say };
  const unit = unitNameOf(spec);
  const files: [path: string, text: string, mode: number][] = [
    [unitPathOf(spec), renderUnit(spec), 0o644],
    [runPathOf(spec, 'env'), renderEnvironment(spec.env), 0o600],
  ];
  let changed = false;
  for (const [path, text, mode] of files) {
    if ((await readText(path)) === text) continue;
    await writeWhole(path, text, mode);
    changed = true;
  }
  const active = await isUnitRunning(spec, parts);
  if (active && !changed) return 'runs';
  await runToSuccess(['systemctl', 'daemon-reload'], command);
  await runToSuccess(['systemctl', 'enable', unit], command);
  await runToSuccess(['systemctl', 'restart', unit], command);
  return active ? 'restarted, since it changed' : 'started';
}

/** True while systemd has it active. */
export async function isUnitRunning(spec: DaemonName, { signal }: DaemonParts): Promise<boolean> {
  const command = { timeoutMs: COMMAND_TIMEOUT_MS, signal };
  return (await runCommand(['systemctl', 'is-active', unitNameOf(spec)], command)).code === 0;
}

/** Stops it, and keeps it from starting at the next boot; false when it was not running. */
export async function stopUnit(spec: DaemonName, parts: DaemonParts): Promise<boolean> {
  const { signal, say } = parts;
  if ((await readText(unitPathOf(spec))) === undefined) return false;
  const command = { timeoutMs: COMMAND_TIMEOUT_MS, signal, onLine: say };
  const active = await isUnitRunning(spec, parts);
  await runToSuccess(['systemctl', 'disable', '--now', unitNameOf(spec)], command);
  return active;
}

/** Removes the unit's file. */
export async function removeUnit(spec: DaemonName, { signal, say }: DaemonParts): Promise<void> {
  await rm(unitPathOf(spec), { force: true });
  await runToSuccess(['systemctl', 'daemon-reload'], { timeoutMs: COMMAND_TIMEOUT_MS, signal, onLine: say });
}

async function readText(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch(() => undefined);
}

async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  await writeFile(`${path}.new`, text, { mode });
  await rename(`${path}.new`, path);
}
