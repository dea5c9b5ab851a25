// The agent's program: builds its parts and runs until it is told to stop. One on each server.
//   node src/agent/main.ts --deployment NAME --data-dir DIR [--controller SOCKET] [--server NAME] [--incus-socket PATH]
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { INCUS_SOCKET, makeIncusFleet } from '../engines/incus/fleet.ts';
import { makeSystemClock } from '../lib/clock.ts';
import { toFleetPlace } from '../lib/deployment.ts';
import { makeLogger } from '../lib/log.ts';
import { VERSION } from '../lib/version.ts';
import { PROTOCOL_VERSION } from '../protocol/contract.ts';
import { makeAgentAnswers } from './answers.ts';
import { makeConnection } from './connection.ts';
import { makeEdgeFollower } from './follow-edges.ts';
import { makePoolFollower } from './follow-pools.ts';
import { makeServerFollower } from './follow-server.ts';
import { readLoad } from './load.ts';
import { makeNodeWatch } from './watch-nodes.ts';

/** Heartbeats and probes come this often. */
const HEARTBEAT_MS = 1_000;
/** Without any word from the controller, everything is looked at again this often. */
const RESYNC_MS = 30_000;

async function run(): Promise<void> {
  const { values } = parseArgs({
    options: {
      deployment: { type: 'string', default: 'espalier' },
      'data-dir': { type: 'string', default: '/var/lib/espalier' },
      controller: { type: 'string' },
      server: { type: 'string' },
      'incus-socket': { type: 'string', default: INCUS_SOCKET },
    },
  });
  const dataDir = join(values['data-dir'], 'agent');
  const socket = values.controller ?? join(values['data-dir'], 'controller.sock');
  const log = makeLogger('agent', process.env.ESPALIER_LOG_LEVEL ?? 'info');
  const clock = makeSystemClock();
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort(new Error(name)));

  const fleet = makeIncusFleet({ place: toFleetPlace(values.deployment), socketPath: values['incus-socket'], clock });
  const server = values.server ?? (await fleet.servers({ signal: stop.signal }))[0]?.name ?? 'local';
  const controller = () => connection.controller();
  const watch = makeNodeWatch(clock);
  const pools = makePoolFollower({ poolsDir: join(dataDir, 'pools'), fleet, controller, log });
  const edges = makeEdgeFollower({ edgesDir: join(dataDir, 'edges'), controller, signal: stop.signal, clock, log });
  const follower = makeServerFollower({
    file: join(dataDir, 'server.json'),
    controller,
    log,
    onChange: (document) => {
      watch.setNodes(document.nodes);
      pools.setNodes(document.nodes, document.trustedProxies);
      edges.setEdges(document.edges);
    },
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
  const connection = makeConnection({
    url: `ws+unix://${socket}:/v1/agent`,
    hello: { server, protocol: PROTOCOL_VERSION, version: VERSION, address: '127.0.0.1' },
    answers: makeAgentAnswers({ fleet, pools, edges, server: follower }),
    onHello: () => void resync(),
    clock,
    log,
  });

  await mkdir(dataDir, { recursive: true, mode: 0o711 });
  await follower.load();
  log.info({ server, dataDir }, 'the agent runs');
  /** Does something again and again until the agent stops; what fails is said and tried again. */
  const every = async (pauseMs: number, what: string, work: () => Promise<void>): Promise<void> => {
    while (!stop.signal.aborted) {
      await work().catch((thrown: unknown) => log.debug({ err: thrown }, `${what} failed`));
      await clock.wait(pauseMs, stop.signal).catch(() => undefined);
    }
  };
  await Promise.all([
    connection.run(stop.signal),
    every(HEARTBEAT_MS, 'a heartbeat', async () => {
      const [load, nodes] = await Promise.all([readLoad(dataDir, clock), watch.probeAll(stop.signal)]);
      const bound = { timeoutMs: HEARTBEAT_MS * 5, signal: stop.signal };
      await connection
        .controller()
        ?.call('heartbeat', { load, nodes, beat: randomUUID(), slots: { free: 0, total: 0 }, runs: [] }, bound);
    }),
    every(RESYNC_MS, 'a look at everything', resync),
  ]);
  await fleet.close();
  log.info({}, 'the agent has stopped');
}

await run();
