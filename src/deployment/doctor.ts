// What `espalier doctor` asks of the whole deployment: whether the engines answer, whether clocks and disks are well, and
// whether what exists equals what the store says.

import { listEdges } from '../edge/store.ts';
import { listImages } from '../images/store.ts';
import type { CheckFinding, DoctorCheck } from '../platform/doctor-check.ts';
import { listNodes, listPools } from '../pools/store.ts';
import { listServers } from '../servers/store.ts';
import { listSites } from '../sites/store.ts';
import type { DeploymentParts } from './parts.ts';

const CLOCK_OFF_MS = 2_000;
const DISK_WARN_SHARE = 0.15;

const ok = (detail: string): CheckFinding => ({ status: 'ok', detail });

/** Things of ours that exist without a row, or rows without the thing. Also for tests: after every fault both are empty. */
export async function findOrphans(
  parts: DeploymentParts,
  signal: AbortSignal,
): Promise<{ unknown: string[]; missing: string[] }> {
  const { store, fleet } = parts;
  const unknown: string[] = [];
  const missing: string[] = [];
  const compare = (noun: string, exist: readonly string[], known: readonly string[]) => {
    unknown.push(...exist.filter((name) => !known.includes(name)).map((name) => `${noun} ${name}`));
    missing.push(...known.filter((name) => !exist.includes(name)).map((name) => `${noun} ${name}`));
  };
  const [nodes, edges, pools, sites, databases, caches, images] = await Promise.all([
    listNodes(store),
    listEdges(store),
    listPools(store),
    listSites(store),
    parts.databases.list(store),
    parts.caches.list(store),
    listImages(store),
  ]);
  const instances = await fleet.instances.list({}, { signal });
  const ofKind = (kind: string) => instances.filter((one) => one.labels.kind === kind).map((one) => one.name);
  compare(
    'node',
    ofKind('node'),
    nodes.map((node) => node.name),
  );
  compare(
    'edge',
    ofKind('edge'),
    edges.map((edge) => edge.name),
  );
  compare('seed', ofKind('seed'), []);
  compare(
    'image',
    (await fleet.images.list({}, { signal })).map((image) => image.fingerprint),
    [...new Set(images.map((image) => image.fingerprint))],
  );
  const volumes = (await fleet.volumes.list({ labels: { kind: 'content' } }, { signal })).map((volume) => volume.name);
  compare(
    'volume',
    volumes,
    pools.map((pool) => `content-${pool.name}`),
  );
  for (const database of databases) {
    const engine = await parts.databases.engineFor(database.name);
    const mine = sites.filter((site) => site.databaseServer === database.name).map((site) => site.id);
    compare(
      `database on ${database.name}`,
      (await engine.listSites(signal)).map((site) => site.name),
      mine,
    );
  }
  for (const cache of caches) {
    const engine = await parts.caches.engineFor(cache.name);
    const mine = sites.filter((site) => site.cacheServer === cache.name).map((site) => site.id);
    compare(
      `account on ${cache.name}`,
      (await engine.listSites(signal)).map((site) => site.name),
      mine,
    );
  }
  return { unknown, missing };
}

/** Makes the checks. */
export function makeDoctorChecks(parts: DeploymentParts): DoctorCheck[] {
  const { store, fleet, clock, operations } = parts;
  return [
    {
      name: 'servers',
      async run() {
        const servers = await listServers(store);
        const bad = servers.filter((server) => server.state !== 'ready');
        if (servers.length > 0 && bad.length === 0) return ok(`${servers.length} ready`);
        const detail = bad.map((server) => `${server.name} is ${server.state}: ${server.reason}`).join('; ');
        return {
          status: 'fail',
          detail: detail || 'no agent has said hello',
          todo: 'Run `espalier up` on that server.',
        };
      },
    },
    {
      name: 'clocks',
      async run() {
        const off = (await listServers(store)).flatMap((server) => {
          const drift = server.load === undefined ? 0 : clock.nowMs() - (server.silentMs ?? 0) - server.load.clockMs;
          return Math.abs(drift) > CLOCK_OFF_MS ? [`${server.name} is ${Math.round(drift / 1000)} s off`] : [];
        });
        if (off.length === 0) return ok('no server is more than 2 s off');
        return {
          status: 'warn',
          detail: off.join('; '),
          todo: 'Set up time synchronisation (systemd-timesyncd or chrony) there.',
        };
      },
    },
    {
      name: 'storage',
      async run(signal) {
        const usage = await fleet.usage({ signal });
        if (usage === undefined)
          return { status: 'fail', detail: 'there is no storage pool', todo: 'Run `espalier up`.' };
        const free = 1 - usage.diskUsedBytes / usage.diskTotalBytes;
        const detail = `${Math.round(free * 100)} % of ${Math.round(usage.diskTotalBytes / 2 ** 30)} GiB free (${usage.driver})`;
        if (free >= DISK_WARN_SHARE) return ok(detail);
        return { status: 'warn', detail, todo: 'Delete old images and backups, or make the storage pool larger.' };
      },
    },
    {
      name: 'operations',
      async run() {
        const { items } = await operations.list({ states: ['fatal'] });
        if (items.length === 0) return ok('none needs a person');
        const detail = items.map((operation) => `${operation.title} (${operation.id})`).join('; ');
        return { status: 'fail', detail, todo: 'Look at each with `espalier operation show ID`; it says what to do.' };
      },
    },
    {
      name: 'orphans',
      async run(signal) {
        const { unknown, missing } = await findOrphans(parts, signal);
        const busy = (await operations.list({ states: ['pending', 'running', 'recovering'] })).items.length;
        if (unknown.length + missing.length === 0) return ok('what exists equals what the store says');
        const detail = [
          ...unknown.map((name) => `${name} has no record`),
          ...missing.map((name) => `${name} is missing`),
        ].join('; ');
        if (busy > 0) return ok(`${detail}; ${busy} operations are under way`);
        return {
          status: 'warn',
          detail,
          todo: 'Missing things are made anew by their loops. Remove what has no record by hand.',
        };
      },
    },
  ];
}
