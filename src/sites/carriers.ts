// The containers that carry a site's files from one pool's content to another's: nothing else is in them, so that no node that
// serves mounts what is not its own. One with both, where one container can have both; else two, each where its content is,
// of which the second reads from the first over the deployment's network: the servers differ, or the owners' ids do.
import { randomBytes } from 'node:crypto';
import type { Device } from '../engines/fleet.ts';
import { imageProblems } from '../images/problems.ts';
import { readNewest } from '../images/store.ts';
import { readSharedContent, renderContent } from '../pools/content.ts';
import { contentVolume } from '../pools/parts.ts';
import { allocateAddress, releaseAddresses } from '../servers/addresses.ts';
import { choosePlacement } from '../servers/place.ts';
import { listServers } from '../servers/store.ts';
import type { SiteParts } from './parts.ts';
import { siteProblems } from './problems.ts';

/** The base has rsync; what runs in a carrier needs nothing of an app. */
const CARRIER_IMAGE = 'base-trixie';
const CARRIER_MEMORY_MB = 128;
const CONFIG_FILE = '/etc/espalier-carry.conf';
const SECRET_FILE = '/etc/espalier-carry.secret';
const USER = 'carrier';
const PORT = 873;
const START_MS = 30_000;

/** Whose files, and from where to where. */
export interface Way {
  /** The folder that is read, from the volume's root: a site's id, or a kept copy. */
  folder: string;
  /** The id of the site whose folder is written. */
  as: string;
  from: string;
  to: string;
}

/** A carrier belongs to the site that it makes or moves; this one writes. */
export const carrierOf = (site: string): string => `carry-${site}`;
/** The one that is read from, where there are two. */
export const sourceCarrierOf = (site: string): string => `carry-${site}-from`;

/** A pool's content as a container has it. */
export interface End {
  /** Where its volume lies; undefined of a shared folder, which is everywhere. */
  server: string | undefined;
  /** The first id of its owners in a shared folder; null of volumes, which any container can have. */
  base: number | null;
  device: Device;
  config: Record<string, string>;
}

async function readEnd(parts: SiteParts, pool: string, path: string, signal?: AbortSignal): Promise<End> {
  const { pools, store } = parts;
  const shared = await readSharedContent(pools, store, pool);
  const volume = shared === undefined ? await pools.fleet.volumes.read(contentVolume(pool), { signal }) : undefined;
  return { server: volume?.server, base: shared?.base ?? null, ...renderContent(pool, shared, path) };
}

async function readEnds(parts: SiteParts, way: Pick<Way, 'from' | 'to'>, signal?: AbortSignal): Promise<[End, End]> {
  return [await readEnd(parts, way.from, '/from', signal), await readEnd(parts, way.to, '/to', signal)];
}

/** Whether one container can have both: ids are mapped once for all of it, and a volume is on one server. */
export const fitsOne = (from: Pick<End, 'server' | 'base'>, to: Pick<End, 'server' | 'base'>): boolean =>
  (from.base === null || to.base === null || from.base === to.base) &&
  (from.server === undefined || to.server === undefined || from.server === to.server);

/** Throws `site.other-server` while a server is away on which files of these pools lie. Says whether they cross servers. */
export async function assertCarriable(parts: SiteParts, from: string, to: string): Promise<{ crosses: boolean }> {
  const ends = await readEnds(parts, { from, to });
  const ready = new Set(
    (await listServers(parts.store)).flatMap(({ name, state, load }) => {
      return load !== undefined && (state === 'ready' || state === 'draining') ? [name] : [];
    }),
  );
  for (const { server } of ends)
    if (server !== undefined && ready.size > 0 && !ready.has(server))
      throw siteProblems.make('other-server', { from, to, server });
  return { crosses: !fitsOne(...ends) };
}

/** Who may read what: one folder, the other carrier, by a password that is made anew for each pass. */
export function renderSource(folder: string, reader: string): string {
  const lines = [
    ...['uid = 0', 'gid = 0', 'use chroot = yes', 'numeric ids = yes', 'strict modes = yes', `port = ${PORT}`],
    ...['[content]', `path = /from/${folder}`, 'read only = yes', 'list = no', `hosts allow = ${reader}`],
    ...[`auth users = ${USER}`, `secrets file = ${SECRET_FILE}`],
  ];
  return `${lines.join('\n')}\n`;
}

/** What a pass reads from, when there are two carriers. */
export const renderSourceUrl = (address: string): string => `rsync://${USER}@${address}:${PORT}/content/`;

interface Wish {
  name: string;
  server: string | undefined;
  /** In the deployment's network, when it needs one. */
  address?: string;
  config: Record<string, string>;
  devices: Record<string, Device>;
}

/** Makes the carriers of a site, or finds them. */
export async function ensureCarriers(parts: SiteParts, way: Way, signal: AbortSignal): Promise<void> {
  const { fleet } = parts.pools;
  const [from, to] = await readEnds(parts, way, signal);
  const image = await readNewest(parts.store, CARRIER_IMAGE);
  if (image === undefined) throw imageProblems.make('none', { recipe: CARRIER_IMAGE });
  const ensure = async ({ name, server, address, config, devices }: Wish): Promise<void> => {
    const nic = address === undefined ? {} : { eth0: { kind: 'nic' as const, ipv4Address: address } };
    await fleet.instances.ensure(
      {
        ...{ name, config, devices: { ...nic, ...devices }, start: true },
        ...(server === undefined ? {} : { server }),
        source: { image: image.fingerprint },
        labels: { kind: 'carrier', site: way.as },
      },
      { signal },
    );
  };
  const [sink, source] = [carrierOf(way.as), sourceCarrierOf(way.as)];
  if (fitsOne(from, to)) {
    const config = from.base === null ? to.config : from.config;
    const server = to.server ?? from.server;
    return await ensure({ name: sink, server, config, devices: { from: from.device, to: to.device } });
  }
  const reads = await place(parts, source, from.server ?? to.server, signal);
  const writes = await place(parts, sink, to.server ?? from.server, signal);
  await ensure({ name: source, ...reads, config: from.config, devices: { from: from.device } });
  await ensure({ name: sink, ...writes, config: to.config, devices: { to: to.device } });
  await fleet.files.write(source, CONFIG_FILE, renderSource(way.folder, writes.address), { mode: 0o600, signal });
  // One that runs already keeps the port; what it is told is read anew for each reader.
  const daemon = ['rsync', '--daemon', `--config=${CONFIG_FILE}`];
  await fleet.exec(source, daemon, { signal, timeoutMs: START_MS });
}

/** Where a carrier is, or will be, and its address: those on other servers are reached by a fixed one only. */
async function place(
  parts: SiteParts,
  name: string,
  wish: string | undefined,
  signal: AbortSignal,
): Promise<{ server: string; address: string }> {
  const { store, pools } = parts;
  const there = await pools.fleet.instances.read(name, { signal });
  const cidr = await pools.readCidr();
  return store.transaction(async (sql) => {
    const choose = async () =>
      choosePlacement(await listServers(sql), { memoryMb: CARRIER_MEMORY_MB, groupOn: new Map() }).server;
    const server = there?.server ?? wish ?? (await choose());
    return { server, address: await allocateAddress(sql, cidr, { instance: name, server }) };
  });
}

/** Removes them; absent ones are fine. */
export async function removeCarriers(parts: SiteParts, site: string, signal: AbortSignal): Promise<void> {
  for (const name of [carrierOf(site), sourceCarrierOf(site)]) {
    await parts.pools.fleet.instances.delete(name, { force: true, signal });
    await parts.store.transaction((sql) => releaseAddresses(sql, name));
  }
}

/** The carrier in which the folder that is read can be reached under `/from`. */
export async function findReader(parts: SiteParts, site: string, signal: AbortSignal): Promise<string> {
  const source = await parts.pools.fleet.instances.read(sourceCarrierOf(site), { signal });
  return source === undefined ? carrierOf(site) : source.name;
}

/** Lets the writing carrier read from the other one once; undefined when there is only one. */
export async function openSource(
  parts: SiteParts,
  site: string,
  signal: AbortSignal,
): Promise<{ url: string; env: Record<string, string> } | undefined> {
  const { fleet } = parts.pools;
  const source = await fleet.instances.read(sourceCarrierOf(site), { signal });
  if (source === undefined) return undefined;
  const nic = Object.values(source.devices).find((device) => device.kind === 'nic');
  const password = randomBytes(24).toString('base64url');
  await fleet.files.write(source.name, SECRET_FILE, `${USER}:${password}\n`, { mode: 0o600, signal });
  return { url: renderSourceUrl(nic?.ipv4Address ?? ''), env: { RSYNC_PASSWORD: password } };
}
