// A controller with simulated servers that loses a tenth of them at once, as a process of its own: its memory is what is
// measured beside the time. The store (PGlite) and the simulated engines are in it too. `node settle.ts JSON`; one line of JSON.
import { listNodes } from '../../src/pools/store.ts';
import { listServers } from '../../src/servers/store.ts';
import { makeServers } from '../../test/faults/lost-server.ts';
import { DEPLOYMENT, makeDeployedWorld, type World } from '../../test/faults/world.ts';

export interface SettleOrder {
  servers: number;
  nodes: number;
  /** Pools that share the nodes. */
  pools: number;
  lost: number;
  timeoutS: number;
}

export interface Settled {
  settleS: number;
  fencedS: number;
  rssBeforeMb: number;
  rssMb: number;
  startsPerServerMost: number;
  made: number;
}

const MB = 2 ** 20;
const NODE_MB = 128;
const LOOK_MS = 500;
/** All agents say hello first. */
const UP_MS = 600_000;
/** Of every server. A real agent speaks every second; here all of them share the controller's process. */
const BEAT_PAUSE_MS = 2_000;

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const rssMb = (): number => process.memoryUsage.rss() / MB;

/** Pools and nodes beside those of the deployment, spread over all servers, as rows and as containers that run. */
async function fill(world: World, order: SettleOrder): Promise<void> {
  const { store, machine } = world;
  await store.query(
    `INSERT INTO pool (name, app, kind, image_number, wanted, max_sites, node_memory_mb, content_base, state)
     SELECT 'p' || n, app, 'shared', image_number, $2::int, 1000, $3::int, 500000000 + n * 65536, 'ready'
     FROM pool, generate_series(1, $1::int) AS n WHERE name = 'wordpress'`,
    [order.pools, order.nodes / order.pools, NODE_MB],
  );
  await store.query(
    `INSERT INTO node (name, pool, image_number, state, at_edge, reason, server, address, placement)
     SELECT 'p' || (n % $1 + 1) || '-n' || n, 'p' || (n % $1 + 1), pool.image_number, 'ready', true, '', block.server,
       host(block.first::inet + 20 + n / $2), 'for the benchmark'
     FROM generate_series(0, $3::int - 1) AS n
     JOIN (SELECT DISTINCT ON (server) server, first, (dense_rank() OVER (ORDER BY server) - 1)::int AS at FROM address_block) AS block
       ON block.at = n % $2
     CROSS JOIN (SELECT image_number FROM pool WHERE name = 'wordpress') AS pool`,
    [order.pools, order.servers, order.nodes],
  );
  await store.query(
    `INSERT INTO instance_address (address, instance) SELECT address, name FROM node WHERE placement = 'for the benchmark'`,
  );
  const project = machine.projects[DEPLOYMENT];
  const [pattern] = Object.values(project?.instances ?? {}).filter(({ labels }) => labels.kind === 'node');
  if (project === undefined || pattern === undefined) throw new Error('the deployment has no node to copy');
  for (const { name, pool, server, address } of await listNodes(store)) {
    if (server === null || address === null || project.instances[name] !== undefined) continue;
    project.instances[name] = {
      ...{ ...pattern, name, server, addresses: [address], files: {}, snapshots: [], log: '' },
      labels: { ...pattern.labels, pool },
      devices: { eth0: { kind: 'nic', ipv4Address: address } },
    };
  }
}

async function run(order: SettleOrder): Promise<Settled> {
  const servers = makeServers(order.servers);
  const world = await makeDeployedWorld({ servers, cluster: true, cidr: '10.64.0.1/15', waitMs: UP_MS });
  say(`${order.servers} servers are up`);
  await fill(world, order);
  say(`${order.nodes} nodes are there`);
  const stop = new AbortController();
  const beats = (async () => {
    while (!stop.signal.aborted) {
      await world.beat().catch((thrown: unknown) => say(String(thrown)));
      await world.clock.wait(BEAT_PAUSE_MS, stop.signal).catch(() => undefined);
    }
  })();
  const { loops } = world.controller.platform;
  loops.start();
  // Whoever counts nodes has counted once.
  await loops.ran('pools.heal', AbortSignal.timeout(120_000));
  const rssBeforeMb = rssMb();

  const carriers = new Set(
    (await world.controller.rooms.parts.loss.listCarriers(world.store)).map(({ server }) => server),
  );
  const edges = new Set(['s1']);
  for (const { server } of await world.store.query<{ server: string }>('SELECT server FROM edge')) edges.add(server);
  const names = (await listServers(world.store)).map(({ name }) => name);
  // Every tenth or so, but for those that carry what cannot be made anew.
  const may = names.filter((name) => !carriers.has(name) && !edges.has(name));
  const victims = new Set(
    may.filter((_, index) => index % Math.floor(may.length / order.lost) === 0).slice(0, order.lost),
  );
  const wanted = (await listNodes(world.store)).length;
  let startsPerServerMost = 0;
  world.onPoint = async ({ kind, step, when }) => {
    if (kind !== 'node.create' || step !== 'place' || when !== 'after-do') return;
    const [{ most } = { most: 0 }] = await world.store.query<{ most: number }>(
      `SELECT max(count)::int AS most FROM (SELECT count(*) FROM node WHERE state = 'booting' AND server IS NOT NULL GROUP BY server) AS s`,
    );
    startsPerServerMost = Math.max(startsPerServerMost, most ?? 0);
  };
  for (const name of victims) {
    world.fleet.faults.partition(name);
    world.controller.rooms.simulatedAgents?.setConnected(name, false);
  }
  world.agents.hears = (_, server) => !victims.has(server);
  const lostMs = performance.now();
  say(`${victims.size} servers are lost`);
  let mostMb = rssBeforeMb;
  let fencedS = 0;
  for (;;) {
    mostMb = Math.max(mostMb, rssMb());
    const [now] = await world.store.query<{ ready: number; fenced: number; elsewhere: number }>(
      `SELECT (SELECT count(*) FROM node WHERE state = 'ready' AND NOT server = ANY($1)) AS ready,
         (SELECT count(*) FROM server WHERE fenced_at IS NOT NULL) AS fenced,
         (SELECT count(*) FROM server WHERE state IN ('lost', 'fenced') AND NOT name = ANY($1)) AS elsewhere`,
      [[...victims]],
    );
    const seconds = (performance.now() - lostMs) / 1_000;
    if (fencedS === 0 && now?.fenced === victims.size) fencedS = seconds;
    say(
      `${seconds.toFixed(0)} s: ${now?.fenced} fenced, ${now?.ready} of ${wanted} nodes, ${now?.elsewhere} others lost, ${rssMb().toFixed(0)} MB`,
    );
    if (now?.ready === wanted && fencedS > 0) break;
    if (seconds > order.timeoutS) throw new Error(`not settled after ${order.timeoutS} s`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  const settleS = (performance.now() - lostMs) / 1_000;
  const [{ made } = { made: 0 }] = await world.store.query<{ made: number }>(
    `SELECT count(*) AS made FROM operation WHERE kind = 'node.create' AND by = 'heal' AND state = 'succeeded'`,
  );
  stop.abort();
  await beats;
  await loops.stop();
  await world.close();
  return { settleS, fencedS, rssBeforeMb, rssMb: mostMb, startsPerServerMost, made };
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2] ?? '{}') as SettleOrder))}\n`);
process.exit(0);
