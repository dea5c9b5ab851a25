// Nodes with two sites in an Incus project of their own, an agent as a process, and a controller that the test plays: it
// renews leases or does not, and hears what the agent reports. Apart so that runs.test.ts reads as what runs do.
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';
import { makePoolDirectory } from '../../src/agent/pool-directory.ts';
import { listRecipes, readBase, readLayer } from '../../src/apps/read-recipe.ts';
import type { Fleet } from '../../src/engines/fleet.ts';
import { makeIncusFleet } from '../../src/engines/incus/fleet.ts';
import { makeImageBake, startBake } from '../../src/images/bake.ts';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { toFleetPlace } from '../../src/lib/deployment.ts';
import { Problem } from '../../src/lib/errors.ts';
import { makeSilentLogger } from '../../src/lib/log.ts';
import { makeEvents } from '../../src/platform/events.ts';
import { runMigrations } from '../../src/platform/migrate.ts';
import { openStore } from '../../src/platform/open-store.ts';
import { makeOperations } from '../../src/platform/operations/operations.ts';
import {
  type AgentContract,
  agentContract,
  controllerContract,
  type HeldRun,
  type RunOrder,
  type RunResult,
} from '../../src/protocol/contract.ts';
import { makePeer, type Peer } from '../../src/protocol/peer.ts';
import type { SiteDocument } from '../../src/protocol/site-document.ts';

const NAME = 'esp-test-runs';
const ROOT = join(import.meta.dirname, '../..');
const AGENT_SCRIPT = join(ROOT, 'src/agent/main.ts');
export const LEASE_MS = 10_000;
export const SITES = { one: { site: 'saaaaaaaaa', uid: 10_001 }, other: { site: 'sbbbbbbbbb', uid: 10_002 } };
export const NODES = ['n1', 'n2'] as const;

export interface Heard {
  id: number;
  epoch: number;
  result: RunResult;
  /** When the report came, by the machine's monotonic clock. */
  atMs: number;
}

/** A controller in the test's hand. */
export interface PlayedController {
  /** Calls the agent; waits for one that is connected and has sent a heartbeat. */
  agent(): Promise<{ peer: Peer<AgentContract>; beat: string }>;
  /** What it grants: with orders, and when it answers heartbeats. */
  leaseMs: number;
  /** When it answered heartbeats, by the machine's monotonic clock: it counts leases from then on. */
  readonly answeredAtMs: number[];
  /** Orders runs with a whole lease from the last heartbeat on. */
  order(...runs: RunOrder[]): Promise<{ started: number[]; refused: { id: number; why: string }[] }>;
  /** Waits until a run's end was reported. */
  ended(id: number): Promise<Heard>;
  /** Waits until a heartbeat lists a run. */
  held(id: number): Promise<void>;
  /** Waits for so many heartbeats. */
  beats(count: number): Promise<void>;
  reports: Heard[];
  /** Runs whose leases are not renewed from now on. */
  readonly lost: Set<number>;
  /** Hangs up, and lets nobody in until `open`. */
  cut(): void;
  open(): void;
  close(): Promise<void>;
}

export async function playController(socket: string): Promise<PlayedController> {
  const clock = makeSystemClock();
  const heard = new EventEmitter().setMaxListeners(0);
  const reports: Heard[] = [];
  const lost = new Set<number>();
  const answeredAtMs: number[] = [];
  let current: { peer: Peer<AgentContract>; beat: string } | undefined;
  let isOpen = true;
  const http = createServer();
  const sockets = new WebSocketServer({ server: http, path: '/v1/agent', verifyClient: () => isOpen });
  sockets.on('connection', (ws) => {
    const mine = { peer: undefined as Peer<AgentContract> | undefined };
    const peer = makePeer({
      name: 'agent',
      wire: { send: (text) => ws.send(text), close: () => ws.close() },
      ours: controllerContract,
      theirs: agentContract,
      log: makeSilentLogger(),
      answers: {
        hello: async () => ({ accepted: true as const }),
        'certificate.renew': () => Promise.reject(new Error('nobody joins here')),
        heartbeat: async ({ beat, runs }) => {
          current = { peer, beat };
          answeredAtMs.push(clock.monotonicMs());
          heard.emit('beat', runs);
          return { lost: runs.filter(({ id }) => lost.has(id)).map(({ id }) => id), leaseMs: played.leaseMs };
        },
        'runs.report': async ({ ended }) => {
          const atMs = clock.monotonicMs();
          reports.push(...ended.map((each) => ({ ...each, atMs })));
          heard.emit('report');
          return { accepted: ended.map(({ id }) => id) };
        },
        'config.server': async () => ({
          server: 'test',
          nodes: NODES.map((name, index) => ({ name, pool: 'runs', address: addressOf(index), wanted: true })),
          trustedProxies: [],
          edges: [],
        }),
        'config.pool': async () => ({ version: 1, changed: [], present: Object.values(SITES).map(({ site }) => site) }),
        'config.edge': async () => ({ version: 1, trustedProxies: [], pools: [], hosts: [] }),
      },
    });
    mine.peer = peer;
    ws.on('message', (data) => peer.receive(String(data)));
    ws.on('error', () => undefined);
    ws.on('close', () => {
      if (current?.peer === peer) current = undefined;
      peer.disconnected();
    });
  });
  http.listen(socket);
  await once(http, 'listening');

  const bound = () => ({ signal: AbortSignal.timeout(60_000) });
  const played: PlayedController = {
    ...{ reports, lost, answeredAtMs, leaseMs: LEASE_MS },
    async agent() {
      while (current === undefined) await once(heard, 'beat', bound());
      return current;
    },
    async order(...runs) {
      const { peer, beat } = await played.agent();
      return await peer.call('runs.start', { beat, leaseMs: played.leaseMs, runs }, { timeoutMs: 30_000 });
    },
    async ended(id) {
      for (;;) {
        const found = reports.find((each) => each.id === id);
        if (found !== undefined) return found;
        await once(heard, 'report', bound());
      }
    },
    async held(id) {
      for (;;) {
        const [runs] = (await once(heard, 'beat', bound())) as [HeldRun[]];
        if (runs.some((run) => run.id === id)) return;
      }
    },
    async beats(count) {
      for (let left = count; left > 0; left--) await once(heard, 'beat', bound());
    },
    cut() {
      isOpen = false;
      for (const client of sockets.clients) client.terminate();
    },
    open() {
      isOpen = true;
    },
    async close() {
      played.cut();
      sockets.close();
      http.close();
      await once(http, 'close');
    },
  };
  return played;
}

export const addressOf = (index: number) => `10.87.112.${21 + index}`;

function toDocument(site: string, uid: number): SiteDocument {
  const host = `${site}.test`;
  return {
    ...{ site, uid, name: site, app: 'hello', version: 1, state: 'ready', title: site },
    ...{ hosts: [host], primaryHost: host, url: `http://${host}:8080`, secrets: {}, settings: {} },
    database: { host: '10.87.112.1', port: 3306, name: site, user: site, password: 'none' },
    cache: { host: '10.87.112.1', port: 6379, user: site, password: 'none', prefix: `${site}:` },
    limits: {
      ...{ phpWorkers: 2, phpMemoryMb: 64, requestTimeoutS: 30, uploadMb: 8, requestsPerS: 10, connections: 10 },
      ...{ databaseConnections: 5, statementTimeS: 30 },
    },
  };
}

/** Bakes the node's image as the images room does. */
async function bake(fleet: Fleet, scratchDir: string): Promise<string> {
  const [clock, log] = [makeSystemClock(), makeSilentLogger()];
  const store = await openStore();
  try {
    await runMigrations(store);
    const events = makeEvents({ store, clock });
    const operations = makeOperations({ store, events, clock, log });
    const { recipes } = await listRecipes([join(ROOT, 'test/apps')]);
    const shelf = {
      base: await readBase(join(ROOT, 'apps/base')),
      node: await readLayer(join(ROOT, 'apps/node')),
      recipes,
    };
    const images = {
      store,
      operations,
      events,
      fleet,
      shelf,
      scratchDir,
      environment: {},
      findSite: async () => undefined,
      readStaged: async () => undefined,
      listUses: async () => [],
    };
    operations.register(makeImageBake(images));
    await operations.driver.start();
    for (const recipe of ['base-trixie', 'hello']) {
      const { id } = await store.transaction((sql) => startBake(images, sql, recipe, { by: 'test' }));
      const ended = await operations.wait(id, AbortSignal.timeout(600_000));
      if (ended.problem !== null) throw new Problem(ended.problem);
    }
    await operations.driver.stop();
  } finally {
    await store.close();
  }
  const baked = await fleet.images.list({ labels: { recipe: 'hello' } });
  const [image] = baked;
  if (image === undefined) throw new Error('the bake left no image');
  return image.fingerprint;
}

export interface AgentProcess {
  child: ChildProcess;
  /** Kills it, and waits until it is gone. */
  kill(): Promise<void>;
}

export interface RunsPlace {
  fleet: Fleet;
  controller: PlayedController;
  /** Starts an agent over the place's data directory. */
  startAgent(...more: string[]): AgentProcess;
  /** The agent that was started last. */
  agent(): AgentProcess;
  /** Starts a stopped node, and waits until it is ready. */
  startNode(node: string): Promise<void>;
  /** Runs a command in a node as root; its output. */
  exec(node: string, ...argv: string[]): Promise<string>;
  close(): Promise<void>;
}

/** Ends the agents that a test run which was killed has left: nobody else has agents of this deployment. */
async function endLeftAgents(): Promise<void> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (!argv.includes(AGENT_SCRIPT) || argv[argv.indexOf('--deployment') + 1] !== NAME) continue;
    process.kill(Number(pid), 'SIGKILL');
  }
}

/** Makes the place anew: what an earlier, killed run left behind is removed first. */
export async function makeRunsPlace(): Promise<RunsPlace> {
  const dataDir = await mkdtemp(join(tmpdir(), 'espalier-runs-'));
  const fleet = makeIncusFleet({ place: toFleetPlace(NAME) });
  await endLeftAgents();
  // Faster while one works on these tests: the place of the run before is taken as it is.
  const isKept = process.env.ESPALIER_TEST_KEEP !== undefined;
  if (!isKept) await fleet.tearDown();
  await fleet.setUp({ driver: 'btrfs', sizeGib: 8, cidr: '10.87.112.1/24' });
  const [kept] = isKept ? await fleet.images.list() : [];
  const image = kept?.fingerprint ?? (await bake(fleet, dataDir));
  const poolDir = isKept ? join(tmpdir(), 'espalier-runs-pool') : join(dataDir, 'pool');
  const directory = makePoolDirectory(poolDir);
  await directory.prepare();
  const changed = Object.values(SITES).map(({ site, uid }) => toDocument(site, uid));
  await directory.write({ version: 1, changed, present: changed.map(({ site }) => site) });
  if ((await fleet.volumes.read('content')) === undefined) {
    await fleet.volumes.create({ name: 'content', labels: { kind: 'content' }, shifted: true });
  }
  for (const [index, name] of NODES.entries()) {
    await fleet.instances.ensure({
      name,
      source: { image },
      labels: { kind: 'node' },
      config: { 'security.idmap.isolated': 'true' },
      devices: {
        eth0: { kind: 'nic', ipv4Address: addressOf(index) },
        config: { kind: 'disk', source: directory.configDir, path: '/etc/espalier', readonly: true, shift: true },
        content: { kind: 'volume', volume: 'content', path: '/srv/content' },
      },
      start: true,
    });
  }
  const agents: AgentProcess[] = [];
  await mkdir(dataDir, { recursive: true });
  const socket = join(dataDir, 'controller.sock');
  const controller = await playController(socket);
  const place: RunsPlace = {
    ...{ fleet, controller },
    startAgent(...more) {
      const argv = [
        AGENT_SCRIPT,
        '--deployment',
        NAME,
        '--data-dir',
        dataDir,
        '--controller',
        socket,
        '--server',
        'test',
      ];
      const child = spawn(process.execPath, [...argv, ...more], {
        stdio: 'inherit',
        env: { ...process.env, ESPALIER_LOG_LEVEL: process.env.ESPALIER_LOG_LEVEL ?? 'error' },
      });
      const gone = once(child, 'exit');
      const agent: AgentProcess = {
        child,
        async kill() {
          child.kill('SIGKILL');
          await gone;
        },
      };
      agents.push(agent);
      return agent;
    },
    agent() {
      const last = agents.at(-1);
      if (last === undefined) throw new Error('no agent was started');
      return last;
    },
    async startNode(node) {
      await fleet.instances.start(node);
      const isReady = 'until systemctl is-active --quiet espalier-sites.service; do sleep 0.1; done';
      await place.exec(node, 'sh', '-c', isReady);
    },
    async exec(node, ...argv) {
      const { code, stdout, stderr } = await fleet.exec(node, argv);
      if (code !== 0) throw new Error(`${argv.join(' ')} on ${node} exited with ${code}: ${stderr}`);
      return stdout;
    },
    async close() {
      for (const agent of agents) await agent.kill();
      await controller.close();
      if (!isKept) await fleet.tearDown();
      await fleet.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
  for (const node of NODES) await place.startNode(node);
  return place;
}
