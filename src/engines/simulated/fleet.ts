// The simulated fleet: the Fleet interface over plain data in memory, held to the same conformance suite as Incus. It
// can be told to fail, to delay and to cut servers off, answers commands by a function, and may keep its world in
// one JSON file (`espalier up --simulated`).
import { setMaxListeners } from 'node:events';
import { type Clock, makeSystemClock } from '../../lib/clock.ts';
import type { ExecOptions, ExecResult, Fleet, FleetEvent, FleetPlace, FleetServer, InstanceState } from '../fleet.ts';
import { incusProblems } from '../incus/problems.ts';
import { toAddressPlan } from '../incus/render.ts';
import { makeSimulatedFiles, makeSimulatedImages, makeSimulatedVolumes } from './fleet-content.ts';
import { type FleetFaults, makeFleetGuard } from './fleet-faults.ts';
import {
  makeSimulatedInstances,
  makeSimulatedSnapshots,
  readSimulatedInstance,
  type SimulatedContext,
} from './fleet-instances.ts';
import { makeSimulatedWorld, readWorld, type SimulatedWorld, writeWorld } from './fleet-world.ts';
import { runInVolumes } from './volume-commands.ts';

/** Answers a command in a container; what it leaves out is code 0 and no output. It may wait; `signal` ends it. */
export type Responder = (
  name: string,
  argv: readonly string[],
  options: ExecOptions,
  signal: AbortSignal,
) => Partial<ExecResult> | Promise<Partial<ExecResult>>;

export interface SimulatedFleetOptions {
  place: FleetPlace;
  /** Times of things, delays and bounds of commands. Default: the machine's. */
  clock?: Clock;
  /** One server `local` with 8 cores and 32 GiB by default. */
  servers?: readonly { name: string; cores: number; memoryBytes: number; diskBytes: number }[];
  respond?: Responder;
  /** Kept here after each change, and read from here at the beginning. */
  file?: string;
  /** Shared between fleets of several places on "one machine". */
  world?: SimulatedWorld;
}

export interface SimulatedFleet extends Fleet {
  readonly faults: FleetFaults;
  /** The container ends by itself, as if its first process had died. */
  crash(name: string): void;
  /** What its state tells from now on. */
  setLoad(name: string, load: Partial<Pick<InstanceState, 'memoryBytes' | 'cpuS' | 'processes'>>): void;
  /** Readers of events see a `reset`, as after a lost connection. */
  interruptEvents(): void;
}

const GIB = 1024 ** 3;
const DEFAULT_SERVERS = [{ name: 'local', cores: 8, memoryBytes: 32 * GIB, diskBytes: 200 * GIB }];
/** What the engine would choose when asked to. */
const DEFAULT_CIDR = '10.201.0.1/24';
const EXEC_TIMEOUT_MS = 60_000;

/** A simulated fleet. */
export function makeSimulatedFleet({
  place,
  clock = makeSystemClock(),
  servers = DEFAULT_SERVERS,
  respond = () => ({}),
  file,
  world = file === undefined ? makeSimulatedWorld() : readWorld(file),
}: SimulatedFleetOptions): SimulatedFleet {
  const faults = makeFleetGuard(clock);
  const listeners = new Set<(event: FleetEvent) => void>();
  const save = () => {
    if (file !== undefined) writeWorld(file, world);
  };
  const context: SimulatedContext = {
    place,
    world,
    guard: faults,
    serverNames: servers.map(({ name }) => name),
    now: () => new Date(clock.nowMs()).toISOString(),
    project() {
      const project = world.projects[place.project];
      if (!project) throw incusProblems.make('not-found', { what: `project ${place.project}` });
      return project;
    },
    emit(action, name, server) {
      for (const listen of listeners) listen({ kind: 'lifecycle', action, name, at: context.now(), server });
    },
  };

  function assertOurs() {
    for (const [noun, thing] of [
      [`network ${place.network}`, world.networks[place.network]],
      [`storage pool ${place.storagePool}`, world.storagePools[place.storagePool]],
    ] as const) {
      if (thing && thing.owner !== place.project) throw incusProblems.make('not-ours', { what: noun });
    }
  }

  const machine = {
    async capabilities() {
      const driver = world.storagePools[place.storagePool]?.driver;
      return { copyOnWrite: driver !== 'dir', cluster: servers.length > 1, shift: true };
    },

    async setUp(wanted: Parameters<Fleet['setUp']>[0]) {
      assertOurs();
      const owner = place.project;
      world.projects[owner] ??= { instances: {}, images: {}, volumes: {} };
      world.networks[place.network] ??= { owner, cidr: wanted.cidr ?? DEFAULT_CIDR };
      world.storagePools[place.storagePool] ??= { owner, driver: wanted.driver, sizeGib: wanted.sizeGib ?? 30 };
      return toUsage() ?? Promise.reject(new Error('it was set up just now'));
    },

    async usage() {
      assertOurs();
      return toUsage();
    },

    async tearDown() {
      assertOurs();
      delete world.projects[place.project];
      delete world.networks[place.network];
      delete world.storagePools[place.storagePool];
    },

    localServer: async () => servers[0]?.name ?? 'local',

    async servers(): Promise<FleetServer[]> {
      const used = new Map<string, number>();
      for (const { server, status, load } of Object.values(world.projects[place.project]?.instances ?? {}))
        if (status === 'running') used.set(server, (used.get(server) ?? 0) + load.memoryBytes);
      return servers.map(({ name, cores, memoryBytes, diskBytes }) => {
        const offline = faults.isPartitioned(name);
        return {
          name,
          address: servers.length > 1 ? `https://${name}:8443` : '',
          status: offline ? ('offline' as const) : ('online' as const),
          message: offline ? 'No heartbeat' : 'It answers',
          cores: offline ? 0 : cores,
          memoryBytes: offline ? 0 : memoryBytes,
          memoryFreeBytes: offline ? 0 : memoryBytes - (used.get(name) ?? 0),
          diskFreeBytes: offline ? 0 : diskBytes,
        };
      });
    },

    async exec(name: string, argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
      const instance = readSimulatedInstance(context, name);
      if (instance.status !== 'running') throw incusProblems.make('not-running', { what: `container ${name}` });
      const result =
        runInVolumes(instance, context.project().volumes, argv, options) ?? (await runBounded(name, argv, options));
      const keep = options.maxOutputBytes ?? 1024 ** 2;
      const { code = 0, stdout = '', stderr = '' } = result;
      if (stdout !== '') options.onOutput?.(stdout, 'stdout');
      if (stderr !== '') options.onOutput?.(stderr, 'stderr');
      const truncated = Buffer.byteLength(stdout) > keep || Buffer.byteLength(stderr) > keep;
      return { code, stdout: toTail(stdout, keep), stderr: toTail(stderr, keep), truncated };
    },
  };

  /** The responder's answer, unless the bound or the caller's abort comes first. */
  async function runBounded(name: string, argv: readonly string[], options: ExecOptions) {
    const timeoutMs = options.timeoutMs ?? EXEC_TIMEOUT_MS;
    const ended = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, ended.signal]) : ended.signal;
    setMaxListeners(0, signal);
    const timedOut = clock.wait(timeoutMs, signal).then(() => {
      const about = { what: `container ${name}`, program: argv[0] ?? '', seconds: timeoutMs / 1000, output: '' };
      throw incusProblems.make('exec-timed-out', about);
    });
    try {
      return await Promise.race([Promise.resolve(respond(name, argv, options, signal)), timedOut]);
    } finally {
      timedOut.catch(() => {});
      ended.abort();
    }
  }

  function toUsage() {
    const network = world.networks[place.network];
    const pool = world.storagePools[place.storagePool];
    if (!world.projects[place.project] || !network || !pool) return undefined;
    const { firstStatic, lastStatic } = toAddressPlan(network.cidr);
    const { driver, sizeGib } = pool;
    const images = Object.values(context.project().images);
    const diskUsedBytes = images.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return { cidr: network.cidr, firstStatic, lastStatic, driver, diskTotalBytes: sizeGib * GIB, diskUsedBytes };
  }

  async function* events(signal: AbortSignal): AsyncGenerator<FleetEvent> {
    const unread: FleetEvent[] = [{ kind: 'reset' }];
    let wake = Promise.withResolvers<void>();
    const listen = (event: FleetEvent) => {
      unread.push(event);
      wake.resolve();
    };
    const end = () => wake.resolve();
    listeners.add(listen);
    signal.addEventListener('abort', end, { once: true });
    try {
      while (!signal.aborted) {
        yield* unread.splice(0);
        if (unread.length === 0 && !signal.aborted) await wake.promise;
        wake = Promise.withResolvers();
      }
    } finally {
      listeners.delete(listen);
      signal.removeEventListener('abort', end);
    }
  }

  return {
    ...faults.guard('', machine, save),
    place,
    faults,
    events,
    instances: faults.guard('instances.', makeSimulatedInstances(context), save),
    snapshots: faults.guard('snapshots.', makeSimulatedSnapshots(context), save),
    files: faults.guard('files.', makeSimulatedFiles(context), save),
    images: faults.guard('images.', makeSimulatedImages(context), save),
    volumes: faults.guard('volumes.', makeSimulatedVolumes(context), save),
    cluster: faults.guard('cluster.', makeSimulatedCluster(), save),
    async close() {
      save();
    },

    crash(name) {
      const instance = readSimulatedInstance(context, name);
      instance.status = 'stopped';
      instance.addresses = [];
      instance.log += `${context.now()} ended by itself\n`;
      context.emit('instance-shutdown', name, instance.server);
      save();
    },

    setLoad(name, load) {
      const instance = readSimulatedInstance(context, name);
      instance.load = { ...instance.load, ...load };
    },

    interruptEvents() {
      for (const listen of listeners) listen({ kind: 'reset' });
    },
  };
}

function toTail(text: string, keepBytes: number): string {
  return Buffer.from(text).subarray(-keepBytes).toString('utf8');
}

/** Its servers are given at its making; joining and leaving only answer. */
function makeSimulatedCluster() {
  return {
    async enable(_address: string) {},
    makeJoinToken: async (server: string) => Buffer.from(JSON.stringify({ server_name: server })).toString('base64'),
    async remove(_server: string) {},
  };
}
