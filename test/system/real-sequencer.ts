// The real sequencer over the real SQL, with an agent for each of two servers (which are this machine), each with one node;
// faults for the agents, and the judge: what the processes of the tasks wrote down themselves, held against the history.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type WebSocket, WebSocketServer } from 'ws';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { makeSilentLogger } from '../../src/lib/log.ts';
import { makeAgents } from '../../src/platform/agents.ts';
import { makeEvents } from '../../src/platform/events.ts';
import { makeLoops } from '../../src/platform/loops.ts';
import { readMigrations } from '../../src/platform/migrate.ts';
import type { Store } from '../../src/platform/store.ts';
import { openPglite } from '../../src/platform/test-store.ts';
import { CHOOSE_LOOP, makeSequencerLoops } from '../../src/sequencer/loops.ts';
import { makeSequencer } from '../../src/sequencer/sequencer.ts';
import { DEFAULT_SETTINGS } from '../../src/sequencer/settings.ts';
import { addTask, newTaskSchema } from '../../src/sequencer/tasks.ts';
import { makeDatabaseTime } from '../../src/sequencer/time.ts';
import { type AgentProcess, addressOf, type RunsPlace, SITES } from './runs-place.ts';

const SERVERS = { s1: 'n1', s2: 'n2' } as const;
export type ServerName = keyof typeof SERVERS;
const { site: SITE, uid: UID } = SITES.one;

/** Writes run, epoch, what, monotonic and wall milliseconds: when it begins, each 50 ms, and when it ends by itself. */
const DIARIST = `
$say = fn ($what) => file_put_contents($argv[1], implode(" ", [getenv("ESPALIER_RUN"), getenv("ESPALIER_RUN_EPOCH"), $what,
  hrtime(true) / 1e6, microtime(true) * 1e3]) . "\\n", FILE_APPEND);
$until = hrtime(true) + $argv[2] * 1e9;
for ($say("begin"); hrtime(true) < $until; usleep(50000)) $say("lives");
$say("end");`;

interface TaskPlan {
  name: string;
  everyS: number;
  takesS: number;
}
interface Past {
  id: number | null;
  dueAt: string;
  ticks: number;
  state: string;
  attempt: number;
  epoch: number | null;
  server: string | null;
}

export interface RealSequencer {
  readonly store: Store;
  agent(server: ServerName): AgentProcess;
  startAgent(server: ServerName): void;
  /** Hangs up on a server's agent, and lets it in no more until `open`. */
  cut(server: ServerName): void;
  open(server: ServerName): void;
  addTask(plan: TaskPlan): Promise<void>;
  /** How many runs have ended so. */
  count(state: string, server?: ServerName): Promise<number>;
  staleEnds(): Promise<number>;
  /** Makes no more ticks, and waits until nothing waits or runs. */
  drain(): Promise<void>;
  /** Judges all tasks; gives how many processes it has looked at. */
  judge(): Promise<{ processes: number; killed: number }>;
  /** Waits until something holds. */
  until(what: string, holds: () => Promise<boolean>): Promise<void>;
  close(): Promise<void>;
}

const BOUND_MS = 60_000;
const POLL_MS = 100;

export async function makeRealSequencer(place: RunsPlace): Promise<RealSequencer> {
  const clock = makeSystemClock();
  const log = makeSilentLogger();
  const dir = await mkdtemp(join(tmpdir(), 'espalier-sequencer-'));
  const { store } = await openPglite(await readMigrations());
  await fill(store);
  const events = makeEvents({ store, clock });
  const loops = makeLoops({ clock, log, random: Math.random });
  const agents = makeAgents({
    log,
    onGone: (server) => sequencer.forget(server),
    answers: {
      hello: async (server) => {
        sequencer.forget(server);
        return { accepted: true as const };
      },
      'certificate.renew': () => Promise.reject(new Error('nobody joins here')),
      heartbeat: (server, beat) => sequencer.heartbeat(server, beat),
      'runs.report': (server, report) => sequencer.report(server, report),
      'config.server': async (server) => {
        const name = SERVERS[server as ServerName];
        const index = name === 'n1' ? 0 : 1;
        const node = { name, pool: 'runs', address: addressOf(index), wanted: true };
        return { server, nodes: [node], trustedProxies: [], edges: [] };
      },
      'config.pool': async () => ({ version: 1, changed: [], present: Object.values(SITES).map(({ site }) => site) }),
      'config.edge': async () => ({ version: 1, trustedProxies: [], pools: [], hosts: [] }),
    },
  });
  const sequencer = makeSequencer({
    ...{ store, events, agents, clock, log, time: makeDatabaseTime(), random: Math.random },
    settings: DEFAULT_SETTINGS,
    wake: () => loops.wake(CHOOSE_LOOP),
  });
  for (const loop of makeSequencerLoops({
    ...{ sequencer, channels: [], addMissingTasks: async () => null, whenUp: (work) => work },
  }))
    if (!/brownout|alerts/.test(loop.name)) loops.add(loop);

  const doors = new Map<ServerName, { http: Server; sockets: Set<WebSocket>; isOpen: boolean }>();
  const processes = new Map<ServerName, AgentProcess>();
  const doorOf = (server: ServerName) => {
    const door = doors.get(server);
    if (door === undefined) throw new Error(`no door for ${server}`);
    return door;
  };
  const dataDir = (server: ServerName) => join(dir, server);
  for (const server of ['s1', 's2'] as const) {
    await mkdir(dataDir(server));
    const http = createServer();
    const door = { http, sockets: new Set<WebSocket>(), isOpen: true };
    doors.set(server, door);
    new WebSocketServer({ server: http, path: '/v1/agent', verifyClient: () => door.isOpen }).on('connection', (ws) => {
      door.sockets.add(ws);
      ws.on('close', () => door.sockets.delete(ws));
      agents.accept(ws);
    });
    await once(http.listen(join(dataDir(server), 'controller.sock')), 'listening');
  }

  const diaryOf = (name: string) => `/srv/content/${SITE}/diary-${name}`;
  const plans: TaskPlan[] = [];
  const real: RealSequencer = {
    store,
    agent(server) {
      const found = processes.get(server);
      if (found === undefined) throw new Error(`no agent for ${server}`);
      return found;
    },
    startAgent(server) {
      const controller = join(dataDir(server), 'controller.sock');
      const argv = ['--data-dir', dataDir(server), '--controller', controller, '--server', server];
      processes.set(server, place.startAgent(...argv));
    },
    cut(server) {
      const door = doorOf(server);
      door.isOpen = false;
      for (const socket of door.sockets) socket.terminate();
    },
    open(server) {
      doorOf(server).isOpen = true;
    },
    async addTask(plan) {
      plans.push(plan);
      const { name, everyS, takesS } = plan;
      const command = ['php', '-r', DIARIST, '--', diaryOf(name), String(takesS)];
      const policy = { whenLost: 'retry', retryLimit: 5, retryFirstS: 1, retryMostS: 2, class: 'urgent' };
      const wish = newTaskSchema.parse({ site: SITE, name, command, every: `${everyS}s`, timeoutS: 120, ...policy });
      await store.transaction((sql) => addTask(sql, sequencer.parts, wish, { by: 'test' }));
    },
    async count(state, server) {
      const [row] = await store.query<{ count: number }>(
        'SELECT count(*) AS count FROM run_history WHERE state = $1 AND ($2::text IS NULL OR server = $2)',
        [state, server ?? null],
      );
      return row?.count ?? 0;
    },
    async staleEnds() {
      return (await store.query<{ ends: number }>('SELECT stale_ends AS ends FROM fleet_state'))[0]?.ends ?? 0;
    },
    async until(what, holds) {
      const untilMs = clock.monotonicMs() + BOUND_MS;
      while (!(await holds())) {
        if (clock.monotonicMs() > untilMs) throw new Error(`not within ${BOUND_MS / 1000} s: ${what}`);
        await clock.wait(POLL_MS);
      }
    },
    async drain() {
      await store.query('UPDATE task SET next_at = NULL');
      await real.until('nothing waits or runs', async () => (await store.query('SELECT id FROM run')).length === 0);
    },
    async judge() {
      const sum = { processes: 0, killed: 0 };
      for (const plan of plans) {
        const past = await readPast(store, plan.name);
        const lives = parseDiary(await place.exec('n1', 'cat', diaryOf(plan.name)));
        assertApart(plan.name, lives);
        assertKnown(plan.name, lives, past);
        assertEveryTick(plan, past);
        sum.processes += lives.length;
        sum.killed += lives.filter(({ hasEnded }) => !hasEnded).length;
      }
      return sum;
    },
    async close() {
      for (const agent of processes.values()) await agent.kill();
      await loops.stop();
      agents.close();
      for (const { http } of doors.values()) http.close();
      await sequencer.idle();
      await store.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
  loops.start();
  return real;
}

async function fill(store: Store): Promise<void> {
  await store.query(
    `INSERT INTO pool (name, app, kind, image_number, wanted, max_sites, node_memory_mb, state)
     VALUES ('runs', 'hello', 'shared', 1, 2, 10, 512, 'ready')`,
  );
  for (const [server, node] of Object.entries(SERVERS)) {
    await store.query(`INSERT INTO server (name, state, reason, address, version) VALUES ($1, 'ready', '', '', '')`, [
      server,
    ]);
    await store.query(
      `INSERT INTO node (name, pool, server, address, image_number, state, reason) VALUES ($2, 'runs', $1, $2, 1, 'ready', '')`,
      [server, node],
    );
  }
  await store.query(
    `INSERT INTO site (id, name, app, pool, uid, state, reason, placement, title, admin_user, admin_email, config_version, settings, limits)
     VALUES ($1, $1, 'hello', 'runs', $2, 'ready', '', '', '', '', '', 0, '{}', '{}')`,
    [SITE, UID],
  );
}

function readPast(store: Store, name: string): Promise<Past[]> {
  return store.query<Past>(
    `SELECT h.id, h.due_at AS "dueAt", h.ticks, h.state, h.attempt, h.epoch, h.server FROM run_history AS h
     JOIN task ON task.id = h.task WHERE task.name = $1 ORDER BY h.due_at, h.attempt`,
    [name],
  );
}

/** One process, as it wrote of itself; times are the machine's monotonic clock. */
interface Life {
  run: number;
  epoch: number;
  beganMs: number;
  lastMs: number;
  hasEnded: boolean;
}

export function parseDiary(text: string): Life[] {
  const lives = new Map<string, Life>();
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const [run = '', epoch = '', what = '', at = ''] = line.split(' ');
    const life = lives.get(`${run} ${epoch}`);
    if (what === 'begin') {
      assert.equal(life, undefined, `run ${run} has begun twice with the epoch ${epoch}`);
      const atMs = Number(at);
      lives.set(`${run} ${epoch}`, {
        run: Number(run),
        epoch: Number(epoch),
        beganMs: atMs,
        lastMs: atMs,
        hasEnded: false,
      });
    } else {
      assert.ok(life, `run ${run} lives and has not begun`);
      Object.assign(life, { lastMs: Number(at), hasEnded: what === 'end' });
    }
  }
  return [...lives.values()].sort((one, other) => one.beganMs - other.beganMs);
}

/** No two processes of a key at once. */
export function assertApart(task: string, lives: readonly Life[]): void {
  for (const [index, life] of lives.entries()) {
    const next = lives[index + 1];
    if (next === undefined) return;
    const gapMs = next.beganMs - life.lastMs;
    assert.ok(gapMs > 0, `${task}: run ${next.run} began ${-gapMs} ms before the last sign of run ${life.run}`);
  }
}

/** Each process is a run of the history, once; each success was a process that came to its end. */
function assertKnown(task: string, lives: readonly Life[], past: readonly Past[]): void {
  const runs = past.filter(({ epoch }) => epoch !== null);
  const keys = runs.map(({ id, epoch }) => `${id} ${epoch}`);
  assert.equal(new Set(runs.map(({ id }) => id)).size, runs.length, `${task}: a run is in the history twice`);
  for (const { run, epoch } of lives) assert.ok(keys.includes(`${run} ${epoch}`), `${task}: nobody knows run ${run}`);
  for (const { id } of runs.filter(({ state }) => state === 'succeeded'))
    assert.equal(lives.filter(({ run, hasEnded }) => run === id && hasEnded).length, 1, `${task}: run ${id} succeeded`);
}

/** Each due time has exactly one run (its first attempt) or one recorded skip. */
function assertEveryTick({ name, everyS }: TaskPlan, past: readonly Past[]): void {
  const ticks = past
    .filter(({ attempt }) => attempt <= 1)
    .flatMap(({ dueAt, ticks: count }) =>
      Array.from({ length: count }, (_, index) => Date.parse(dueAt) / 1000 + index * everyS),
    )
    .sort((one, other) => one - other);
  const [first = 0] = ticks;
  assert.deepEqual(
    ticks,
    ticks.map((_, index) => first + index * everyS),
    `${name}: due times`,
  );
}
