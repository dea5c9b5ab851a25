// A whole controller over simulated engines, for tests of what faults leave behind: the very same rooms as in earnest, a
// store in memory, and engines and agents that live on when the controller is killed.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SimulatedAgents } from '../../src/agent/simulated.ts';
import { type AgentMemory, makeAgentMemory } from '../../src/agent/simulated-memory.ts';
import { listRecipes, readBase, readLayer } from '../../src/apps/read-recipe.ts';
import { startUp } from '../../src/deployment/up.ts';
import { makeSimulatedCache, type SimulatedCache } from '../../src/engines/simulated/cache.ts';
import { makeSimulatedDatabase, type SimulatedDatabase } from '../../src/engines/simulated/database.ts';
import { makeSimulatedFleet, type SimulatedFleet } from '../../src/engines/simulated/fleet.ts';
import { makeSimulatedWorld, type SimulatedWorld } from '../../src/engines/simulated/fleet-world.ts';
import type { RecipeShelf } from '../../src/images/recipes.ts';
import { type Clock, makeSystemClock } from '../../src/lib/clock.ts';
import { toFleetPlace } from '../../src/lib/deployment.ts';
import { makeSilentLogger } from '../../src/lib/log.ts';
import type { Engines } from '../../src/make-engines.ts';
import { makeRooms, type Rooms } from '../../src/make-rooms.ts';
import { openPlatform, type Platform } from '../../src/open-platform.ts';
import { readMigrations } from '../../src/platform/migrate.ts';
import type { Operation, Operations, OperationView } from '../../src/platform/operations/operation.ts';
import type { FaultPoint } from '../../src/platform/operations/run-operation.ts';
import type { Sql, Store } from '../../src/platform/store.ts';
import { openPglite } from '../../src/platform/test-store.ts';
import { generationKey, listGenerations } from '../../src/pools/generations.ts';
import { listPools } from '../../src/pools/store.ts';
import { storeCluster } from '../../src/servers/cluster-store.ts';
import { type Mortal, makeMortal } from './mortal.ts';

/** One life of the controller. */
export interface Controller {
  readonly platform: Platform;
  readonly rooms: Rooms;
}

export interface WorldOptions {
  /** Instead of one in memory. The world does not close it. */
  store?: Store;
  /** Instead of one server with 8 cores and 32 GiB. */
  servers?: readonly { name: string; cores: number; memoryBytes: number; diskBytes: number }[];
  /** They are a cluster whose shared folder holds all uploads, the first with the controller, before anything is deployed. */
  cluster?: boolean;
  /** How long an operation may take, unless 20 s. */
  waitMs?: number;
  /** A larger network than a deployment chooses, as `10.64.0.1/15`. */
  cidr?: string;
}

/** So many servers, alike. */
export const makeServers = (count: number) =>
  Array.from({ length: count }, (_, at) => ({
    ...{ name: `s${at + 1}`, cores: 8, memoryBytes: 16 * 2 ** 30, diskBytes: 200 * 2 ** 30 },
  }));

export interface World {
  /** To look at; it outlives every controller. */
  readonly store: Store;
  readonly fleet: SimulatedFleet;
  /** What exists in the simulated machine, as plain data. */
  readonly machine: SimulatedWorld;
  readonly agents: AgentMemory;
  readonly clock: SkippingClock;
  readonly databases: ReadonlyMap<string, SimulatedDatabase>;
  readonly caches: ReadonlyMap<string, SimulatedCache>;
  /** The controller that lives now; throws between a kill and the next start. */
  readonly controller: Controller;
  /** Called at each point of each operation, and at each call that leaves the controller. */
  onPoint: (point: FaultPoint) => void | Promise<void>;
  onCall: (call: string) => void;
  /** What commands in sites answer, in this life of the controller and the next ones. */
  answer: Parameters<SimulatedAgents['setExec']>[0] | undefined;
  /** Changes every kind of operation that the next controller registers. */
  dress: (operations: Operations) => Operations;
  /** Starts a controller over what is there; agents connect and report once. */
  start(): Promise<Controller>;
  /** Starts a second controller beside it, on a connection of its own; it dies with the first. */
  startAnother(store: Store): Promise<Controller>;
  /** As `kill -9`: nothing of the controller reaches the store or an engine any more. */
  kill(): void;
  /** A kill; the next controller starts as soon as the caller has returned. */
  crash(): void;
  /** One more heartbeat of every agent. */
  beat(): Promise<void>;
  /** Every agent looks at everything again, as it does of itself now and then. */
  resync(): Promise<void>;
  /** Begins operations in a transaction. */
  begin<T>(work: (sql: Sql, controller: Controller) => Promise<T>): Promise<T>;
  /** Waits for an operation, however often the controller is killed and started meanwhile. */
  ended(id: string): Promise<OperationView>;
  /** Begins one and waits for it and for all that it began. */
  run(work: (sql: Sql, controller: Controller) => Promise<{ id: string }>): Promise<OperationView>;
  /** Waits until no operation is under way. */
  quiet(): Promise<void>;
  /** Resolves when the operation or one that it began says why it waits. */
  waiting(): Promise<Operation>;
  close(): Promise<void>;
}

/** A server that moves lives in a container of another name, with the same data. */
const toData = (instance: string): string => instance.replace(/-m\d+$/, '');

export const DEPLOYMENT = 'faults';
export const tester = { by: 'test' };
const WAIT_MS = 20_000;

/** The machine's clock, which can be put forward. Waits take their time all the same. */
export interface SkippingClock extends Clock {
  skip(durationMs: number): void;
}

function makeSkippingClock(): SkippingClock {
  const clock = makeSystemClock();
  let skippedMs = 0;
  return {
    nowMs: () => clock.nowMs() + skippedMs,
    monotonicMs: () => clock.monotonicMs() + skippedMs,
    wait: clock.wait,
    skip(durationMs) {
      skippedMs += durationMs;
    },
  };
}

async function readShelf(): Promise<RecipeShelf> {
  const root = join(import.meta.dirname, '../..');
  const { recipes } = await listRecipes([join(root, 'apps'), join(root, 'services')]);
  return { base: await readBase(join(root, 'apps/base')), node: await readLayer(join(root, 'apps/node')), recipes };
}

/** Makes a world with a controller in it; nothing is deployed yet. */
export async function makeWorld(options: WorldOptions = {}): Promise<World> {
  const clock = makeSkippingClock();
  const log = makeSilentLogger();
  const dataDir = await mkdtemp(join(tmpdir(), 'espalier-faults-'));
  const store = options.store ?? (await openPglite(await readMigrations())).store;
  const shelf = await readShelf();
  const machine = makeSimulatedWorld();
  const servers = options.servers === undefined ? {} : { servers: options.servers };
  const fleet = makeSimulatedFleet({ place: toFleetPlace(DEPLOYMENT), clock, world: machine, ...servers });
  const agents = makeAgentMemory();
  const databases = new Map<string, SimulatedDatabase>();
  const caches = new Map<string, SimulatedCache>();
  const waitMs = options.waitMs ?? WAIT_MS;
  let life: { mortal: Mortal; controllers: [Controller, ...Controller[]] } | undefined;
  let restarting: Promise<void> = Promise.resolve();
  let born = Promise.withResolvers<void>();

  function current(): Controller {
    if (life === undefined) throw new Error('no controller lives');
    return life.controllers[0];
  }

  function makeTwins(mortal: Mortal): Engines {
    const once = <T>(kept: Map<string, T>, name: string, make: () => T): T => {
      const value = kept.get(name) ?? make();
      kept.set(name, value);
      return value;
    };
    return {
      simulated: true,
      agentMemory: agents,
      fleet: mortal.wrap('fleet', fleet),
      storageDriver: 'btrfs',
      async buildRootfs(argv) {
        await writeFile(argv.at(-1) ?? '', argv.join(' '));
        return { code: 0, stdout: Buffer.alloc(0), stderr: '' };
      },
      connectDatabase: ({ instance }) =>
        mortal.wrap(
          'database',
          once(databases, toData(instance), () => makeSimulatedDatabase({ server: instance, clock })),
        ),
      connectCache: ({ instance }) =>
        mortal.wrap(
          'cache',
          once(caches, toData(instance), () => makeSimulatedCache({ server: instance, clock })),
        ),
    };
  }

  async function bear(mortal: Mortal, itsStore: Store): Promise<Controller> {
    const platform = await openPlatform({
      dataDir,
      store: mortal.wrapStore(itsStore),
      // Not the one that skips: leases would run out.
      clock: makeSystemClock(),
      log,
      driver: {
        pollMs: 50,
        limits: {
          pause: { firstMs: 1, mostMs: 5 },
          graceMs: 1_000,
          undoAttempts: 50,
          undoAttemptsForGood: 50,
          interruptions: 50,
        },
        fault: (point) => world.onPoint(point),
      },
    });
    const operations = { ...platform.operations, ...world.dress(platform.operations) };
    const rooms = await makeRooms({
      deployment: DEPLOYMENT,
      dataDir,
      platform: { ...platform, operations },
      engines: makeTwins(mortal),
      shelf,
      clock,
      log,
      environment: {},
      isPortFree: async () => true,
    });
    return { platform: { ...platform, operations }, rooms };
  }

  const world: World = {
    store,
    fleet,
    machine,
    agents,
    clock,
    databases,
    caches,
    get controller() {
      return current();
    },
    onPoint: () => undefined,
    onCall: () => undefined,
    answer: undefined,
    dress: (operations) => operations,

    async start() {
      const mortal = makeMortal((call) => world.onCall(call));
      const controller = await bear(mortal, store);
      if (world.answer !== undefined) controller.rooms.simulatedAgents?.setExec(world.answer);
      life = { mortal, controllers: [controller] };
      // An engine that is away keeps no controller from starting.
      await world.beat().catch(() => undefined);
      await controller.platform.operations.driver.start();
      born.resolve();
      return controller;
    },

    async startAnother(another) {
      if (life === undefined) throw new Error('no controller lives');
      const controller = await bear(life.mortal, another);
      life.controllers.push(controller);
      await controller.rooms.simulatedAgents?.beat(AbortSignal.timeout(WAIT_MS));
      await controller.platform.operations.driver.start();
      return controller;
    },

    kill() {
      if (life === undefined) return;
      life.mortal.die();
      for (const { platform } of life.controllers) platform.operations.driver.abandon();
      life = undefined;
      born = Promise.withResolvers();
    },

    crash() {
      world.kill();
      restarting = new Promise((resolve) => setImmediate(resolve)).then(async () => {
        await world.start();
      });
    },

    async beat() {
      await current().rooms.simulatedAgents?.beat(AbortSignal.timeout(waitMs));
    },

    async resync() {
      const { agents } = current().rooms.parts.pools;
      const options = { timeoutMs: WAIT_MS };
      for (const server of agents.connected()) {
        await agents.call(server, 'server.sync', {}, options);
        for (const pool of await listPools(store)) {
          for (const { generation } of listGenerations(pool))
            await agents.call(server, 'pool.sync', { pool: generationKey(pool.name, generation) }, options);
        }
        await agents.call(server, 'edge.sync', {}, options);
      }
    },

    begin: (work) => {
      const controller = current();
      return controller.platform.store.transaction((sql) => work(sql, controller));
    },

    async ended(id) {
      for (;;) {
        await born.promise;
        const mine = life;
        if (mine === undefined) continue;
        const waiting = mine.controllers[0].platform.operations.wait(id, AbortSignal.timeout(waitMs));
        const view = await Promise.race([waiting, mine.mortal.died]).catch(async (thrown: unknown) => {
          if (life !== mine) return;
          const { title, state, waiting: why, steps } = await mine.controllers[0].platform.operations.read(id);
          throw new Error(`${title} is ${state} for ever: ${JSON.stringify({ why, steps })}`, { cause: thrown });
        });
        waiting.catch(() => undefined);
        if (view !== undefined && life === mine) return view;
      }
    },

    async run(work) {
      const { id } = await world.begin(work);
      const view = await world.ended(id);
      await world.quiet();
      return view;
    },

    async quiet() {
      for (;;) {
        await born.promise;
        const { items } = await current().platform.operations.list({ states: ['pending', 'running', 'recovering'] });
        const [first] = items;
        if (first === undefined) return;
        await world.ended(first.id);
      }
    },

    async waiting() {
      const { events, operations } = current().platform;
      const signal = AbortSignal.timeout(WAIT_MS);
      const seen = async () => (await operations.list({ states: ['running', 'recovering'] })).items;
      const stop = new AbortController();
      for await (const event of events.watch({ kind: 'operation.waiting', after: '0', signal })) {
        const found = (await seen()).find((one) => event.subject === `operation:${one.id}` && one.waiting !== null);
        if (found !== undefined) return found;
      }
      stop.abort();
      throw new Error('no operation waits');
    },

    async close() {
      await restarting;
      for (const { platform, rooms } of life?.controllers ?? []) {
        await platform.operations.driver.stop();
        await rooms.close();
      }
      if (options.store === undefined) await store.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
  await world.start();
  return world;
}

/** A world whose deployment is up. */
export async function makeDeployedWorld(options: WorldOptions = {}): Promise<World> {
  const world = await makeWorld(options);
  if (options.cidr !== undefined) await world.fleet.setUp({ cidr: options.cidr, driver: 'btrfs' });
  if (options.cluster === true) {
    const server = options.servers?.[0]?.name ?? 'local';
    const content = { contentPath: '/srv/shared', contentId: 'the-mark' };
    await storeCluster(world.store, { server, address: '192.0.2.1', port: 7443, ...content });
  }
  const { id } = await startUp(world.controller.rooms.parts.deployment, 8080, tester);
  const view = await world.ended(id);
  if (view.state !== 'succeeded') throw new Error(`deployment.up ended ${view.state}: ${view.problem?.detail}`);
  return world;
}

/** Gives a world that is up to the test's work, and closes it in any case. */
export async function withDeployedWorld(
  work: (world: World) => Promise<void>,
  options: WorldOptions = {},
): Promise<void> {
  await withWorld(async () => await makeDeployedWorld(options), work);
}

export async function withWorld(make: () => Promise<World>, work: (world: World) => Promise<void>): Promise<void> {
  const world = await make();
  try {
    await work(world);
  } catch (error) {
    // What is under way would go on for its own bounds.
    world.kill();
    throw error;
  } finally {
    await world.close();
  }
}
