// What must hold whenever no operation is under way: everything that exists has a row, every row what it tells of, and
// nobody holds a lock, an address or a secret for nothing.
import assert from 'node:assert/strict';
import { findOrphans } from '../../src/deployment/doctor.ts';
import { readDeployment } from '../../src/deployment/store.ts';
import { readEdgeDocument } from '../../src/edge/document.ts';
import { listEdges } from '../../src/edge/store.ts';
import { generationKey, listGenerations } from '../../src/pools/generations.ts';
import { listNodes, listPools } from '../../src/pools/store.ts';
import { listServers } from '../../src/servers/store.ts';
import { innerOf } from '../../src/servers/tunnel.ts';
import { readPoolConfig } from '../../src/sites/document.ts';
import { secretsOf } from '../../src/sites/parts.ts';
import { listSnapshots } from '../../src/sites/snapshots/store.ts';
import { listSites } from '../../src/sites/store.ts';
import type { World } from './world.ts';

const sorted = (names: Iterable<string>): string[] => [...names].sort();

/** Throws with everything that differs between the store, the engines and the agents. */
export async function assertConsistent(world: World): Promise<void> {
  const { store, controller } = world;
  const parts = controller.rooms.parts.deployment;
  const [pools, nodes, edges, sites] = [
    await listPools(store),
    await listNodes(store),
    await listEdges(store),
    await listSites(store),
  ];
  const services = [
    ...(await parts.databases.list(store)).map((row) => ({ ...row, noun: 'database', volumes: ['data', 'backups'] })),
    ...(await parts.caches.list(store)).map((row) => ({ ...row, noun: 'cache', volumes: ['data'] })),
  ];
  assert.deepEqual(await findOrphans(parts, AbortSignal.timeout(10_000)), { unknown: [], missing: [] });

  const held = await store.query<{ name: string }>('SELECT name FROM operation_lock');
  assert.deepEqual(held, [], 'locks are held although nothing is under way');

  const kept = services.filter(({ state }) => state !== 'deleting');
  const instances = await world.fleet.instances.list();
  const volumes = await world.fleet.volumes.list();
  for (const { instance, volumes: suffixes } of kept) {
    const missing = suffixes.filter((suffix) => !volumes.some(({ name }) => name === `${instance}-${suffix}`));
    assert.deepEqual(missing, [], `volumes that ${instance} lacks`);
  }
  if ((await readDeployment(store)).wanted === 'up') {
    const alive = [...nodes, ...edges, ...kept.map((row) => ({ ...row, name: row.instance }))];
    for (const { name } of alive.filter(({ state }) => state === 'ready')) {
      assert.equal(instances.find((one) => one.name === name)?.status, 'running', `${name} counts as ready`);
    }
  }

  const addresses = await store.query<{ instance: string; address: string }>(
    'SELECT instance, address FROM instance_address',
  );
  const serverInners = new Set((await listServers(store)).map(({ name }) => innerOf(name)));
  const placed = [...nodes, ...edges, ...services.map((row) => ({ ...row, name: row.instance }))];
  assert.deepEqual(
    sorted(
      // Servers have addresses too, once they are a cluster.
      addresses.flatMap(({ instance, address }) => (serverInners.has(instance) ? [] : [`${instance} ${address}`])),
    ),
    sorted(placed.filter(({ address }) => address !== null).map(({ name, address }) => `${name} ${address}`)),
    'addresses',
  );

  const secrets = await store.query<{ name: string }>('SELECT name FROM secret');
  const owners = [
    ...sites.map(({ id }) => secretsOf(id)),
    ...services.map(({ noun, name }) => `${noun}/${name}/`),
    // Made with the cluster, and for as long as the deployment.
    'authority/',
  ];
  const ownerless = secrets.filter(({ name }) => !owners.some((owner) => name.startsWith(owner)));
  assert.deepEqual(ownerless, [], 'secrets of nothing');

  for (const site of sites) {
    assert.ok(
      site.state !== 'creating' && site.state !== 'maintenance' && site.state !== 'upgrading',
      `the site ${site.name} is ${site.state}`,
    );
    // Its purge failed half way, and is begun again by a loop.
    if (site.state === 'failed') assert.ok(site.purgeAt !== null, `the site ${site.name} has failed`);
    if (site.state === 'failed') continue;
    const twin = world.databases.get(`database-${site.databaseServer}`);
    const { [`${secretsOf(site.id)}database-password`]: password = '' } = await controller.platform.secrets.readAll(
      store,
      secretsOf(site.id),
    );
    const logIn = () => twin?.login(site.id, password, site.id).close();
    if (site.state === 'ready') logIn();
    else assert.throws(logIn, { code: 'mariadb.access-denied' }, `the site ${site.name} is ${site.state}`);
    if (site.state === 'archived') assert.ok(site.purgeAt !== null && site.backup !== null, `${site.name} is archived`);
  }

  await assertSnapshotsConsistent(world);

  const serving = pools.filter(({ worksFor }) => worksFor === null);
  for (const pool of serving) {
    for (const node of nodes.filter((one) => one.sitesOf === pool.name && one.state === 'ready')) {
      const of = { pool: pool.name, generation: node.generation, since: 0 };
      const { changed } = await readPoolConfig(controller.rooms.parts.sites, of);
      const applied = world.agents.applied.get(node.name) ?? [];
      const byName = applied.toSorted((one, other) => (one.name < other.name ? -1 : 1));
      assert.deepEqual(byName, changed, `the sites on ${node.name}`);
    }
  }
  const folders = sites.filter(
    ({ pool, id, state }) => state !== 'failed' || world.agents.content.has(`${pool}/${id}`),
  );
  assert.deepEqual(
    sorted(world.agents.content),
    sorted(folders.map(({ pool, id }) => `${pool}/${id}`)),
    'folders of uploads',
  );
  const prepared = (pool: string) => [...world.agents.directories].some((path) => path.endsWith(`/pools/${pool}`));
  assert.deepEqual(
    // Of a pool several servers may have one, each those of its own nodes.
    sorted(new Set([...world.agents.directories].map((path) => path.replace(/^[^/]*\//, '')))),
    sorted([
      ...serving
        .filter(({ name, state }) => state === 'ready' || prepared(name))
        .flatMap((pool) => listGenerations(pool).map(({ generation }) => generationKey(pool.name, generation)))
        .map((key) => `pools/${key}`),
      ...edges.map(({ name }) => `edges/${name}`),
    ]),
    'directories on servers',
  );
  if (edges.length > 0) {
    const { version: _, ...wanted } = await readEdgeDocument(store, []);
    const { version: __, ...actual } = world.agents.edge ?? { version: 0 };
    assert.deepEqual(actual, wanted, 'what the edges know');
  }
}

/** Every snapshot is whole, and nothing of one lies where none is told of. */
async function assertSnapshotsConsistent(world: World): Promise<void> {
  const snapshots = (
    await Promise.all((await listSites(world.store)).map(({ id }) => listSnapshots(world.store, id)))
  ).flat();
  for (const { site, number, state } of snapshots) assert.equal(state, 'ready', `snapshot ${number} of ${site}`);
  const dumps = [...world.databases.values()].flatMap((twin) => twin.dumps()).filter((path) => /-snapshot-/.test(path));
  assert.deepEqual(sorted(dumps), sorted(snapshots.map(({ dump }) => dump?.path ?? '')), 'dumps of snapshots');
  const known = snapshots.map(({ site, number }) => `/srv/content/.snapshots/${site}-${number}/`);
  const packed = snapshots.filter((one) => one.packed !== null);
  known.push(...packed.map(({ site, number }) => `/srv/content/.snapshots/${site}-${number}.tar`));
  const kept = Object.values(world.machine.projects)
    .flatMap(({ volumes }) => Object.values(volumes).flatMap(({ files }) => Object.keys(files ?? {})))
    .filter((path) => path.startsWith('/srv/content/.snapshots/'));
  const unknown = kept.filter((path) => !known.some((folder) => path.startsWith(folder)));
  assert.deepEqual(unknown, [], 'files of snapshots that are none');
}
