// What `espalier doctor` asks of the whole deployment: whether the engines answer, whether clocks and disks are well, and
// whether what exists equals what the store says.

import type { Caches } from '../caches/caches.ts';
import type { Databases } from '../databases/databases.ts';
import { listEdges } from '../edge/store.ts';
import type { Labels } from '../engines/fleet.ts';
import { listSeeds, seedInstance } from '../images/seed-store.ts';
import { listImages } from '../images/store.ts';
import type { CheckFinding, DoctorCheck } from '../platform/doctor-check.ts';
import { listAll, UNDER_WAY } from '../platform/operations/list-all.ts';
import { contentVolume } from '../pools/parts.ts';
import { listNodes, listPools } from '../pools/store.ts';
import { readClockOff, readFullDisk, renderFullDisk } from '../servers/flaws.ts';
import { findShortfalls, renderShortfall } from '../servers/spare.ts';
import { isApart, listServers } from '../servers/store.ts';
import { carrierOf, sourceCarrierOf } from '../sites/carriers.ts';
import { listSites, type SiteRow } from '../sites/store.ts';
import type { DeploymentParts } from './parts.ts';

const DISK_WARN_SHARE = 0.15;

const ok = (detail: string): CheckFinding => ({ status: 'ok', detail });

/** A row by the name of what it tells of. `whole`: false while that is being made or removed, and may be missing. */
interface Known {
  name: string;
  whole: boolean;
}

/** Things of ours that exist without a row, and things that are missing although their row says that they are there. */
export async function findOrphans(
  parts: DeploymentParts,
  signal: AbortSignal,
): Promise<{ unknown: string[]; missing: string[] }> {
  const { store, fleet } = parts;
  const unknown: string[] = [];
  const missing: string[] = [];
  const compare = (noun: string, exist: readonly string[], known: readonly Known[]) => {
    const names = new Set(known.map(({ name }) => name));
    unknown.push(...exist.filter((name) => !names.has(name)).map((name) => `${noun} ${name}`));
    const gone = known.filter(({ name, whole }) => whole && !exist.includes(name));
    missing.push(...gone.map(({ name }) => `${noun} ${name}`));
  };
  const [nodes, edges, pools, sites, images] = await Promise.all([
    listNodes(store),
    listEdges(store),
    listPools(store),
    listSites(store),
    listImages(store),
  ]);
  // What lies on a fenced server is removed before that is ready again.
  const servers = await listServers(store);
  const apart = new Set(servers.filter(({ state }) => isApart(state)).map(({ name }) => name));
  // An engine that is down shows nothing of what runs on there.
  const mute = new Set(servers.filter(({ isEngineSilent }) => isEngineSilent).map(({ name }) => name));
  const instances = (await fleet.instances.list({}, { signal })).filter(({ server }) => !apart.has(server));
  const volumes = await fleet.volumes.list({}, { signal });
  const ofKind = (things: readonly { name: string; labels: Labels }[], kind: string) =>
    things.filter(({ labels }) => labels.kind === kind).map(({ name }) => name);
  const ready = ({ name, state, server }: { name: string; state: string; server?: string | null }): Known => ({
    name,
    whole: state === 'ready' && !mute.has(server ?? ''),
  });
  // A seed that stages a site is a node too, and a seed all the same.
  const staged = new Set(ofKind(instances, 'seed'));
  compare('node', ofKind(instances, 'node'), nodes.filter(({ name }) => !staged.has(name)).map(ready));
  compare('edge', ofKind(instances, 'edge'), edges.map(ready));
  // While a site is copied from one pool to another.
  const carried = sites.filter(({ movingTo, state }) => movingTo !== null || state === 'creating');
  compare(
    'carrier',
    ofKind(instances, 'carrier'),
    carried.flatMap(({ id }) => [carrierOf(id), sourceCarrierOf(id)].map((name) => ({ name, whole: false }))),
  );
  compare('bake', ofKind(instances, 'bake'), []);
  const seeds = (await listSeeds(store)).map((seed) => ready({ ...seed, name: seedInstance(seed.name) }));
  compare('seed', ofKind(instances, 'seed'), seeds);
  const fingerprints = (await fleet.images.list({}, { signal })).map((image) => image.fingerprint);
  compare(
    'image',
    fingerprints,
    images.map(({ fingerprint: name, state }) => ({ name, whole: state === 'ready' })),
  );
  compare(
    'volume',
    ofKind(volumes, 'content'),
    pools
      .filter(({ worksFor, contentBase }) => worksFor === null && contentBase === null)
      .map((pool) => ready({ ...pool, name: contentVolume(pool.name) })),
  );

  const compareService = async (
    service: Databases | Caches,
    thing: string,
    serverOf: (site: SiteRow) => string | null,
  ): Promise<void> => {
    const { noun } = service;
    const rows = await service.list(store);
    compare(
      noun,
      ofKind(instances, noun),
      rows.map((row) => ready({ ...row, name: row.instance })),
    );
    const owners = rows.map(({ instance }) => `${instance}-`);
    const ownerless = ofKind(volumes, noun).filter((name) => !owners.some((owner) => name.startsWith(owner)));
    unknown.push(...ownerless.map((name) => `volume ${name}`));
    // Another one cannot be asked.
    for (const { name } of rows.filter(({ state }) => state === 'ready')) {
      const exist = (await (await service.engineFor(name)).listSites(signal)).map((site) => site.name);
      const mine = sites.filter((site) => serverOf(site) === name);
      const known = mine.map(({ id, state }) => ({ name: id, whole: !['creating', 'failed'].includes(state) }));
      compare(`${thing} on ${name}`, exist, known);
    }
  };
  await compareService(parts.databases, 'database', (site) => site.databaseServer);
  await compareService(parts.caches, 'account', (site) => site.cacheServer);
  return { unknown, missing };
}

/** Makes the checks. */
export function makeDoctorChecks(parts: DeploymentParts): DoctorCheck[] {
  const { store, fleet, operations } = parts;
  return [
    {
      name: 'servers',
      async run() {
        const servers = await listServers(store);
        const emptied = servers.filter((server) => server.state === 'draining');
        const bad = servers.filter((server) => server.state !== 'ready' && server.state !== 'draining');
        const mute = servers.filter((server) => server.isEngineSilent);
        const render = (those: typeof servers) =>
          those
            .map(({ name, state, reason, left }) =>
              [`${name} is ${state}: ${reason}`, ...left.map((what) => `not made anew: ${what}`)].join('; '),
            )
            .join('; ');
        if (servers.length > 0 && bad.length + mute.length + emptied.length === 0) return ok(`${servers.length} ready`);
        if (bad.length > 0 || servers.length === 0)
          return {
            status: 'fail',
            detail: render(bad) || 'no agent has said hello',
            todo: 'Bring that server back, or its agent by `espalier up` there; one that is gone for good: `espalier server remove`.',
          };
        return {
          status: 'warn',
          detail: render([...new Set([...mute, ...emptied])]),
          todo: [
            ...(mute.length === 0
              ? []
              : ['There: `systemctl start incus.socket incus`; `journalctl -u incus` says why it ended.']),
            ...(emptied.length === 0 ? [] : ['When it is done there: `espalier server undrain NAME`.']),
          ].join(' '),
        };
      },
    },
    {
      name: 'spare',
      async run() {
        const [servers, nodes, pools] = [await listServers(store), await listNodes(store), await listPools(store)];
        if (servers.length < 2) return ok('one server: what it carries is lost with it');
        const poolOf = new Map(pools.map((pool) => [pool.name, pool]));
        const free = nodes.filter(({ sitesOf }) => poolOf.get(sitesOf)?.contentBase != null);
        const movable = free.flatMap(({ pool, server }) =>
          server === null ? [] : [{ server, memoryMb: poolOf.get(pool)?.nodeMemoryMb ?? 0 }],
        );
        const bound = pools.filter(({ contentBase, worksFor }) => contentBase === null && worksFor === null);
        const detail = [
          ...findShortfalls(servers, movable).map(renderShortfall),
          ...(bound.length === 0
            ? []
            : [`bound to one server by their uploads: ${bound.map(({ name }) => name).join(', ')}`]),
        ];
        if (detail.length === 0) return ok('the nodes of any one server would fit on the others');
        return {
          status: 'warn',
          detail: detail.join('; '),
          todo: 'Add a server or memory; give new pools a folder that all servers share.',
        };
      },
    },
    {
      name: 'clocks',
      async run() {
        const off = (await listServers(store)).flatMap((server) => {
          const offS = readClockOff(server);
          return offS === undefined ? [] : [`${server.name} is ${offS} s off`];
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
      name: 'disks',
      async run() {
        const full = (await listServers(store)).flatMap((server) => {
          const found = readFullDisk(server);
          return found === undefined ? [] : [{ ...found, words: `${server.name} has ${renderFullDisk(found)}` }];
        });
        if (full.length === 0) return ok('every server has room on its disk and in its storage pool');
        const { storagePool } = fleet.place;
        const todos = {
          disk: 'Free some there: an agent that cannot keep what it hears can take nothing new, and confirms no fence.',
          'storage pool': `Nothing new is placed there until there is room: delete what is not needed (\`espalier image list\`), or make it larger (\`incus storage set ${storagePool} size=… --target NAME\`); \`incus storage info ${storagePool} --target NAME\` shows what it has.`,
        };
        return {
          status: 'fail',
          detail: full.map(({ words }) => words).join('; '),
          todo: [...new Set(full.map(({ what }) => todos[what]))].join(' '),
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
        const busy = (await listAll(operations, { states: UNDER_WAY })).length;
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
