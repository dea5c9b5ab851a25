// A service's container and volumes as they should be: made where they are missing, fed with the controller's files,
// started. Apart from the operations, because making, healing and renewing a server all end here.
import { randomBytes } from 'node:crypto';
import { listControllers } from '../controllers/store.ts';
import type { InstanceStatus, Labels } from '../engines/fleet.ts';
import { commonProblems } from '../lib/errors.ts';
import { readControllerHosts } from '../servers/tunnel.ts';
import { ADMIN_USER, adminSecret, type ServiceEngine, type ServiceLogin, type ServiceParts } from './kind.ts';
import { readService, type ServiceRow } from './store.ts';

/** A server whose place is known. */
export type PlacedService = ServiceRow & { server: string; address: string; image: string };

const STOP_MS = 300_000;
const START_MS = 60_000;
/** A unit that is restarted ends cleanly first, which takes a busy database a while. */
const RESTART_MS = 300_000;
/** systemctl with what follows as arguments, also in a container whose systemd does not listen yet. */
const SYSTEMCTL = [
  'sh',
  '-c',
  'until [ -S /run/systemd/private ]; do sleep 0.05; done; exec systemctl "$@"',
  'systemctl',
];

export async function readPlaced<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  name: string,
): Promise<PlacedService> {
  const { noun } = parts.kind;
  const row = await readService(parts.store, noun, name);
  if (row?.server == null || row.address === null || row.image === null) {
    throw commonProblems.make('not-found', { noun, name });
  }
  return { ...row, server: row.server, address: row.address, image: row.image };
}

/** How the controller reaches it; the password is made when there is none yet. */
export async function readLogin<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  service: PlacedService,
): Promise<ServiceLogin> {
  const { kind, secrets, store } = parts;
  const secret = adminSecret(kind.noun, service.name);
  const password = await store.transaction(async (sql) => {
    const { [secret]: known } = await secrets.readAll(sql, secret);
    if (known !== undefined) return known;
    const made = randomBytes(24).toString('base64url');
    await secrets.put(sql, secret, made);
    return made;
  });
  return { host: service.address, port: kind.port, user: ADMIN_USER, password, instance: service.instance };
}

export const volumeName = (service: Pick<ServiceRow, 'instance'>, suffix: string): string =>
  `${service.instance}-${suffix}`;
export const labelsOf = <E extends ServiceEngine>(parts: ServiceParts<E>, name: string): Labels => ({
  kind: parts.kind.noun,
  service: name,
});

/**
 * Makes the volumes of a new server. They carry the operation's id: a volume that another operation made may hold
 * data, and is neither taken (`volume-exists`) nor removed by `removeNewVolumes`.
 */
export async function makeVolumes<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  service: PlacedService,
  operation: string,
  signal: AbortSignal,
): Promise<void> {
  const { shift } = await parts.fleet.capabilities({ signal });
  for (const { suffix } of parts.kind.volumes) {
    const volume = volumeName(service, suffix);
    const existing = await parts.fleet.volumes.read(volume, { signal });
    if (existing?.labels.operation === operation) continue;
    if (existing !== undefined) throw parts.problems.make('volume-exists', { volume });
    const labels = { ...labelsOf(parts, service.name), operation };
    // Shifted: a container made anew has another range of ids and would else chown every file first.
    await parts.fleet.volumes.create({ name: volume, server: service.server, labels, shifted: shift }, { signal });
  }
}

export async function removeNewVolumes<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  service: ServiceRow,
  operation: string,
  signal: AbortSignal,
): Promise<void> {
  for (const { suffix } of parts.kind.volumes) {
    const volume = await parts.fleet.volumes.read(volumeName(service, suffix), { signal });
    if (volume?.labels.operation === operation) await parts.fleet.volumes.delete(volume.name, { signal });
  }
}

/** Removes the volumes with all data; the first, which matters most, last. */
export async function removeVolumes<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  service: Pick<ServiceRow, 'instance'>,
  signal: AbortSignal,
): Promise<void> {
  for (const { suffix } of [...parts.kind.volumes].reverse()) {
    await parts.fleet.volumes.delete(volumeName(service, suffix), { signal });
  }
}

/** Whether all its volumes are there still. */
export async function hasData<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  service: ServiceRow,
  signal: AbortSignal,
): Promise<boolean> {
  const volumes = parts.kind.volumes.map(({ suffix }) => volumeName(service, suffix));
  const found = await Promise.all(volumes.map((volume) => parts.fleet.volumes.read(volume, { signal })));
  return found.every((volume) => volume !== undefined);
}

/** From which addresses controllers come to a service on that server; those that stand by too. */
export async function listControllerHosts<E extends ServiceEngine>(
  parts: Pick<ServiceParts<E>, 'store' | 'readCidr'>,
  server: string,
): Promise<string[]> {
  const cidr = await parts.readCidr();
  return await parts.store.transaction(async (sql) => {
    const controllers = (await listControllers(sql)).filter(({ address }) => address !== null);
    const names = controllers.map(({ name }) => name);
    return await readControllerHosts(sql, cidr, server, names);
  });
}

/**
 * Brings the container to run from the server's image with its volumes and the controller's account: makes it when it
 * is gone, makes it anew when it is from another image, starts it when it is stopped; in one that runs the service is
 * restarted, so that it takes the account in (`restarts: false`: it has it already). Without all its volumes nothing is made (`data-gone`).
 */
export async function bringUp<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  service: PlacedService,
  signal: AbortSignal,
  { restarts = true }: { restarts?: boolean } = {},
): Promise<void> {
  const { fleet, kind } = parts;
  if (!(await hasData(parts, service, signal))) throw parts.problems.make('data-gone', { name: service.name });
  const before = await fleet.instances.read(service.instance, { signal });
  if (before?.image !== undefined && before.image !== service.image) await removeContainer(parts, service, signal);
  const status = await ensureContainer(parts, service, signal);
  const verb = status === 'running' && restarts ? 'restart' : 'start';
  if (status !== 'running') await fleet.instances.start(service.instance, { timeoutMs: START_MS, signal });
  // Ends when the service answers or has failed; which of the two, the next step finds out.
  await fleet.exec(service.instance, [...SYSTEMCTL, verb, kind.unit], { timeoutMs: RESTART_MS, signal });
}

/** Makes the container where it is gone, and gives it the controller's files; it is not started. */
export async function ensureContainer<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  service: PlacedService,
  signal: AbortSignal,
): Promise<InstanceStatus> {
  const { fleet, kind } = parts;
  const { status } = await fleet.instances.ensure(renderContainer(parts, service), { signal });
  const login = await readLogin(parts, service);
  const controllerHosts = await listControllerHosts(parts, service.server);
  for (const { path, content, mode } of kind.renderFiles({ ...service, login, controllerHosts })) {
    await fleet.files.write(service.instance, path, content, { mode, signal });
  }
  return status;
}

/** Lets the service end cleanly; one that is stopped or gone is fine. */
export async function stopContainer<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  { instance: name }: Pick<ServiceRow, 'instance'>,
  signal: AbortSignal,
): Promise<void> {
  const instance = await parts.fleet.instances.read(name, { signal });
  if (instance?.status === 'running') await parts.fleet.instances.stop(name, { timeoutMs: STOP_MS, signal });
}

/** Lets the service end cleanly, then deletes the container; the volumes stay. An absent one is fine. */
export async function removeContainer<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  service: Pick<ServiceRow, 'instance'>,
  signal: AbortSignal,
): Promise<void> {
  await stopContainer(parts, service, signal);
  await parts.fleet.instances.delete(service.instance, { force: true, signal });
}

function renderContainer<E extends ServiceEngine>(parts: ServiceParts<E>, service: PlacedService) {
  const volumes = parts.kind.volumes.map(({ suffix, path }) => [
    suffix,
    { kind: 'volume' as const, volume: volumeName(service, suffix), path },
  ]);
  return {
    name: service.instance,
    server: service.server,
    source: { image: service.image },
    labels: labelsOf(parts, service.name),
    config: {
      'boot.autostart': 'true',
      // Before everything that needs it, when the machine boots.
      'boot.autostart.priority': '100',
      'security.idmap.isolated': 'true',
      'limits.memory': `${service.memoryMb}MiB`,
    },
    devices: { eth0: { kind: 'nic' as const, ipv4Address: service.address }, ...Object.fromEntries(volumes) },
  };
}
