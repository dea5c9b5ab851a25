// Puts the rooms together over a platform and engines. Part of the composition root; apart from main.ts so that tests
// compose the very same rooms over twins.
import { join } from 'node:path';
import type { WebSocket } from 'ws';
import { makeSimulatedAgents, type SimulatedAgents } from './agent/simulated.ts';
import { type Caches, makeCaches } from './caches/caches.ts';
import { makeCacheRoutes } from './caches/routes.ts';
import { type Databases, makeDatabases } from './databases/databases.ts';
import { makeDatabaseRoutes } from './databases/routes.ts';
import { makeDoctorChecks } from './deployment/doctor.ts';
import type { DeploymentParts } from './deployment/parts.ts';
import { deploymentProblems } from './deployment/problems.ts';
import { makeDeploymentRoutes } from './deployment/routes.ts';
import { makeDeploymentDestroy, makeDeploymentStop } from './deployment/stop.ts';
import { readDeployment } from './deployment/store.ts';
import { makeDeploymentUp } from './deployment/up.ts';
import { type EdgeParts, makeEdgeCreate } from './edge/create.ts';
import { readEdgeDocument } from './edge/document.ts';
import { healEdges } from './edge/heal.ts';
import { makeEdgeRoutes } from './edge/routes.ts';
import { listEdges } from './edge/store.ts';
import { makeEdgeSync } from './edge/sync.ts';
import { makeTrafficReader } from './edge/traffic.ts';
import { makeImageBake } from './images/bake.ts';
import { makeImageDelete, removeOld } from './images/keep.ts';
import type { ImageParts } from './images/parts.ts';
import { imageProblems } from './images/problems.ts';
import type { RecipeShelf } from './images/recipes.ts';
import { makeImageRefresh } from './images/refresh.ts';
import { makeImageRoutes } from './images/routes.ts';
import { makeSeedBake } from './images/seed-bake.ts';
import { makeSeedCreate } from './images/seed-create.ts';
import { makeSeedDelete } from './images/seed-delete.ts';
import { makeSeedRoutes } from './images/seed-routes.ts';
import { readImage, readNewest } from './images/store.ts';
import type { Clock } from './lib/clock.ts';
import { readTakenNetworks } from './lib/ipv4.ts';
import type { Logger } from './lib/log.ts';
import type { Engines } from './make-engines.ts';
import { makeJoining } from './make-joining.ts';
import type { Platform } from './open-platform.ts';
import { type AgentAnswers, type Agents, makeAgents } from './platform/agents.ts';
import type { DoctorCheck } from './platform/doctor-check.ts';
import type { ApiRoutes } from './platform/http.ts';
import { makeLoop } from './platform/loops.ts';
import type { Json, Sql } from './platform/store.ts';
import { makePoolCreate } from './pools/create.ts';
import { makeNodeCreate } from './pools/create-node.ts';
import { makePoolDelete } from './pools/delete.ts';
import { healPools, noteNodeReports } from './pools/heal.ts';
import type { PoolParts } from './pools/parts.ts';
import { makeNodeRemove } from './pools/remove-node.ts';
import { makeNodeReplace } from './pools/replace-node.ts';
import { makePoolRoll } from './pools/roll/roll.ts';
import { makeRollRoutes } from './pools/roll/routes.ts';
import { listRunningRolls } from './pools/roll/store.ts';
import { makePoolRoutes } from './pools/routes.ts';
import { makePoolScale } from './pools/scale.ts';
import { listNodeImages, listNodes, listPools } from './pools/store.ts';
import type { AgentPort } from './protocol/agent-port.ts';
import { readAlertChannels } from './sequencer/alert-channels.ts';
import { makeTaskChecks } from './sequencer/doctor.ts';
import { makeFleetRoutes } from './sequencer/fleet-routes.ts';
import { CHOOSE_LOOP, makeSequencerLoops } from './sequencer/loops.ts';
import { taskSubject } from './sequencer/parts.ts';
import { makeTaskRoutes } from './sequencer/routes.ts';
import { countRunsOn } from './sequencer/run-store.ts';
import { makeSequencer, type Sequencer } from './sequencer/sequencer.ts';
import { DEFAULT_SETTINGS } from './sequencer/settings.ts';
import { addMissingTasks, makeSiteTasks } from './sequencer/site-tasks.ts';
import { readTask } from './sequencer/task-store.ts';
import { makeDatabaseTime } from './sequencer/time.ts';
import { accountHostOf } from './servers/addresses.ts';
import { certifyServer } from './servers/authority.ts';
import { makeClusterRoutes } from './servers/cluster-routes.ts';
import { readCluster } from './servers/cluster-store.ts';
import { makeClusterMake } from './servers/make-cluster.ts';
import { noteHeartbeat, welcomeAgent } from './servers/meet-agents.ts';
import { makeServerRemove } from './servers/remove.ts';
import { makeServerRoutes } from './servers/routes.ts';
import { makeNetworkTeller, readTunnel } from './servers/tunnel.ts';
import { watchServers } from './servers/watch.ts';
import { listServices } from './services/store.ts';
import { makeSiteClone } from './sites/clone.ts';
import { makeSiteCreate } from './sites/create.ts';
import { makeSiteDelete } from './sites/delete.ts';
import { readPoolConfig } from './sites/document.ts';
import { listPageChecks } from './sites/page-checks.ts';
import type { SiteParts } from './sites/parts.ts';
import { makeSitePurge, purgeDue } from './sites/purge.ts';
import { makeSiteRoutes } from './sites/routes.ts';
import { makeSiteSetHosts } from './sites/set-hosts.ts';
import { makeSiteSetMail } from './sites/set-mail.ts';
import { countSitesByPool, countSitesByService, readSite } from './sites/store.ts';
import { makeSiteResume, makeSiteSuspend } from './sites/suspend.ts';
import type { VotesParts } from './votes/parts.ts';
import { makeVotesRoutes } from './votes/routes.ts';
import { countWaitingRuns } from './votes/run-queue.ts';
import { makeVotesLoops, noteSamples } from './votes/votes.ts';

export interface Rooms {
  routes: ApiRoutes[];
  checks: DoctorCheck[];
  parts: {
    images: ImageParts;
    pools: PoolParts;
    sites: SiteParts;
    edge: EdgeParts;
    deployment: DeploymentParts;
    votes: VotesParts;
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
}

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
  const readServiceImage = async (name: string): Promise<string> => {
    const image = await readNewest(store, name);
    if (image === undefined) throw imageProblems.make('none', { recipe: name });
    return image.fingerprint;
  };
  const wakeHeal = () => loops.wake('pools.heal');

  const channel: Agents | undefined = engines.simulated
    ? undefined
    : makeAgents({
        answers: makeAnswers(),
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
        ask: (server) => bindAnswers(makeAnswers(), server),
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
  const syncEdges = makeEdgeSync(store, agents);
  const images: ImageParts = {
    store,
    operations,
    events,
    fleet,
    shelf,
    scratchDir: join(dataDir, 'scratch'),
    environment: options.environment,
    buildRootfs: engines.buildRootfs,
    async listUses(sql) {
      const services = [...(await listServices(sql, 'database')), ...(await listServices(sql, 'cache'))];
      return [
        ...(await listPools(sql)).map((one) => ({
          image: `${one.app}/${one.imageNumber}`,
          by: `the pool ${one.name}`,
        })),
        ...(await listNodeImages(sql)).map(({ node, image }) => ({ image, by: `the node ${node}` })),
        ...(await listRunningRolls(sql)).map(({ pool, app, toImage }) => ({
          ...{ image: `${app}/${toImage}`, by: `the roll of ${pool}` },
        })),
        ...services.flatMap(({ instance, image }) => (image === null ? [] : [{ image, by: instance }])),
      ];
    },
  };
  const pools: PoolParts = {
    ...common,
    deployment,
    async readSharedFolder(sql) {
      const cluster = await readCluster(sql);
      if (cluster?.contentPath == null || cluster.contentId === null) return undefined;
      return { path: cluster.contentPath, id: cluster.contentId };
    },
    syncEdges,
    wakeHeal,
    async assertImage(app, number, signal) {
      const image = await readImage(store, app, number);
      const exists = image !== undefined && (await fleet.images.read(image.fingerprint, { signal })) !== undefined;
      if (!exists) throw imageProblems.make('gone', { image: `${app}/${number}` });
    },
    listChecks: (sql, pool) => listPageChecks(sites, sql, pool),
    readTraffic: makeTrafficReader(store, agents),
    countRuns: (sql, node) => countRunsOn(sql, node),
    countSites: async (sql, pool) => (await countSitesByPool(sql)).get(pool) ?? 0,
    async readFingerprint(sql: Sql, app: string, number: number) {
      const image = await readImage(sql, app, number);
      if (image === undefined || image.state !== 'ready')
        throw imageProblems.make('gone', { image: `${app}/${number}` });
      return image.fingerprint;
    },
    async readNewestImage(sql: Sql, app: string) {
      const image = await readNewest(sql, app);
      if (image === undefined) throw imageProblems.make('none', { recipe: app });
      return image;
    },
  };
  const votes: VotesParts = {
    ...{ store, events, operations, pools, clock, log, countWaitingRuns },
    at: () => null,
    listEdgeAddresses: async (sql) => (await listEdges(sql)).flatMap(({ address }) => address ?? []),
  };
  const edge: EdgeParts = { ...common, readServiceImage: () => readServiceImage('edge'), sync: syncEdges };
  const serviceParts = { store, operations, events, secrets, fleet, clock, readCidr };
  const databases = makeDatabases({
    ...serviceParts,
    makeEngine: engines.connectDatabase,
    readServiceImage: () => readServiceImage('database'),
    countSites: (sql) => countSitesByService(sql, 'database'),
  });
  const caches = makeCaches({
    ...serviceParts,
    makeEngine: engines.connectCache,
    readServiceImage: () => readServiceImage('cache'),
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
    tasks: makeSiteTasks(sequencer.parts, readTasks),
    readRecipe: appRecipe,
    appNames: () => shelf.recipes.filter((one) => one.kind === 'app').map((one) => one.value.name),
    readAllowedFrom: async () => accountHostOf(await readCidr()),
    publicAddress: {
      scheme: 'http',
      get port() {
        return state.httpPort ?? UNKNOWN_PORT;
      },
    },
  };
  const { joining, door } = makeJoining({
    ...{ deployment, simulated: engines.simulated, store, secrets, fleet, events, operations, clock, log },
    accept: (socket, server) => channel?.accept(socket, server),
    dropAgent: (server) => channel?.drop(server),
    async listTenants(sql, server) {
      const services = [...(await listServices(sql, 'database')), ...(await listServices(sql, 'cache'))];
      return [
        ...(await listNodes(sql, { server })).map(({ name }) => `the node ${name}`),
        ...(await listEdges(sql)).filter((one) => one.server === server).map(({ name }) => `the edge ${name}`),
        ...services.filter((one) => one.server === server).map(({ instance }) => `the server ${instance}`),
      ];
    },
  });
  const whole: DeploymentParts = {
    name: deployment,
    ...{ store, operations, fleet, clock, images, databases, caches, edge, pools, sites, onChange },
    isPortFree: options.isPortFree,
    readTakenNetworks,
    storageDriver: engines.storageDriver,
  };

  operations.register(makeClusterMake(joining));
  operations.register(makeServerRemove(joining));
  operations.register(makeNodeCreate(pools));
  operations.register(makeNodeRemove(pools));
  operations.register(makeNodeReplace(pools));
  operations.register(makePoolCreate(pools));
  operations.register(makePoolScale(pools));
  operations.register(makePoolDelete(pools));
  operations.register(makePoolRoll(pools));
  operations.register(makeImageBake(images));
  operations.register(makeImageDelete(images));
  operations.register(makeImageRefresh(images));
  operations.register(makeSeedCreate(images));
  operations.register(makeSeedBake(images));
  operations.register(makeSeedDelete(images));
  operations.register(makeEdgeCreate(edge));
  operations.register(makeSiteCreate(sites));
  operations.register(makeSiteSuspend(sites));
  operations.register(makeSiteResume(sites));
  operations.register(makeSiteSetHosts(sites));
  operations.register(makeSiteClone(sites));
  operations.register(makeSiteSetMail(sites));
  operations.register(makeSiteDelete(sites));
  operations.register(makeSitePurge(sites));
  operations.register(makeDeploymentUp(whole));
  operations.register(makeDeploymentStop(whole));
  operations.register(makeDeploymentDestroy(whole));

  const whenUp = (work: (signal: AbortSignal) => Promise<Json>) => async (signal: AbortSignal) =>
    state.wanted === 'up' ? work(signal) : { rests: 'the deployment is down' };
  loops.add(
    makeLoop({
      name: 'servers.watch',
      wrongWhen: 'a server counts as ready and its agent is silent',
      everyMs: 2_000,
      timeoutMs: 10_000,
      runOnce: () => watchServers(store, events),
    }),
  );
  loops.add(
    makeLoop({
      name: 'servers.network',
      wrongWhen: 'servers or their blocks of addresses are others than those that an agent was told of',
      everyMs: 2_000,
      timeoutMs: 15_000,
      runOnce: makeNetworkTeller(store, agents),
    }),
  );
  loops.add(
    makeLoop({
      name: 'pools.heal',
      wrongWhen: 'a pool has fewer or more living nodes than it wants, or a dead one',
      everyMs: 5_000,
      timeoutMs: 30_000,
      runOnce: whenUp((signal) => healPools(pools, signal)),
    }),
  );
  loops.add(
    makeLoop({
      name: 'edges.heal',
      wrongWhen: "an edge's container is stopped or gone",
      everyMs: 3_000,
      timeoutMs: 30_000,
      runOnce: whenUp((signal) => healEdges(edge, signal)),
    }),
  );
  loops.add(
    makeLoop({
      name: 'images.keep',
      wrongWhen: 'an image is older than the last three of its recipe, and nothing and nobody keeps it',
      everyMs: 60_000,
      timeoutMs: 30_000,
      runOnce: whenUp(() => removeOld(images)),
    }),
  );
  loops.add(
    makeLoop({
      name: 'sites.purge',
      wrongWhen: 'an archived site is past its grace time and still there',
      // Who deletes without a grace time waits for it.
      everyMs: 5_000,
      timeoutMs: 30_000,
      runOnce: whenUp(() => purgeDue(sites)),
    }),
  );
  for (const { watch } of [databases, caches])
    loops.add({ ...watch, runOnce: whenUp((signal) => watch.runOnce(signal)) });

  const channels = readAlertChannels(deployment, options.environment);
  const sequencerLoops = makeSequencerLoops({
    sequencer,
    channels,
    addMissingTasks: () => addMissingTasks(sequencer.parts, sites.appNames(), readTasks),
    whenUp,
  });
  for (const loop of [...sequencerLoops, ...makeVotesLoops(votes, whenUp)]) loops.add(loop);

  function makeAnswers(): AgentAnswers {
    return {
      async hello(server, params) {
        sequencer.forget(server);
        const cluster = await readCluster(store);
        // The agent beside the controller does not know how others reach its server.
        const address = cluster?.server === server ? cluster.address : params.address;
        await welcomeAgent(store, events, { ...params, server, address });
        return { accepted: true };
      },
      'certificate.renew': async (server, { publicKey }) => ({
        certificate: await store.transaction((sql) => certifyServer(joining, sql, { server, publicKey })),
      }),
      async heartbeat(server, beat) {
        // The leases first: nothing that others wait for may hold up their renewal.
        const answer = await sequencer.heartbeat(server, beat);
        await noteHeartbeat(store, server, beat.load);
        const reports = mayNodesRest() ? beat.nodes.filter(({ healthy }) => healthy) : beat.nodes;
        if (await noteNodeReports(pools, server, reports)) {
          wakeHeal();
          syncEdges(AbortSignal.timeout(10_000)).catch((thrown: unknown) =>
            log.warn({ err: thrown }, 'edges not synced'),
          );
        }
        // What votes lack they say; a heartbeat that failed for it would end the leases of runs.
        await noteSamples(votes, beat.samples).catch((thrown: unknown) =>
          log.warn({ err: thrown }, 'samples not stored'),
        );
        return answer;
      },
      'runs.report': (server, report) => sequencer.report(server, report),
      'config.server': async (server) => {
        const [nodes, edges] = [await listNodes(store, { server }), await listEdges(store)];
        const network = { cidr: await findCidr(), bridge: fleet.place.network };
        const tunnel = await store.transaction((sql) => readTunnel(sql, network, server));
        return {
          server,
          ...(tunnel === undefined ? {} : { tunnel }),
          nodes: nodes.flatMap(({ name, sitesOf: pool, address, state: nodeState }) =>
            address === null ? [] : [{ name, pool, address, wanted: nodeState !== 'draining' }],
          ),
          trustedProxies: edges.flatMap((one) => (one.address === null ? [] : [`${one.address}/32`])),
          edges: edges.filter((one) => one.server === server).map((one) => one.name),
        };
      },
      'config.pool': (_, { pool, since }) => readPoolConfig(sites, pool, since),
      'config.edge': () => readEdgeDocument(store, []),
    };
  }

  return {
    routes: [
      makeServerRoutes({ store }),
      makeClusterRoutes(joining),
      makeImageRoutes(images),
      makeSeedRoutes(images),
      makePoolRoutes(pools),
      makeRollRoutes(pools),
      makeEdgeRoutes({ store }),
      makeDatabaseRoutes({ store, databases }),
      makeCacheRoutes({ store, caches }),
      makeSiteRoutes(sites),
      makeTaskRoutes(sequencer),
      makeFleetRoutes(sequencer),
      makeVotesRoutes(votes),
      makeDeploymentRoutes(whole),
    ],
    checks: [...makeDoctorChecks(whole), ...makeTaskChecks(store, channels)],
    parts: { images, pools, sites, edge, deployment: whole, votes },
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
      await fleet.close();
    },
  };
}

function bindAnswers(answers: AgentAnswers, server: string) {
  return {
    hello: (params: Parameters<AgentAnswers['hello']>[1], signal: AbortSignal) => answers.hello(server, params, signal),
    'certificate.renew': (params: { publicKey: string }, signal: AbortSignal) =>
      answers['certificate.renew'](server, params, signal),
    heartbeat: (params: Parameters<AgentAnswers['heartbeat']>[1], signal: AbortSignal) =>
      answers.heartbeat(server, params, signal),
    'runs.report': (params: Parameters<AgentAnswers['runs.report']>[1], signal: AbortSignal) =>
      answers['runs.report'](server, params, signal),
    'config.server': (params: object, signal: AbortSignal) => answers['config.server'](server, params as never, signal),
    'config.pool': (params: { pool: string; since: number }, signal: AbortSignal) =>
      answers['config.pool'](server, params, signal),
    'config.edge': (params: object, signal: AbortSignal) => answers['config.edge'](server, params as never, signal),
  };
}
