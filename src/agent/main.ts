// The agent's program: builds its parts and runs until it is told to stop. One on each server.
//   node src/agent/main.ts --deployment NAME --data-dir DIR [--controller SOCKET | --controller HOST:PORT --identity FILE
//     --address ADDRESS] [--server NAME] [--incus-socket PATH] [--run-slots NUMBER]
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { INCUS_SOCKET, makeIncusFleet } from '../engines/incus/fleet.ts';
import { makeSystemClock } from '../lib/clock.ts';
import { toFleetPlace } from '../lib/deployment.ts';
import { readAddresses } from '../lib/ipv4.ts';
import { makeLogger } from '../lib/log.ts';
import { PROTOCOL_VERSION, VERSION } from '../lib/version.ts';
import type { NodeReport } from '../protocol/contract.ts';
import { makeAgentAnswers } from './answers.ts';
import { makeConnection } from './connection.ts';
import { listDoors } from './doors.ts';
import { makeFirewall } from './firewall.ts';
import { makeEdgeFollower } from './follow-edges.ts';
import { makePoolFollower } from './follow-pools.ts';
import { makeServerFollower } from './follow-server.ts';
import { makeEngineAsker, makeHearing } from './hear-servers.ts';
import { type Identity, obtainIdentity, openIdentity } from './identity.ts';
import { readLoad } from './load.ts';
import { hasUnifiedControllers } from './runs/cgroups.ts';
import { openJournal } from './runs/journal.ts';
import { makeRuns } from './runs/runs.ts';
import { startWatcher } from './runs/watcher.ts';
import { makeLoadSampler, SAMPLE_MS } from './sample-nodes.ts';
import { makeSharedAddress } from './shared-address.ts';
import { makeTunnel } from './tunnel.ts';
import { makeNodeWatch } from './watch-nodes.ts';

/** Heartbeats and probes come this often. */
const HEARTBEAT_MS = 1_000;
/** A heartbeat that is not answered by now is given up, so that the next may renew the leases in time. */
const HEARTBEAT_TIMEOUT_MS = 3_000;
/** Bound of one look at the load; what it did not reach grows old. */
const SAMPLE_TIMEOUT_MS = 5_000;
/** How many runs a core takes at once: most of a task's time it waits for its database. */
const SLOTS_PER_CORE = 8;
/** Without any word from the controller, everything is looked at again this often. */
const RESYNC_MS = 30_000;
/** keepalived that died is started again so soon, also while the controller is away. */
const SHARED_LOOK_MS = 5_000;

function readCount(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new Error(`--run-slots takes a number, not "${text}"`);
  return Number(text);
}

/** A certificate holds for weeks; one that is missing is wanted before a second controller is. */
const RENEW_LOOK_MS = 20_000;

async function run(): Promise<void> {
  const { values } = parseArgs({
    options: {
      deployment: { type: 'string', default: 'espalier' },
      'data-dir': { type: 'string', default: '/var/lib/espalier' },
      controller: { type: 'string' },
      identity: { type: 'string' },
      address: { type: 'string', default: '127.0.0.1' },
      server: { type: 'string' },
      'incus-socket': { type: 'string', default: INCUS_SOCKET },
      'run-slots': { type: 'string', default: String(SLOTS_PER_CORE * availableParallelism()) },
    },
  });
  const dataDir = join(values['data-dir'], 'agent');
  const log = makeLogger('agent', process.env.ESPALIER_LOG_LEVEL ?? 'info');
  const clock = makeSystemClock();
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort(new Error(name)));

  const [place, socketPath] = [toFleetPlace(values.deployment), values['incus-socket']];
  const fleet = makeIncusFleet({ place, socketPath, clock });
  const storageDir = join(dirname(socketPath), 'storage-pools', place.storagePool);
  const server = values.server ?? (await fleet.localServer({ signal: stop.signal }));
  const controller = () => connection.controller();
  const watch = makeNodeWatch(clock);
  const pools = makePoolFollower({ poolsDir: join(dataDir, 'pools'), fleet, controller, log });
  const edges = makeEdgeFollower({ edgesDir: join(dataDir, 'edges'), controller, signal: stop.signal, clock, log });
  const sampler = makeLoadSampler({
    clock,
    readPid: async (node, signal) => (await fleet.instances.readState(node, { signal })).pid,
    readEdges: (signal) => edges.readStats(signal),
  });
  const tunnel = makeTunnel({ log, signal: stop.signal });
  const hearing = makeHearing(clock, makeEngineAsker());
  const firewall = makeFirewall({ deployment: values.deployment, log, signal: stop.signal });
  const shared = makeSharedAddress({
    ...{ deployment: values.deployment, dir: join(dataDir, 'shared-address'), clock, log, signal: stop.signal },
    endConnections: (signal) => edges.renew(signal),
  });
  const follower = makeServerFollower({
    file: join(dataDir, 'server.json'),
    controller,
    log,
    onChange: (document) => {
      watch.setNodes(document.nodes);
      sampler.setNodes(document.nodes.map(({ name }) => name));
      pools.setNodes(document.nodes, document.trustedProxies);
      edges.setEdges(document.edges);
      tunnel.follow(document.tunnel);
      hearing.setServers(document.watch ?? []);
      shared.follow(document.shared);
      firewall.follow(document.firewall);
    },
  });
  await mkdir(dataDir, { recursive: true, mode: 0o711 });
  const watcher = startWatcher({ onKilled: (id) => runs.leaseEnded(id), log });
  const runs = makeRuns({
    journal: await openJournal(join(dataDir, 'runs', 'journal')),
    ...{ watcher, fleet, controller, clock, log },
    nodes: () =>
      follower
        .current()
        ?.nodes.filter(({ wanted }) => wanted)
        .map(({ name }) => name) ?? [],
    slots: readCount(values['run-slots']),
    countsOom: hasUnifiedControllers(),
  });
  const resync = async (): Promise<void> => {
    try {
      await follower.sync();
      await pools.syncAll();
      await edges.sync();
    } catch (thrown) {
      if (connection.controller() !== undefined)
        log.warn({ err: thrown }, 'not everything could be brought up to date');
    }
  };
  // As the controller last said it.
  let leaseMs: number | undefined;
  const renewAlone = (): void => {
    if (follower.current()?.alone !== true || leaseMs === undefined) return;
    runs.renewed(runs.beat(), { lost: [], leaseMs });
  };
  // Apart from the heartbeats, but for the first: a node that does not answer must not hold up the leases of runs.
  let nodes: NodeReport[] | undefined;
  const beat = async (): Promise<void> => {
    const load = await readLoad({ dataDir, storageDir }, clock);
    nodes ??= await watch.probeAll(stop.signal);
    const peer = connection.controller();
    if (peer === undefined) return renewAlone();
    const sent = runs.beat();
    const bound = { timeoutMs: HEARTBEAT_TIMEOUT_MS, signal: stop.signal };
    const addresses = follower.current()?.edges.length === 0 ? {} : { addresses: readAddresses() };
    const heard = hearing.heard();
    const told = { load, nodes, samples: sampler.current(), heard, ...addresses, ...sent };
    try {
      const answer = await peer.call('heartbeat', told, bound);
      leaseMs = answer.leaseMs;
      runs.renewed(sent, answer);
    } catch (thrown) {
      renewAlone();
      throw thrown;
    }
  };
  // On a server that joined it must be there; beside a controller it is asked for once there is a cluster.
  const joined = values.identity !== undefined;
  const who = { file: values.identity ?? join(dataDir, 'identity.pem'), clock, log };
  let identity: Identity | undefined = joined
    ? await openIdentity(who)
    : await openIdentity(who).catch(() => undefined);
  const connection = makeConnection({
    doors: () =>
      listDoors({
        socket: joined ? undefined : (values.controller ?? join(values['data-dir'], 'controller.sock')),
        joined: joined ? values.controller : undefined,
        told: follower.current()?.controllers ?? [],
        address: follower.current()?.tunnel?.address,
        identity,
      }),
    hello: { server, protocol: PROTOCOL_VERSION, version: VERSION, address: values.address },
    answers: makeAgentAnswers({ fleet, pools, edges, server: follower, runs, tunnel, firewall }),
    onHello: () => {
      void resync();
      // The leases of adopted runs do not wait for the next second.
      void beat().catch((thrown: unknown) => log.debug({ err: thrown }, 'a heartbeat failed'));
    },
    clock,
    log,
  });

  await follower.load();
  log.info({ server, dataDir }, 'the agent runs');
  /** Does something again and again until the agent stops; what fails is said and tried again. */
  const every = async (pauseMs: number, what: string, work: () => Promise<void>): Promise<void> => {
    while (!stop.signal.aborted) {
      await work().catch((thrown: unknown) => log.debug({ err: thrown }, `${what} failed`));
      await clock.wait(pauseMs, stop.signal).catch(() => undefined);
    }
  };
  const soon = () => AbortSignal.any([stop.signal, AbortSignal.timeout(SAMPLE_TIMEOUT_MS)]);
  await Promise.all([
    connection.run(stop.signal),
    runs.run(stop.signal),
    every(HEARTBEAT_MS, 'a look at the nodes', async () => {
      nodes = await watch.probeAll(stop.signal);
    }),
    every(HEARTBEAT_MS, 'a heartbeat', beat),
    every(HEARTBEAT_MS, 'a look at other servers', () => hearing.listen(stop.signal)),
    every(SAMPLE_MS, 'a look at the load of nodes', () => sampler.lookAtNodes(soon())),
    every(SAMPLE_MS, 'a look at the load of edges', () => sampler.lookAtEdges(soon())),
    every(RESYNC_MS, 'a look at everything', resync),
    every(RESYNC_MS, 'a look at the firewall', async () => {
      if (follower.current() !== undefined) await firewall.keep();
    }),
    every(SHARED_LOOK_MS, 'a look at what holds the shared address', () => shared.keep()),
    every(RENEW_LOOK_MS, 'the renewal of the certificate', async () => {
      const peer = connection.controller();
      if (peer === undefined) return;
      if (identity !== undefined) await identity.renewWhenDue(peer, stop.signal);
      else if (follower.current()?.controllers !== undefined) identity = await obtainIdentity(who, peer, stop.signal);
    }),
  ]);
  await watcher.close();
  await fleet.close();
  log.info({}, 'the agent has stopped');
}

await run();
