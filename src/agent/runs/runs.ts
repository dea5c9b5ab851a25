// The runs of this server, as the rest of the agent sees them: begins them as the controller orders, keeps and ends their
// leases, lets people follow their output. This file joins the parts:
//   run-table.ts  which there are, and their states     run-unit.ts   what systemd is told     run-result.ts  how they ended
//   node-links.ts node-link.ts  connections to nodes    run-ends.ts   ends, adoption           reporter.ts    telling them
//   lease-switch.ts  the node's own kill                watcher.ts lease-watch.ts  the kill from here
//   journal.ts    what survives the agent               outputs.ts    what runs write          beats.ts       when heartbeats were sent
import type { Fleet } from '../../engines/fleet.ts';
import { readErrorName } from '../../engines/systemd/problems.ts';
import { UNIT_EXISTS } from '../../engines/systemd/units.ts';
import type { Clock } from '../../lib/clock.ts';
import { toProblem } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { AgentContract, ControllerContract, HeldRun, RunOrder, RunSlots } from '../../protocol/contract.ts';
import type { ParamsOf, Peer, ResultOf } from '../../protocol/peer.ts';
import { makeBeats } from './beats.ts';
import { killCgroup } from './cgroups.ts';
import type { Journal } from './journal.ts';
import { type NodeLink, openNodeLink } from './node-link.ts';
import { makeNodeLinks } from './node-links.ts';
import { makeReporter } from './reporter.ts';
import { makeRunEnds } from './run-ends.ts';
import type { KillReason } from './run-result.ts';
import { makeRunTable, type Run } from './run-table.ts';
import { renderRunUnit, TERM_GRACE_MS, toOutputName, toRunUnit } from './run-unit.ts';
import type { Watcher } from './watcher.ts';

/** A run is killed so much before its lease ends, so that it is dead when the controller gives it to another server. */
export const KILL_MARGIN_MS = 2_000;
/** A lease that holds for less is not worth a start. */
const LEAST_LEASE_MS = 1_000;
const LOOK_EVERY_MS = 500;
/** Every so often all units are compared with the table: a signal may have been missed. */
const SYNC_EVERY_MS = 30_000;
/** A follower may read the end of an output so long after the run was reported. */
const OUTPUT_KEPT_MS = 10_000;
/** Most runs are over before their output could be too much. */
const CUT_AFTER_MS = 1_000;
const FOLLOW_PAUSE_MS = 100;
const SIGTERM = 15;
const SIGKILL = 9;
const SAME_KEY = 'a run of the same overlap key is on the node';

export interface Runs {
  /** See the contract. */
  start(order: ParamsOf<AgentContract, 'runs.start'>): Promise<ResultOf<AgentContract, 'runs.start'>>;
  cancel(ids: readonly number[]): void;
  follow(
    about: ParamsOf<AgentContract, 'runs.follow'>,
    signal: AbortSignal,
  ): Promise<ResultOf<AgentContract, 'runs.follow'>>;
  /** What the heartbeat says of runs that is sent right after this. */
  beat(): { beat: string; slots: RunSlots; runs: HeldRun[] };
  /** The answer to that heartbeat. */
  renewed(sent: { beat: string; runs: readonly HeldRun[] }, answer: ResultOf<ControllerContract, 'heartbeat'>): void;
  /** The watcher has killed a run whose lease was over. */
  leaseEnded(id: number): void;
  /** Adopts the runs of the journal, then looks after all until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** Makes the runs. `nodes` tells which nodes of this server take runs now, `slots` how many runs it takes at once. */
export function makeRuns(parts: {
  journal: Journal;
  watcher: Watcher;
  fleet: Fleet;
  nodes: () => readonly string[];
  controller: () => Peer<ControllerContract> | undefined;
  slots: number;
  /** See EndedRun. */
  countsOom: boolean;
  clock: Clock;
  log: Logger;
}): Runs {
  const { journal, watcher, fleet, slots, countsOom, clock, log } = parts;
  const beats = makeBeats(clock);
  const table = makeRunTable();
  const retired = new Map<number, { run: Run; atMs: number }>();
  const syncedAtMs = new Map<string, number>();

  const links = makeNodeLinks(
    (node) =>
      openNodeLink({
        ...{ node, fleet, clock, log },
        listener: {
          onEnd: (unit, facts) => {
            const run = table.byUnit(node, unit);
            if (run !== undefined) ends.end(run, facts);
          },
          onGone: (unit) => ends.gone(node, unit),
        },
      }),
    (node, link) => {
      watch(table.of(node));
      removeLeftovers(link).catch((thrown: unknown) => log.warn({ node, err: thrown }, 'old outputs stay'));
    },
  );
  const reporter = makeReporter({
    ...{ table, journal, controller: parts.controller, clock, log },
    onAccepted: (run) => retired.set(run.order.id, { run, atMs: clock.monotonicMs() }),
  });
  const ends = makeRunEnds({
    ...{ table, links, journal, fleet, countsOom, clock, log },
    onFreed: (run) => {
      watcher.drop(run.order.id);
      reporter.wake();
    },
  });
  for (const entry of journal.found) table.add(entry);

  /** Removes outputs that an earlier agent kept for followers. */
  async function removeLeftovers({ outputs }: NodeLink): Promise<void> {
    const found = await outputs.list();
    const known = new Set(
      [...table.all(), ...[...retired.values()].map(({ run }) => run)].map(({ order }) => toOutputName(order)),
    );
    for (const name of found) if (!known.has(name)) await outputs.remove(name);
  }

  // ---- leases ----

  /** Has the thread watch those whose deadline and control group are known. */
  function watch(runs: readonly Run[]): void {
    const leases = runs.flatMap(({ order, unit, deadlineMs, state }) => {
      const cgroup = links.current(order.node)?.cgroupOf(unit);
      return deadlineMs === undefined || cgroup === undefined || state === 'freed'
        ? []
        : { id: order.id, deadlineMs, cgroup };
    });
    if (leases.length > 0) watcher.set(leases);
  }

  /** Sets a node's switch to the earliest of its runs' deadlines; while one is unknown the switch knows better. */
  async function hold(node: string): Promise<void> {
    const held = table.of(node).filter(({ state }) => state !== 'freed');
    const deadlines = held.map(({ deadlineMs }) => deadlineMs).filter((each) => each !== undefined);
    if (held.length === 0 || deadlines.length < held.length) return;
    await (await links.to(node)).leases.hold(Math.min(...deadlines));
  }

  function killAtOnce(run: Run): void {
    const cgroup = links.current(run.order.node)?.cgroupOf(run.unit);
    if (cgroup !== undefined) killCgroup(cgroup);
  }

  function kill(run: Run, reason: KillReason): void {
    run.killed ??= { reason, atMs: clock.monotonicMs() };
    if (reason === 'lease') killAtOnce(run);
    links
      .current(run.order.node)
      ?.units.kill(run.unit, reason === 'lease' ? SIGKILL : SIGTERM)
      .catch((thrown: unknown) => log.debug({ err: thrown, run: run.order.id }, 'a signal could not be sent'));
  }

  // ---- beginning ----

  /** Why an order is refused before anything is done. */
  function refusal(order: RunOrder, here: ReadonlySet<string>): string | undefined {
    if (table.get(order.id) !== undefined) return 'an earlier lease of it is not yet over here';
    if (!here.has(order.node)) return `the node ${order.node} is not on this server, or is leaving it`;
    if (table.heldCount() >= slots) return 'the server has no free slot';
    const holder = table.byUnit(order.node, toRunUnit(order.overlapKey));
    return holder === undefined || holder.state === 'freed' ? undefined : SAME_KEY;
  }

  async function drop(run: Run, why: string): Promise<string> {
    watcher.drop(run.order.id);
    table.remove(run);
    await journal.dropped([run.order.id]).catch(() => undefined);
    return why;
  }

  /** Has systemd start it. Gives why not, or undefined when it is begun or cannot be: then its end tells. */
  async function begin(run: Run): Promise<string | undefined> {
    const { node } = run.order;
    let isSent = false;
    try {
      const { units } = await links.to(node);
      watch([run]);
      await hold(node);
      isSent = true;
      await units.startTransient(run.unit, renderRunUnit(run.order));
      run.state = 'alive';
    } catch (thrown) {
      const error = readErrorName(thrown);
      const { detail } = toProblem(thrown).document;
      if (error === UNIT_EXISTS) return await drop(run, SAME_KEY);
      if (!isSent) return await drop(run, detail);
      run.state = 'alive';
      if (error !== undefined) ends.end(run, undefined, detail);
      // Without an answer it may have been taken all the same: the next look finds out.
      else syncedAtMs.delete(node);
    }
    if (run.killed !== undefined) kill(run, run.killed.reason);
    return undefined;
  }

  // ---- looking after ----

  function lookAtRun(run: Run, nowMs: number): void {
    if (run.killed === undefined && nowMs >= run.beganMs + run.order.timeoutS * 1000) kill(run, 'timeout');
    if (run.killed !== undefined && nowMs >= run.killed.atMs + TERM_GRACE_MS) killAtOnce(run);
  }

  async function lookAtNode(node: string, nowMs: number): Promise<void> {
    const alive = table.of(node).filter(({ state }) => state === 'alive');
    for (const run of alive) {
      lookAtRun(run, nowMs);
      if (nowMs < run.beganMs + CUT_AFTER_MS) continue;
      await links
        .current(node)
        ?.outputs.cut(toOutputName(run.order))
        .catch((thrown: unknown) => log.debug({ err: thrown }, 'an output could not be cut'));
    }
    const isSynced = nowMs < (syncedAtMs.get(node) ?? Number.NEGATIVE_INFINITY) + SYNC_EVERY_MS;
    const isLinked = links.current(node) !== undefined;
    const needsLink = table.of(node).some(({ state }) => state === 'alive' || state === 'ended');
    if (isLinked ? isSynced && !ends.isOwed(node) : !needsLink) return;
    syncedAtMs.set(node, nowMs);
    await ends.sync(node);
  }

  async function look(): Promise<void> {
    const nowMs = clock.monotonicMs();
    const here = new Set(parts.nodes());
    const busy = new Set(table.all().map(({ order }) => order.node));
    for (const node of links.open()) if (!here.has(node) && !busy.has(node)) links.close(node);
    await Promise.all([...new Set([...busy, ...links.open()])].map((node) => lookAtNode(node, nowMs)));
    for (const [id, { run, atMs }] of retired) {
      if (nowMs < atMs + OUTPUT_KEPT_MS) continue;
      retired.delete(id);
      await links.current(run.order.node)?.outputs.remove(toOutputName(run.order));
    }
    reporter.wake();
  }

  return {
    async start({ beat, leaseMs, runs }) {
      const sentMs = beats.sentMs(beat);
      const nowMs = clock.monotonicMs();
      const deadlineMs = (sentMs ?? Number.NEGATIVE_INFINITY) + leaseMs - KILL_MARGIN_MS;
      if (nowMs > deadlineMs - LEAST_LEASE_MS) {
        const why = sentMs === undefined ? 'the agent was started anew meanwhile' : 'the order came too late';
        return { started: [], refused: runs.map(({ id }) => ({ id, why })) };
      }
      const here = new Set(parts.nodes());
      const written = Promise.withResolvers<void>();
      const fresh: Run[] = [];
      const answers = runs.map((order): [id: number, why: Promise<string | undefined>] => {
        const known = table.get(order.id);
        if (known?.order.epoch === order.epoch) return [order.id, known.started];
        const why = refusal(order, here);
        if (why !== undefined) return [order.id, Promise.resolve(why)];
        const run = table.add({ order, beganMs: nowMs });
        Object.assign(run, { state: 'starting', deadlineMs });
        run.started = written.promise.then(
          () => begin(run),
          (thrown: unknown) => drop(run, `the agent cannot write its journal: ${toProblem(thrown).document.detail}`),
        );
        fresh.push(run);
        return [order.id, run.started];
      });
      journal.began(fresh.map(({ order, beganMs }) => ({ order, beganMs }))).then(written.resolve, written.reject);
      const outcomes = await Promise.all(answers.map(async ([id, why]) => ({ id, why: await why })));
      return {
        started: outcomes.filter(({ why }) => why === undefined).map(({ id }) => id),
        refused: outcomes.flatMap(({ id, why }) => (why === undefined ? [] : { id, why })),
      };
    },

    cancel(ids) {
      for (const id of ids) {
        const run = table.get(id);
        if (run?.state === 'starting' || run?.state === 'alive') kill(run, 'cancelled');
      }
    },

    async follow({ id, offset, waitMs }, signal) {
      const untilMs = clock.monotonicMs() + waitMs;
      for (;;) {
        const run = table.get(id) ?? retired.get(id)?.run;
        const isOver = run === undefined || run.state === 'ended' || run.state === 'freed';
        const outputs = run && links.current(run.order.node)?.outputs;
        const read = (await outputs?.read(toOutputName(run?.order ?? { id, epoch: 0 }), offset)) ?? {
          text: '',
          offset,
        };
        if (read.text !== '') return { ...read, ended: false };
        if (isOver || clock.monotonicMs() >= untilMs) return { ...read, ended: isOver };
        await clock.wait(FOLLOW_PAUSE_MS, signal);
      }
    },

    beat() {
      const runs = table.all().map(({ order: { id, epoch } }) => ({ id, epoch }));
      const free = Math.max(0, slots - table.heldCount());
      return { beat: beats.next(), slots: { free, total: slots }, runs };
    },

    renewed({ beat, runs }, { lost, leaseMs }) {
      const sentMs = beats.sentMs(beat);
      if (sentMs === undefined) return;
      const gone = new Set(lost);
      const touched: Run[] = [];
      for (const { id, epoch } of runs) {
        const run = table.get(id);
        if (run?.order.epoch !== epoch || run.state === 'freed') continue;
        touched.push(run);
        if (gone.has(id)) kill(run, 'lease');
        else run.deadlineMs = Math.max(run.deadlineMs ?? 0, sentMs + leaseMs - KILL_MARGIN_MS);
      }
      watch(touched);
      for (const node of new Set(touched.map(({ order }) => order.node))) {
        hold(node).catch((thrown: unknown) => log.debug({ err: thrown, node }, 'a node’s switch could not be set'));
      }
      reporter.wake();
    },

    leaseEnded(id) {
      const run = table.get(id);
      if (run === undefined) return;
      log.warn({ run: id, node: run.order.node }, 'a run was killed: its lease was not renewed in time');
      run.killed ??= { reason: 'lease', atMs: clock.monotonicMs() };
    },

    async run(signal) {
      while (!signal.aborted) {
        await look().catch((thrown: unknown) => log.warn({ err: thrown }, 'a look at the runs failed'));
        await clock.wait(LOOK_EVERY_MS, signal).catch(() => undefined);
      }
      for (const node of links.open()) links.close(node);
    },
  };
}
