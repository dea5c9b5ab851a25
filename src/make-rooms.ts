// Puts the rooms together over a platform and engines. Part of the composition root; apart from main.ts so that tests
// compose the very same rooms over twins.
import { join } from 'node:path';
import type { WebSocket } from 'ws';
import { makeSimulatedAgents, type SimulatedAgents } from './agent/simulated.ts';
import { makeAnswers } from './answer-agents.ts';
import { type Caches, makeCaches } from './caches/caches.ts';
import { makeCacheRoutes } from './caches/routes.ts';
import { makeControllerChecks } from './controllers/doctor.ts';
import { makeControllerRoutes } from './controllers/routes.ts';
import { listControllers, readLeadingServer } from './controllers/store.ts';
import { listControllerViews, readHeir } from './controllers/views.ts';
import { type Databases, makeDatabases } from './databases/databases.ts';
import { makeDatabaseRoutes } from './databases/routes.ts';
import { makeDoctorChecks } from './deployment/doctor.ts';
import type { DeploymentParts } from './deployment/parts.ts';
import { deploymentProblems } from './deployment/problems.ts';
import { registerDeployment } from './deployment/register.ts';
import { readDeployment } from './deployment/store.ts';
import type { DrainParts } from './drain/parts.ts';
import { registerDrains } from './drain/register.ts';
import type { EdgeParts } from './edge/create.ts';
import { registerEdges } from './edge/register.ts';
import { listEdges } from './edge/store.ts';
import { makeEdgeSync } from './edge/sync.ts';
import type { ImageParts } from './images/parts.ts';
import type { RecipeShelf } from './images/recipes.ts';
import { registerImages } from './images/register.ts';
import type { Clock } from './lib/clock.ts';
import { readTakenNetworks } from './lib/ipv4.ts';
import type { Logger } from './lib/log.ts';
import type { Engines } from './make-engines.ts';
import { makeImages, readServiceImage } from './make-images.ts';
import { type ControllerSelf, makeJoining } from './make-joining.ts';
import { type LossParts, makeLoss } from './make-loss.ts';
import { makePools } from './make-pools.ts';
import type { Platform } from './open-platform.ts';
import { type Agents, bindAnswers, makeAgents } from './platform/agents.ts';
import type { DoctorCheck } from './platform/doctor-check.ts';
import type { House } from './platform/house.ts';
import type { ApiRoutes } from './platform/http.ts';
import { handOver } from './platform/leadership.ts';
import type { PoolParts } from './pools/parts.ts';
import { registerPools } from './pools/register.ts';
import { listNodes } from './pools/store.ts';
import type { AgentPort } from './protocol/agent-port.ts';
import { readFacts } from './read-facts.ts';
import { readAlertChannels } from './sequencer/alert-channels.ts';
import { makeTaskChecks } from './sequencer/doctor.ts';
import { makeFleetRoutes } from './sequencer/fleet-routes.ts';
import { CHOOSE_LOOP, makeSequencerLoops } from './sequencer/loops.ts';
import { taskSubject } from './sequencer/parts.ts';
import { makeTaskRoutes } from './sequencer/routes.ts';
import { makeSequencer, type Sequencer } from './sequencer/sequencer.ts';
import { DEFAULT_SETTINGS } from './sequencer/settings.ts';
import { addMissingTasks, makeSiteTasks } from './sequencer/site-tasks.ts';
import { readTask } from './sequencer/task-store.ts';
import { makeDatabaseTime } from './sequencer/time.ts';
import { accountHostOf } from './servers/addresses.ts';
import { readCluster } from './servers/cluster-store.ts';
import { makeFirewallCheck } from './servers/firewall-check.ts';
import { makeHearing } from './servers/hearing.ts';
import { makeQuorumCheck } from './servers/quorum-check.ts';
import { registerServers } from './servers/register.ts';
import { tellServers } from './servers/tunnel.ts';
import { makeWitnesses } from './servers/witnesses.ts';
import { listServices } from './services/store.ts';
import { listPageChecks } from './sites/page-checks.ts';
import type { SiteParts } from './sites/parts.ts';
import { registerSites } from './sites/register.ts';
import { countSitesByService, readSite } from './sites/store.ts';
import type { VotesParts } from './votes/parts.ts';
import { makeVotesRoutes } from './votes/routes.ts';
import { countWaitingRuns } from './votes/run-queue.ts';
import { makeVotesLoops } from './votes/votes.ts';
import { WAVES_LOOP } from './waves/advance.ts';
import type { WaveParts } from './waves/parts.ts';
import { registerWaves } from './waves/register.ts';

export interface Rooms {
  routes: ApiRoutes[];
  checks: DoctorCheck[];
  parts: {
    images: ImageParts;
    pools: PoolParts;
    sites: SiteParts;
    edge: EdgeParts;
    deployment: DeploymentParts;
    drain: DrainParts;
    votes: VotesParts;
    waves: WaveParts;
    loss: LossParts;
  };
  databases: Databases;
  caches: Caches;
  sequencer: Sequencer;
  /** The twins of the agents, when the engines are simulated. */
  simulatedAgents: SimulatedAgents | undefined;
  acceptAgent(socket: WebSocket): void;
  /** Opens the door for other servers, if there is a cluster. */
  openDoor(): Promise<void>;
  /** A noun and a name as people type them, as the subject of events. */
  subjectOf(noun: string, name: string): Promise<string>;
  close(): Promise<void>;
}

export interface RoomOptions {
  deployment: string;
  dataDir: string;
  platform: Platform;
  engines: Engines;
  shelf: RecipeShelf;
  clock: Clock;
  log: Logger;
  environment: Readonly<Record<string, string | undefined>>;
  isPortFree(port: number): Promise<boolean>;
  /** Absent for one that is alone and of no database that others could have. */
  self?: ControllerSelf;
}

/** A controller that no other one knows. */
const ALONE: ControllerSelf = {
  ...{ id: 'alone', databaseUrl: undefined, readKeys: async () => '' },
  forwarded: (_, response) => response.writeHead(404).end(),
};

const UNKNOWN_PORT = 80;
/** All containers of a deployment that is brought up again boot at once, which takes them some seconds. */
const BOOT_MS = 30_000;

/** Makes every room, registers their operations and adds their loops. */
export async function makeRooms(options: RoomOptions): Promise<Rooms> {
  const { deployment, dataDir, platform, engines, shelf, clock, log } = options;
  const { store, operations, events, secrets, loops } = platform;
  const { fleet } = engines;

  let cidr: string | undefined;
  const findCidr = async (): Promise<string | undefined> => {
    cidr ??= (await fleet.usage())?.cidr;
    return cidr;
  };
  const readCidr = async (): Promise<string> => {
    await findCidr();
    if (cidr === undefined) throw deploymentProblems.make('not-made', {});
    return cidr;
  };
  let state = await readDeployment(store);
  // By the monotonic clock. A controller that starts finds the deployment as it was: up for long.
  let upSinceMs = Number.NEGATIVE_INFINITY;
  const onChange = async () => {
    const before = state.wanted;
    state = await readDeployment(store);
    if (before !== 'up' && state.wanted === 'up') upSinceMs = clock.monotonicMs();
    cidr = undefined;
  };
  /** Nodes that are stopped with the deployment, or have just been started with it, are not dead. */
  const mayNodesRest = () => state.wanted !== 'up' || clock.monotonicMs() - upSinceMs < BOOT_MS;
  const wakeHeal = () => loops.wake('pools.heal');
  const [witnesses, hearing] = [makeWitnesses(clock), makeHearing(clock)];

  const answers = makeAnswers(() => ({
    ...{ store, events, log, sequencer, pools, sites, votes, joining, witnesses, hearing },
    ...{ syncEdges, mayNodesRest, findCidr },
  }));
  const channel: Agents | undefined = engines.simulated
    ? undefined
    : makeAgents({
        answers,
        onGone: (server) => {
          sequencer.forget(server);
          log.warn({ server }, 'an agent went away');
        },
        log,
      });
  const simulatedAgents = engines.simulated
    ? makeSimulatedAgents({
        fleet,
        clock,
        memory: engines.agentMemory,
        ask: (server) => bindAnswers(answers, () => server),
      })
    : undefined;
  const agents = (channel ?? simulatedAgents) as AgentPort;

  const sequencer = makeSequencer({
    ...{ store, events, agents, clock, log },
    time: makeDatabaseTime(),
    random: Math.random,
    settings: DEFAULT_SETTINGS,
    wake: () => loops.wake(CHOOSE_LOOP),
  });
  const common = { store, operations, events, fleet, agents, clock, readCidr };
  const syncEdges = makeEdgeSync({ store, agents, clock });
  const { environment } = options;
  const images = makeImages({ common, shelf, dataDir, environment, buildRootfs: engines.buildRootfs });
  const listChecks: PoolParts['listChecks'] = (sql, pool) => listPageChecks(sites, sql, pool);
  const pools = makePools({ common, deployment, syncEdges, wakeHeal, listChecks });
  const votes: VotesParts = {
    ...{ store, events, operations, pools, clock, log, countWaitingRuns },
    at: () => null,
    listEdgeAddresses: async (sql) => (await listEdges(sql)).flatMap(({ address }) => address ?? []),
  };
  const edge: EdgeParts = { ...common, readServiceImage: () => readServiceImage(store, 'edge'), sync: syncEdges };
  const serviceParts = { store, operations, events, secrets, fleet, clock, readCidr };
  const databases = makeDatabases({
    ...serviceParts,
    makeEngine: engines.connectDatabase,
    readServiceImage: () => readServiceImage(store, 'database'),
    countSites: (sql) => countSitesByService(sql, 'database'),
  });
  const caches = makeCaches({
    ...serviceParts,
    makeEngine: engines.connectCache,
    readServiceImage: () => readServiceImage(store, 'cache'),
    countSites: (sql) => countSitesByService(sql, 'cache'),
  });
  const appRecipe = (app: string) => shelf.recipes.find((one) => one.kind === 'app' && one.value.name === app)?.value;
  const readTasks = (app: string) => appRecipe(app)?.tasks ?? [];
  const sites: SiteParts = {
    store,
    operations,
    events,
    secrets,
    databases,
    caches,
    pools,
    images,
    tasks: makeSiteTasks(sequencer.parts, readTasks),
    readRecipe: appRecipe,
    appNames: () => shelf.recipes.filter((one) => one.kind === 'app').map((one) => one.value.name),
    uploadsDir: join(dataDir, 'uploads'),
    readAllowedFrom: async () => accountHostOf(await readCidr()),
    publicAddress: {
      scheme: 'http',
      get port() {
        return state.httpPort ?? UNKNOWN_PORT;
      },
    },
  };
  const waves: WaveParts = {
    ...{ store, operations, events, clock, pools, sites },
    wake: () => loops.wake(WAVES_LOOP),
  };
  const drain: DrainParts = {
    ...{ store, operations, events, fleet, agents, clock, pools, sites, readLeadingServer },
    services: { database: databases, cache: caches },
    controllers: {
      readHeir: (server) => readHeir(store, server),
      findSilent: async (server) =>
        (await listControllerViews(store)).find(({ name, state }) => name === server && state === 'silent')?.reason,
      handOver: (id, withinMs) => handOver(store, id, withinMs),
    },
  };
  const { joining, controllers, door } = makeJoining({
    self: options.self ?? ALONE,
    ...{ deployment, simulated: engines.simulated, store, secrets, fleet, events, operations, clock, log },
    accept: (socket, server) => channel?.accept(socket, server),
    dropAgent: (server) => channel?.drop(server),
    tellServers: () => tellServers(agents),
    async listTenants(sql, server) {
      const services = [...(await listServices(sql, 'database')), ...(await listServices(sql, 'cache'))];
      return [
        ...(await listControllers(sql)).filter(({ name }) => name === server).map(() => 'a controller'),
        ...(await listNodes(sql, { server })).map(({ name }) => `the node ${name}`),
        ...(await listEdges(sql)).filter((one) => one.server === server).map(({ name }) => `the edge ${name}`),
        ...services.filter((one) => one.server === server).map(({ instance }) => `the server ${instance}`),
      ];
    },
  });
  const dropAgent = (server: string) => {
    sequencer.forget(server);
    channel?.drop(server);
  };
  const setConcurrency = (count: number) => operations.driver.setConcurrency(count);
  const loss = makeLoss({ pools, databases, caches, witnesses, hearing, dropAgent, setConcurrency });
  const whole: DeploymentParts = {
    name: deployment,
    ...{ store, operations, fleet, clock, images, databases, caches, edge, pools, sites, onChange },
    isPortFree: options.isPortFree,
    readTakenNetworks,
    storageDriver: engines.storageDriver,
  };

  const house: House = {
    ...{ operations, loops },
    whenUp: (work) => async (signal) => (state.wanted === 'up' ? work(signal) : { rests: 'the deployment is down' }),
  };
  const { whenUp } = house;
  const routes = [
    ...registerServers(house, { joining, loss, hearing, readFacts }),
    makeControllerRoutes(controllers),
    ...registerImages(house, images),
    ...registerPools(house, pools),
    ...registerEdges(house, edge),
    ...[makeDatabaseRoutes({ store, databases }), makeCacheRoutes({ store, caches })],
    ...registerSites(house, sites),
    ...registerWaves(house, waves),
    ...registerDrains(house, drain),
    ...[makeTaskRoutes(sequencer), makeFleetRoutes(sequencer), makeVotesRoutes(votes)],
    ...registerDeployment(house, whole),
  ];
  for (const loop of [databases, caches].flatMap(({ watch, access }) => [watch, access]))
    loops.add({ ...loop, runOnce: whenUp((signal) => loop.runOnce(signal)) });

  const channels = readAlertChannels(deployment, options.environment);
  const sequencerLoops = makeSequencerLoops({
    sequencer,
    channels,
    addMissingTasks: () => addMissingTasks(sequencer.parts, sites.appNames(), readTasks),
    whenUp,
  });
  for (const loop of [...sequencerLoops, ...makeVotesLoops(votes, whenUp)]) loops.add(loop);

  return {
    routes,
    checks: [
      ...makeDoctorChecks(whole),
      ...makeControllerChecks(store),
      makeFirewallCheck(store, agents),
      makeQuorumCheck(store),
      ...makeTaskChecks(store, channels),
    ],
    parts: { images, pools, sites, edge, deployment: whole, drain, votes, waves, loss },
    databases,
    caches,
    sequencer,
    simulatedAgents,
    acceptAgent: (socket) => channel?.accept(socket),
    async openDoor() {
      const cluster = await readCluster(store);
      if (cluster !== undefined) await joining.openDoor(cluster);
    },
    async subjectOf(noun, name) {
      if (noun === 'task') return taskSubject((await readTask(store, name))?.id ?? name);
      if (noun !== 'site') return `${noun}:${name}`;
      return `site:${(await readSite(store, name))?.id ?? name}`;
    },
    async close() {
      channel?.close();
      await door.close();
      await sequencer.idle();
      await Promise.all([databases.close(), caches.close()]);
    },
  };
}
