// Simulated servers: agents that hold leases and processes that take their time, over a network that loses, delays and
// cuts. They follow the protocol as the real agent does; what they may not do (see a clock that does not jump, outlive a
// crash of their server) they do not.
import type { Clock } from '../../src/lib/clock.ts';
import type { AgentPort } from '../../src/protocol/agent-port.ts';
import type { AgentContract, ControllerContract, HeldRun, RunOrder, RunResult } from '../../src/protocol/contract.ts';
import type { ParamsOf, ResultOf } from '../../src/protocol/peer.ts';
import { protocolProblems } from '../../src/protocol/problems.ts';
import type { DiaryEntry } from './diary.ts';
import type { Chance } from './random.ts';

/** What the agents' side of a controller answers; undefined while there is none. */
export interface Answering {
  heartbeat(
    server: string,
    beat: ParamsOf<ControllerContract, 'heartbeat'>,
  ): Promise<ResultOf<ControllerContract, 'heartbeat'>>;
  report(
    server: string,
    report: ParamsOf<ControllerContract, 'runs.report'>,
  ): Promise<ResultOf<ControllerContract, 'runs.report'>>;
}

export interface FleetOptions {
  servers: readonly string[];
  slots: number;
  chance: Chance;
  clock: Clock;
  /** The controller that a server's agent is connected to. */
  controllerOf(server: string): Answering | undefined;
  /** How long a process takes and how it ends. */
  work(order: RunOrder): { takesMs: number; code: number };
  /** The kill comes this much before the lease ends. */
  marginMs: number;
  /** Of a message: lost, and the most it is delayed. */
  network(): { loss: number; delayMs: number };
}

interface Process {
  order: RunOrder;
  server: string;
  leaseEndsMs: number;
  endsMs: number;
  code: number;
  entry: DiaryEntry;
  result: RunResult | undefined;
}

interface Server {
  name: string;
  processes: Map<string, Process>;
  /** When each heartbeat was sent. */
  beats: Map<string, number>;
  cutUntilMs: number;
  frozenUntilMs: number;
  frozenSinceMs: number;
  deadUntilMs: number;
  agentDownUntilMs: number;
  pressure: number;
}

export interface SimulatedFleet extends AgentPort {
  readonly diary: DiaryEntry[];
  /** Ends that a controller has said it accepted. */
  readonly accepted: HeldRun[];
  /** Everything until now: messages that arrive, processes that end, leases that end. */
  step(): Promise<void>;
  /** Every agent sends a heartbeat and reports what ended. */
  beat(): void;
  /** No message to or from the server. */
  cut(server: string, forMs: number): void;
  /** The whole machine stands still (SIGSTOP of everything, a paused machine) and goes on later. */
  freeze(server: string, forMs: number): void;
  /** The machine dies with all its processes, and comes back empty. */
  kill(server: string, forMs: number): void;
  /** Only the agent dies; its guard and the processes go on, and the next agent adopts them. */
  killAgent(server: string, forMs: number): void;
  setPressure(server: string, percent: number): void;
  live(): number;
}

const keyOf = ({ id, epoch }: HeldRun): string => `${id} ${epoch}`;

export function makeSimulatedFleet(options: FleetOptions): SimulatedFleet {
  const { chance, clock, slots, marginMs } = options;
  const diary: DiaryEntry[] = [];
  const accepted: HeldRun[] = [];
  const inbox: { atMs: number; act: () => void | Promise<void> }[] = [];
  const servers = new Map<string, Server>(
    options.servers.map((name) => [
      name,
      {
        name,
        ...{ processes: new Map(), beats: new Map(), cutUntilMs: 0, frozenUntilMs: 0, frozenSinceMs: 0 },
        ...{ deadUntilMs: 0, agentDownUntilMs: 0, pressure: 10 },
      },
    ]),
  );
  let beatNumber = 0;
  const now = (): number => clock.monotonicMs();
  const isFrozen = (server: Server): boolean => server.frozenUntilMs > now();
  const isDown = (server: Server): boolean => server.deadUntilMs > now() || server.agentDownUntilMs > now();
  const isCut = (server: Server): boolean => server.cutUntilMs > now();

  /** A message: lost, or acted on after a delay. What is under way when the net is cut arrives later or never. */
  function send(server: Server, act: () => void | Promise<void>): void {
    const { loss, delayMs } = options.network();
    if (isCut(server) || chance.happens(loss)) return;
    inbox.push({ atMs: now() + Math.floor(chance.next() * delayMs), act });
  }

  const able = (server: Server): boolean => !isFrozen(server) && !isDown(server);

  function endProcess(process: Process, atMs: number, result: Pick<RunResult, 'cause' | 'code' | 'signal'>): void {
    process.entry.lastMs = atMs;
    process.entry.whole = result.cause === 'exit';
    process.result = {
      ...result,
      ...{ cpuS: 0.1, peakMemoryBytes: null, startedAt: null, tail: '' },
      endedAt: new Date(clock.nowMs()).toISOString(),
    };
  }

  function start(
    server: Server,
    beat: string,
    leaseMs: number,
    orders: readonly RunOrder[],
  ): ResultOf<AgentContract, 'runs.start'> {
    const started: number[] = [];
    const refused: { id: number; why: string }[] = [];
    const sentMs = server.beats.get(beat);
    for (const order of orders) {
      const held = [...server.processes.values()];
      const lives = held.filter((one) => one.result === undefined);
      if (server.processes.has(keyOf(order))) started.push(order.id);
      else if (sentMs === undefined || sentMs + leaseMs - marginMs <= now())
        refused.push({ id: order.id, why: 'its lease is over' });
      else if (lives.length >= slots) refused.push({ id: order.id, why: 'no slot is free' });
      else if (lives.some((one) => one.order.overlapKey === order.overlapKey))
        refused.push({ id: order.id, why: 'it lives here' });
      else {
        const { takesMs, code } = options.work(order);
        const entry = {
          task: order.task,
          overlapKey: order.overlapKey,
          server: server.name,
          beganMs: now(),
          lastMs: Number.POSITIVE_INFINITY,
          whole: false,
        };
        diary.push(entry);
        server.processes.set(keyOf(order), {
          ...{
            order,
            server: server.name,
            leaseEndsMs: sentMs + leaseMs,
            endsMs: now() + takesMs,
            code,
            entry,
            result: undefined,
          },
        });
        started.push(order.id);
      }
    }
    return { started, refused };
  }

  function cancel(server: Server, ids: readonly number[]): void {
    for (const process of server.processes.values()) {
      if (process.result === undefined && ids.includes(process.order.id))
        endProcess(process, now(), { cause: 'killed', code: null, signal: 'SIGKILL' });
    }
  }

  function answerCall(server: Server, method: string, params: unknown): unknown {
    if (method === 'runs.start') {
      const { beat, leaseMs, runs } = params as ParamsOf<AgentContract, 'runs.start'>;
      return start(server, beat, leaseMs, runs);
    }
    if (method === 'runs.cancel') {
      cancel(server, (params as ParamsOf<AgentContract, 'runs.cancel'>).ids);
      return null;
    }
    throw new Error(`the simulated fleet knows no ${method}`);
  }

  function stepServer(server: Server): void {
    if (isFrozen(server) || server.deadUntilMs > now()) return;
    if (server.frozenSinceMs > 0) {
      // Awake: its own work goes on where it stood; leases went on meanwhile, and the guard looks first.
      const asleepMs = server.frozenUntilMs - server.frozenSinceMs;
      for (const process of server.processes.values()) if (process.result === undefined) process.endsMs += asleepMs;
      server.frozenSinceMs = 0;
    }
    for (const process of server.processes.values()) {
      if (process.result !== undefined) continue;
      const killMs = process.leaseEndsMs - marginMs;
      if (killMs <= now() && killMs < process.endsMs)
        endProcess(process, Math.max(killMs, process.entry.beganMs), { cause: 'lease', code: null, signal: 'SIGKILL' });
      else if (process.endsMs <= now())
        endProcess(process, process.endsMs, { cause: 'exit', code: process.code, signal: null });
    }
  }

  function beatServer(server: Server): void {
    if (!able(server)) return;
    const controller = options.controllerOf(server.name);
    if (controller === undefined) return;
    const sentMs = now();
    beatNumber += 1;
    const beat = `${server.name}-${beatNumber}`;
    server.beats.set(beat, sentMs);
    if (server.beats.size > 100) server.beats.delete([...server.beats.keys()][0] ?? '');
    const held = [...server.processes.values()];
    const runs = held.map(({ order }) => ({ id: order.id, epoch: order.epoch }));
    const lives = held.filter((one) => one.result === undefined).length;
    const load = {
      ...{ cores: 2, load1: 0, cpuPressure: server.pressure, memoryPressure: 0, ioPressure: 0, memoryTotalBytes: 8e9 },
      ...{ memoryAvailableBytes: 4e9, diskTotalBytes: 1e11, diskFreeBytes: 5e10, clockMs: clock.nowMs() },
    };
    send(server, async () => {
      const answer = await controller
        .heartbeat(server.name, {
          load,
          nodes: [],
          beat,
          slots: { free: Math.max(0, slots - lives), total: slots },
          runs,
        })
        .catch(() => undefined);
      if (answer === undefined) return;
      send(server, () => {
        if (!able(server)) return;
        for (const run of runs) {
          const process = server.processes.get(keyOf(run));
          if (process === undefined) continue;
          if (!answer.lost.includes(run.id))
            process.leaseEndsMs = Math.max(process.leaseEndsMs, sentMs + answer.leaseMs);
          else if (process.result === undefined)
            endProcess(process, now(), { cause: 'lease', code: null, signal: 'SIGKILL' });
        }
      });
    });
    const ended = held.flatMap(({ order, result }) =>
      result === undefined ? [] : [{ id: order.id, epoch: order.epoch, result }],
    );
    if (ended.length === 0) return;
    send(server, async () => {
      const answer = await controller.report(server.name, { ended }).catch(() => undefined);
      if (answer === undefined) return;
      accepted.push(...ended.filter(({ id }) => answer.accepted.includes(id)).map(({ id, epoch }) => ({ id, epoch })));
      send(server, () => {
        if (!able(server)) return;
        for (const run of ended) if (answer.accepted.includes(run.id)) server.processes.delete(keyOf(run));
      });
    });
  }

  const find = (name: string): Server => {
    const server = servers.get(name);
    if (server === undefined) throw new Error(`no server ${name}`);
    return server;
  };

  return {
    diary,
    accepted,
    async step() {
      for (const server of servers.values()) stepServer(server);
      for (;;) {
        inbox.sort((a, b) => a.atMs - b.atMs);
        const count = inbox.findIndex((message) => message.atMs > now());
        const due = inbox.splice(0, count < 0 ? inbox.length : count);
        if (due.length === 0) return;
        await Promise.all(due.map(async ({ act }) => act()));
      }
    },
    beat() {
      for (const server of servers.values()) beatServer(server);
    },
    cut(name, forMs) {
      find(name).cutUntilMs = now() + forMs;
    },
    freeze(name, forMs) {
      const server = find(name);
      if (isFrozen(server)) return;
      server.frozenSinceMs = now();
      server.frozenUntilMs = now() + forMs;
    },
    kill(name, forMs) {
      const server = find(name);
      for (const process of server.processes.values()) if (process.result === undefined) process.entry.lastMs = now();
      server.processes.clear();
      server.beats.clear();
      server.frozenSinceMs = 0;
      server.frozenUntilMs = 0;
      server.deadUntilMs = now() + forMs;
    },
    killAgent(name, forMs) {
      const server = find(name);
      server.beats.clear();
      server.agentDownUntilMs = now() + forMs;
    },
    setPressure(name, percent) {
      find(name).pressure = percent;
    },
    live: () =>
      [...servers.values()].reduce(
        (sum, { processes }) => sum + [...processes.values()].filter((one) => one.result === undefined).length,
        0,
      ),
    connected: () => [...servers.values()].filter((server) => able(server) && !isCut(server)).map(({ name }) => name),
    call<M extends keyof AgentContract & string>(
      name: string,
      method: M,
      params: ParamsOf<AgentContract, M>,
      { timeoutMs }: { timeoutMs: number },
    ): Promise<ResultOf<AgentContract, M>> {
      const server = find(name);
      if (isDown(server)) return Promise.reject(protocolProblems.make('disconnected', { name: `agent on ${name}` }));
      return new Promise((resolve, reject) => {
        inbox.push({
          atMs: now() + timeoutMs,
          act: () => reject(protocolProblems.make('no-answer', { name, method, seconds: timeoutMs / 1000 })),
        });
        send(server, () => {
          if (isDown(server)) return;
          // A machine that stands still reads its messages when it wakes.
          const act = () => {
            const answer = answerCall(server, method, params) as ResultOf<AgentContract, M>;
            send(server, () => resolve(answer));
          };
          if (isFrozen(server)) inbox.push({ atMs: server.frozenUntilMs, act });
          else act();
        });
      });
    },
  };
}
