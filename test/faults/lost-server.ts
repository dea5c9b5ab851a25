// Losing a server of a simulated cluster and getting it back, for tests: silence and partition, the fence, making anew, cleaning.
import assert from 'node:assert/strict';
import type { SimulatedSession } from '../../src/engines/simulated/database.ts';
import { healPools } from '../../src/pools/heal.ts';
import { listNodes } from '../../src/pools/store.ts';
import { accountHostOf } from '../../src/servers/addresses.ts';
import { readServer } from '../../src/servers/store.ts';
import { watchServers } from '../../src/servers/watch.ts';
import { tester, type World } from './world.ts';

const GIB = 2 ** 30;
/** More than a server may be silent, also to a controller that was behind for as long as it believes of itself (servers/hearing.ts). */
const SILENT_S = 71;
export const soon = () => AbortSignal.timeout(20_000);

/** Servers `s1` to `sN`; the controller is on the first. */
export const makeServers = (count: number, cores = 8) =>
  Array.from({ length: count }, (_, index) => ({
    ...{ name: `s${index + 1}`, cores, memoryBytes: 32 * GIB, diskBytes: 200 * GIB },
  }));

/** A server without the controller that carries nodes, one without databases if there is such a one. */
export async function chooseVictim(world: World): Promise<string> {
  const carriers = new Set(
    (await world.controller.rooms.parts.loss.listCarriers(world.store)).map(({ server }) => server),
  );
  const carried = new Map<string, number>();
  for (const { server } of await listNodes(world.store))
    if (server !== null && server !== 's1') carried.set(server, (carried.get(server) ?? 0) + 1);
  const [best] = [...carried].sort(
    ([a, countA], [b, countB]) => Number(carriers.has(a)) - Number(carriers.has(b)) || countB - countA,
  );
  return best?.[0] ?? assert.fail('no server but the first carries nodes');
}

/** Power off, as the controller sees it: nothing of it answers, and its heartbeats have ended. */
export async function lose(world: World, server: string): Promise<void> {
  world.fleet.faults.partition(server);
  world.agents.off.add(server);
  world.controller.rooms.simulatedAgents?.setConnected(server, false);
  const before = world.agents.hears;
  world.agents.hears = (listener, other) => other !== server && before(listener, other);
  await beSilent(world, server);
}

export async function beSilent(world: World, server: string): Promise<void> {
  await world.store.query('UPDATE server SET heartbeat_at = now() - make_interval(secs => $2) WHERE name = $1', [
    server,
    SILENT_S,
  ]);
}

/** The others have not heard it for long enough, and say so. */
export async function testify(world: World): Promise<void> {
  await world.beat();
  world.clock.skip(4_500);
  await world.beat();
}

export const watch = (world: World) => watchServers(world.controller.rooms.parts.loss, soon());

/** One look of healing after another until every pool has what it wants. */
export async function heal(world: World): Promise<void> {
  for (let looks = 0; looks < 50; looks += 1) {
    await healPools(world.controller.rooms.parts.pools, soon());
    await world.quiet();
    const nodes = await listNodes(world.store);
    const [{ wanted } = { wanted: 0 }] = await world.store.query<{ wanted: number }>(
      `SELECT sum(wanted)::int AS wanted FROM pool WHERE state = 'ready'`,
    );
    if (nodes.length === wanted && nodes.every(({ state }) => state === 'ready')) return;
    world.clock.skip(6_000);
  }
  assert.fail(`healing does not end: ${JSON.stringify(await healPools(world.controller.rooms.parts.pools, soon()))}`);
}

/** Powered on: its agent says hello, and it is cleaned. */
export async function bringBack(world: World, server: string): Promise<void> {
  world.fleet.faults.rejoin(server);
  world.agents.off.delete(server);
  world.agents.hears = () => true;
  await world.beat();
  for (let looks = 0; looks < 5 && (await readServer(world.store, server))?.state !== 'ready'; looks += 1) {
    await watch(world);
    await world.quiet();
  }
  assert.equal((await readServer(world.store, server))?.state, 'ready');
  await world.beat();
}

/** A writer on a node of the server, with its database session open, as a frozen one has it. */
export async function openSession(world: World, server: string): Promise<SimulatedSession> {
  const [twin] = world.databases.values();
  const [node] = (await listNodes(world.store, { server })).filter(({ address }) => address !== null);
  assert.ok(twin !== undefined && node?.address != null);
  const cidr = await world.controller.rooms.parts.pools.readCidr();
  const limits = { connections: 100, statementTimeS: 10 };
  const account = { name: 'writer', user: 'writer', password: 'p', allowedFrom: accountHostOf(cidr), limits };
  await twin.createSite(account);
  return twin.login('writer', 'p', 'writer', node.address);
}

export async function closeSession(world: World): Promise<void> {
  for (const twin of world.databases.values()) await twin.dropSite({ name: 'writer', user: 'writer' });
}

export { tester };
