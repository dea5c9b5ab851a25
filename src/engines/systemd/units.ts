// The few calls and signals of systemd that runs need: transient services, their ends, and what they used
// (org.freedesktop.systemd1, man 5). Apart from the connection (bus.ts) and from what a run is. No decisions.
import type { Bus } from './bus.ts';
import { type DbusMessage, type DbusValue, type DbusVariant, parseValues } from './dbus-wire.ts';
import { readErrorName } from './problems.ts';

/** Properties of a transient unit, in the order in which systemd is to take them. */
export type UnitProperties = readonly (readonly [name: string, value: DbusVariant])[];

/** A service as systemd last told of it. Times are microseconds; 0: never. */
export interface ServiceFacts {
  /** `activating`, `active`, `deactivating`, `failed`, `inactive`. */
  activeState: string;
  /** `running`, `exited`, `failed`, `dead` … */
  subState: string;
  /** True once its program had been executed (for services of Type=exec). */
  wasActive: boolean;
  /** `success`, `exit-code`, `signal`, `core-dump`, `timeout`, `oom-kill`, `resources` … */
  result: string;
  /** How the main process ended, as waitid(2) says it: 1 exited, 2 killed, 3 dumped; 0 it has not. */
  mainCode: number;
  /** Its exit status, or the signal's number. */
  mainStatus: number;
  startedAtUs: number;
  exitedAtUs: number;
  startedMonotonicUs: number;
  exitedMonotonicUs: number;
}

/** What a service used in all; null where the kernel or systemd did not count. */
export interface ServiceUsage {
  cpuS: number | null;
  peakMemoryBytes: number | null;
}

export interface Units {
  /** Makes and starts a transient service. `systemd.refused` with UNIT_EXISTS while one of that name is loaded. */
  startTransient(unit: string, properties: UnitProperties): Promise<void>;
  /** Asks for a unit to be started or stopped; resolves when systemd has taken the order, not when it is done. */
  start(unit: string): Promise<void>;
  /** False when it was not loaded. */
  stop(unit: string): Promise<boolean>;
  /** Lets go of a failed unit. False when it was not loaded. */
  resetFailed(unit: string): Promise<boolean>;
  /** Sends a signal to all processes of a unit. An absent unit is fine. */
  kill(unit: string, signal: number): Promise<void>;
  /** Names of loaded units that match a pattern such as `espalier-run-*.service`; only those in a state, when one is given. */
  list(pattern: string, state?: string): Promise<string[]>;
  /** Undefined when it is not loaded. */
  read(unit: string): Promise<ServiceFacts | undefined>;
  readUsage(unit: string): Promise<ServiceUsage>;
  /** When this systemd began, by the machine's monotonic clock: OnStartupSec= counts from here. Milliseconds. */
  readStartMs(): Promise<number>;
  /** When a unit last became inactive, by the monotonic clock, milliseconds; undefined when it is not loaded or never did. */
  readInactiveSinceMs(unit: string): Promise<number | undefined>;
  readonly closed: Promise<void>;
  close(): void;
}

/** Hears what happens to the services whose unit names begin with a prefix. */
export interface ServiceListener {
  prefix: string;
  /** A service has ended; it stays loaded until `stop` (state `exited`) or `resetFailed` (`failed`). */
  onEnd(unit: string, facts: ServiceFacts): void;
  /** A unit is no longer loaded. Also heard when systemd reloads itself: read it to be sure. */
  onGone(unit: string): void;
}

export const UNIT_EXISTS = 'org.freedesktop.systemd1.UnitExists';
const NO_SUCH_UNIT = ['org.freedesktop.systemd1.NoSuchUnit', 'org.freedesktop.DBus.Error.UnknownObject'];

const MANAGER = { path: '/org/freedesktop/systemd1', interface: 'org.freedesktop.systemd1.Manager' };
const PROPERTIES = 'org.freedesktop.DBus.Properties';
const UNIT = 'org.freedesktop.systemd1.Unit';
const SERVICE = 'org.freedesktop.systemd1.Service';
const UNIT_PATH = '/org/freedesktop/systemd1/unit/';
/** systemd answers in milliseconds; a machine that swaps may take seconds. */
const CALL_TIMEOUT_MS = 10_000;
/** What systemd says of a figure that it does not have: the largest number. */
const UNKNOWN = 2n ** 64n - 1n;

/** A unit's object path: every byte that is no letter or digit becomes `_` and two hexadecimal digits. */
export function toUnitPath(unit: string): string {
  return UNIT_PATH + unit.replaceAll(/[^a-zA-Z0-9]/g, (char) => `_${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** The unit of an object path. */
export function toUnitName(path: string): string {
  const escaped = path.slice(UNIT_PATH.length);
  return escaped.replaceAll(/_([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

type Facts = ReadonlyMap<string, DbusValue>;

function toFacts(entries: DbusValue | undefined): Map<string, DbusValue> {
  return new Map((entries as readonly [string, DbusVariant][]).map(([name, { value }]) => [name, value]));
}

export function toServiceFacts(facts: Facts): ServiceFacts {
  const number = (name: string) => Number(facts.get(name) ?? 0);
  return {
    activeState: String(facts.get('ActiveState') ?? ''),
    subState: String(facts.get('SubState') ?? ''),
    wasActive: number('ActiveEnterTimestampMonotonic') > 0,
    result: String(facts.get('Result') ?? ''),
    mainCode: number('ExecMainCode'),
    mainStatus: number('ExecMainStatus'),
    startedAtUs: number('ExecMainStartTimestamp'),
    exitedAtUs: number('ExecMainExitTimestamp'),
    startedMonotonicUs: number('ExecMainStartTimestampMonotonic'),
    exitedMonotonicUs: number('ExecMainExitTimestampMonotonic'),
  };
}

/** True when the service has ended and waits to be let go of. */
export const hasEnded = (facts: { subState: string }): boolean =>
  facts.subState === 'exited' || facts.subState === 'failed';

/**
 * Turns the signals of a connection into a listener's words. systemd sends the properties of a service first and those
 * of its unit right after, in this order always (dbus-unit.c), several times in a service's life: the first are kept as
 * they came, and only read when the second say that it has ended.
 */
export function makeSignalReader(listener: ServiceListener): (message: DbusMessage) => void {
  const pathPrefix = toUnitPath(listener.prefix);
  const lastOfService = new Map<string, DbusMessage>();
  return (message) => {
    const { path = '', member, signature, body } = message;
    if (member === 'UnitRemoved') {
      const [unit] = parseValues(signature, body);
      lastOfService.delete(toUnitPath(String(unit)));
      if (String(unit).startsWith(listener.prefix)) listener.onGone(String(unit));
    }
    if (member !== 'PropertiesChanged' || !path.startsWith(pathPrefix)) return;
    const [about] = parseValues('s', body);
    if (about === SERVICE) lastOfService.set(path, { ...message, body: Buffer.from(body) });
    if (about !== UNIT) return;
    const facts = toFacts(parseValues(signature, body)[1]);
    if (!hasEnded({ subState: String(facts.get('SubState')) })) return;
    const service = lastOfService.get(path);
    if (service === undefined) return;
    lastOfService.delete(path);
    const both = new Map([...toFacts(parseValues(service.signature, service.body)[1]), ...facts]);
    listener.onEnd(toUnitName(path), toServiceFacts(both));
  };
}

/** Makes the calls over a connection. */
export function makeUnits(bus: Bus): Units {
  const manage = (member: string, signature: string, ...body: DbusValue[]) =>
    bus.call({ ...MANAGER, member, signature, body }, { timeoutMs: CALL_TIMEOUT_MS });
  const inspect = (path: string, member: string, ...body: string[]) =>
    bus.call(
      { path, interface: PROPERTIES, member, signature: 's'.repeat(body.length), body },
      { timeoutMs: CALL_TIMEOUT_MS },
    );
  async function readProperty(path: string, about: string, name: string): Promise<DbusValue> {
    const [variant] = await inspect(path, 'Get', about, name);
    return (variant as DbusVariant).value;
  }
  const unlessAbsent = (thrown: unknown): undefined => {
    if (!NO_SUCH_UNIT.includes(readErrorName(thrown) ?? '')) throw thrown;
    return undefined;
  };
  /** The object of a unit that is not loaded answers too, and so loads it: ask the manager first. */
  const isLoaded = async (unit: string) => (await manage('GetUnit', 's', unit).catch(unlessAbsent)) !== undefined;

  return {
    closed: bus.closed,
    close: bus.close,
    async startTransient(unit, properties) {
      await manage('StartTransientUnit', 'ssa(sv)a(sa(sv))', unit, 'fail', properties, []);
    },
    async start(unit) {
      await manage('StartUnit', 'ss', unit, 'replace');
    },
    async stop(unit) {
      return (await manage('StopUnit', 'ss', unit, 'replace').catch(unlessAbsent)) !== undefined;
    },
    async resetFailed(unit) {
      return (await manage('ResetFailedUnit', 's', unit).catch(unlessAbsent)) !== undefined;
    },
    async kill(unit, signal) {
      await manage('KillUnit', 'ssi', unit, 'all', signal).catch(unlessAbsent);
    },
    async list(pattern, state) {
      const states = state === undefined ? [] : [state];
      const [units] = await manage('ListUnitsByPatterns', 'asas', states, [pattern]);
      return (units as readonly (readonly DbusValue[])[]).map(([unit]) => String(unit));
    },
    async read(unit) {
      if (!(await isLoaded(unit))) return undefined;
      const [entries] = await inspect(toUnitPath(unit), 'GetAll', '');
      return toServiceFacts(toFacts(entries));
    },
    async readUsage(unit) {
      const read = async (name: string) => {
        const figure = await readProperty(toUnitPath(unit), SERVICE, name).catch(() => UNKNOWN);
        return figure === UNKNOWN ? null : Number(figure);
      };
      const [cpuNs, peakMemoryBytes] = await Promise.all([read('CPUUsageNSec'), read('MemoryPeak')]);
      return { cpuS: cpuNs === null ? null : cpuNs / 1e9, peakMemoryBytes };
    },
    async readStartMs() {
      return Number(await readProperty(MANAGER.path, MANAGER.interface, 'UserspaceTimestampMonotonic')) / 1000;
    },
    async readInactiveSinceMs(unit) {
      if (!(await isLoaded(unit))) return undefined;
      const us = Number(await readProperty(toUnitPath(unit), UNIT, 'InactiveEnterTimestampMonotonic'));
      return us === 0 ? undefined : us / 1000;
    },
  };
}
