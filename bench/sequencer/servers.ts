// Servers with agents that speak the protocol over the real channel: `node servers.ts JSON`. One process holds as many as asked for;
// one that is to be killed or stopped holds one, with its node as a process of its own.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pino from 'pino';
import { makeConnection } from '../../src/agent/connection.ts';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { PROTOCOL_VERSION } from '../../src/lib/version.ts';
import type { AgentContract, ControllerContract, HeldRun, RunOrder, RunResult } from '../../src/protocol/contract.ts';
import type { Answers, ParamsOf } from '../../src/protocol/peer.ts';
import { makeNode, type NodeOrder, type NodeReport } from './node.ts';
import { atRest } from './ours.ts';

export interface ServersOrder {
  names: string[];
  socket: string;
  slots: number;
  /** Where runs write down their beginning and end. */
  diary?: string;
  /** The node is a process of its own. */
  apart: boolean;
}

const BEAT_MS = 1_000;
/** As in the agent: the kill comes this much before the lease ends. */
const MARGIN_MS = 2_000;
type Ended = ParamsOf<ControllerContract, 'runs.report'>['ended'];

function startNode({ diary, apart }: ServersOrder, report: (line: NodeReport) => void): (order: NodeOrder) => void {
  if (!apart) return makeNode(diary, report);
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'node.ts'), ...(diary === undefined ? [] : [diary])],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  createInterface({ input: child.stdout }).on('line', (line) => report(JSON.parse(line) as NodeReport));
  return (order) => void child.stdin.write(`${JSON.stringify(order)}\n`);
}

/** One server. Its commands are `bench KEY MILLISECONDS`. */
function startServer(name: string, order: ServersOrder): void {
  const clock = makeSystemClock();
  const beats = new Map<string, number>();
  const held = new Map<number, { run: RunOrder; live: boolean; deadlineMs: number }>();
  const ended: Ended = [];
  let count = 0;

  const node = startNode(order, ({ ended: id, killed }) => {
    const entry = held.get(id);
    if (entry === undefined) return;
    entry.live = false;
    const result: RunResult = {
      ...(killed ? { cause: 'lease', code: null, signal: 'SIGKILL' } : { cause: 'exit', code: 0, signal: null }),
      ...{ cpuS: 0.001, peakMemoryBytes: 1_000_000, startedAt: null, endedAt: new Date().toISOString(), tail: '' },
    };
    ended.push({ id, epoch: entry.run.epoch, result });
    void report();
  });
  const hold = (): void => {
    const live = [...held.values()].filter((entry) => entry.live);
    if (live.length > 0) node({ hold: Math.min(...live.map((entry) => entry.deadlineMs)) - clock.monotonicMs() });
  };

  const answers: Pick<Answers<AgentContract>, 'runs.start' | 'runs.cancel'> = {
    async 'runs.start'({ beat, leaseMs, runs }) {
      const sentMs = beats.get(beat);
      const deadlineMs = (sentMs ?? Number.NEGATIVE_INFINITY) + leaseMs - MARGIN_MS;
      if (deadlineMs <= clock.monotonicMs())
        return { started: [], refused: runs.map(({ id }) => ({ id, why: 'its lease is over' })) };
      for (const run of runs) {
        if (held.get(run.id)?.run.epoch === run.epoch) continue;
        held.set(run.id, { run, live: true, deadlineMs });
        hold();
        node({ start: { id: run.id, key: Number(run.argv[1]), workMs: Number(run.argv[2]) } });
      }
      return { started: runs.map(({ id }) => id), refused: [] };
    },
    async 'runs.cancel'({ ids }) {
      for (const id of ids) node({ kill: id });
      return null;
    },
  };
  const connection = makeConnection({
    doors: () => [{ url: `ws+unix://${order.socket}:/` }],
    hello: { server: name, protocol: PROTOCOL_VERSION, version: 'bench', address: '' },
    answers: answers as Answers<AgentContract>,
    onHello: () => {},
    clock,
    log: pino({ level: 'silent' }),
  });

  let reporting = false;
  async function report(): Promise<void> {
    const controller = connection.controller();
    if (controller === undefined || reporting || ended.length === 0) return;
    reporting = true;
    const sent = ended.slice(0, 500);
    try {
      const { accepted } = await controller.call('runs.report', { ended: sent }, { timeoutMs: 5_000 });
      for (const id of accepted) held.delete(id);
      ended.splice(0, sent.length);
    } catch {
      // Kept, and sent with the next heartbeat.
    }
    reporting = false;
    if (ended.length > 0 && connection.controller() !== undefined) setImmediate(() => void report());
  }

  async function beat(): Promise<void> {
    const controller = connection.controller();
    if (controller === undefined) return;
    count += 1;
    const id = `${name}-${process.pid}-${count}`;
    const sentMs = clock.monotonicMs();
    beats.set(id, sentMs);
    if (beats.size > 30) beats.delete([...beats.keys()][0] ?? '');
    const runs: HeldRun[] = [...held.values()].map(({ run }) => ({ id: run.id, epoch: run.epoch }));
    const live = [...held.values()].filter((entry) => entry.live).length;
    const answer = await controller.call(
      'heartbeat',
      {
        ...{ load: { ...atRest, clockMs: Date.now() }, nodes: [], beat: id, runs },
        slots: { free: Math.max(0, order.slots - live), total: order.slots },
      },
      { timeoutMs: 5_000 },
    );
    for (const { id: run } of runs) {
      const entry = held.get(run);
      if (entry === undefined) continue;
      if (answer.lost.includes(run)) node({ kill: run });
      else entry.deadlineMs = sentMs + answer.leaseMs - MARGIN_MS;
    }
    hold();
    void report();
  }

  void connection.run(AbortSignal.timeout(2 ** 31 - 1));
  setTimeout(() => setInterval(() => void beat().catch(() => undefined), BEAT_MS), Math.random() * BEAT_MS);
}

const order = JSON.parse(process.argv[2] ?? '{}') as ServersOrder;
for (const name of order.names) startServer(name, order);
process.stdin.on('end', () => process.exit(0)).resume();
process.stdout.write('"up"\n');
