// One run as a transient systemd unit: its name and properties. Pure, and apart from the starting, so that tests compare
// exactly what systemd is told. The unit's name comes from the overlap key: systemd itself refuses a second one.
import { createHash } from 'node:crypto';
import type { DbusVariant } from '../../engines/systemd/dbus-wire.ts';
import type { UnitProperties } from '../../engines/systemd/units.ts';
import type { RunOrder } from '../../protocol/contract.ts';

export const RUN_PREFIX = 'espalier-run-';
export const RUN_PATTERN = `${RUN_PREFIX}*.service`;
/** All runs of a node, below this in the tree of control groups. */
export const RUN_SLICE = 'espalier-runs.slice';
/** Active while runs may live in the node; see lease-switch.ts. */
export const LEASE_TARGET = 'espalier-lease.target';
/** Where runs write, in the node: a file system of its own in memory (run-espalier-runs.mount). */
export const OUTPUT_FOLDER = '/run/espalier/runs';

/** A run that is over its time gets SIGTERM, and this much later SIGKILL. */
export const TERM_GRACE_MS = 5_000;
/** For a run without a memory limit of its own, MiB. */
const DEFAULT_MEMORY_MB = 512;
const PROCESSES_MOST = 512;
/** When a node runs out of memory, a run goes before what serves visitors. */
const OOM_SCORE = 500;
/** 96 bits: no two keys of a deployment meet. */
const HASH_DIGITS = 24;
const PROGRAM_FOLDERS = ['/usr/local/bin', '/usr/bin', '/bin'];
const SIGKILL = 9;

/** What no site's program needs. A short list of the forbidden costs 1 ms a start, `@system-service` as a list of the allowed 6. */
const FORBIDDEN_CALLS = [
  ...[
    '@clock',
    '@cpu-emulation',
    '@debug',
    '@keyring',
    '@module',
    '@mount',
    '@obsolete',
    '@pkey',
    '@raw-io',
    '@reboot',
  ],
  ...['@swap', 'bpf', 'io_uring_enter', 'io_uring_register', 'io_uring_setup', 'perf_event_open', 'userfaultfd'],
];
const EPERM = 1;

/** The name of the unit that a key's run has, whichever run it is. */
export function toRunUnit(overlapKey: string): string {
  const hash = createHash('sha256').update(overlapKey).digest('hex').slice(0, HASH_DIGITS);
  return `${RUN_PREFIX}${hash}.service`;
}

/** The file in OUTPUT_FOLDER that a run writes. */
export const toOutputName = ({ id, epoch }: { id: number; epoch: number }): string => `${id}-${epoch}`;

const text = (value: string): DbusVariant => ({ signature: 's', value });
const flag = (value: boolean): DbusVariant => ({ signature: 'b', value });
const integer = (value: number): DbusVariant => ({ signature: 'i', value });
const count = (value: number): DbusVariant => ({ signature: 't', value: BigInt(value) });
const words = (value: readonly string[]): DbusVariant => ({ signature: 'as', value });
const MICROSECONDS = 1_000_000;
const MEBIBYTE = 1024 * 1024;

/** The properties of a run's unit, for StartTransientUnit. */
export function renderRunUnit(order: RunOrder): UnitProperties {
  const { id, epoch, task, site, uid, argv, timeoutS, limits } = order;
  const home = `/var/lib/espalier/sites/${site}`;
  const temporary = `${home}/tmp`;
  const output = `${OUTPUT_FOLDER}/${toOutputName(order)}`;
  const quota: UnitProperties =
    limits.cpuPercent === null ? [] : [['CPUQuotaPerSecUSec', count((limits.cpuPercent / 100) * MICROSECONDS)]];
  return [
    ['Description', text(`Run ${id} of task ${task} of ${site}`)],
    // Started when its program has been executed; afterwards loaded, with its result, until the agent has read that.
    ['Type', text('exec')],
    ['RemainAfterExit', flag(true)],
    ['Slice', text(RUN_SLICE)],
    ['Requisite', words([LEASE_TARGET])],
    ['After', words([LEASE_TARGET])],

    ['User', text(String(uid))],
    ['Group', text(String(uid))],
    ['UMask', { signature: 'u', value: 0o027 }],
    ['WorkingDirectory', text(home)],
    [
      'Environment',
      words([
        `PATH=${PROGRAM_FOLDERS.join(':')}`,
        'LANG=C.UTF-8',
        `HOME=${home}`,
        `TMPDIR=${temporary}`,
        `ESPALIER_OPCACHE=${home}/opcache`,
        'ESPALIER_OPCACHE_CLI=1',
        `ESPALIER_RUN=${id}`,
        `ESPALIER_RUN_EPOCH=${epoch}`,
      ]),
    ],
    ['EnvironmentFiles', { signature: 'a(sb)', value: [[`/etc/espalier/sites/${site}/environment`, false]] }],
    ['ExecSearchPath', words(PROGRAM_FOLDERS)],
    // As they are: no `$NAME` of an argument is taken for a variable.
    ['ExecStartEx', { signature: 'a(sasas)', value: [[argv[0] ?? '', argv, ['no-env-expand']]] }],
    ['StandardOutputFileToAppend', text(output)],
    ['StandardErrorFileToAppend', text(output)],

    ['RuntimeMaxUSec', count(Math.ceil(timeoutS * MICROSECONDS) + TERM_GRACE_MS * 1000)],
    ['KillSignal', integer(SIGKILL)],
    ['MemoryMax', count((limits.memoryMb ?? DEFAULT_MEMORY_MB) * MEBIBYTE)],
    ['MemorySwapMax', count(0)],
    ['TasksMax', count(PROCESSES_MOST)],
    ['OOMScoreAdjust', integer(OOM_SCORE)],
    ...quota,

    // What espalier-php@.service has, as far as it means anything for an unprivileged user. No other site's run shares
    // its temporary files; those are its site's own (PrivateTmp= would make and remove folders for each run: 2 ms).
    ['NoNewPrivileges', flag(true)],
    ['CapabilityBoundingSet', count(0)],
    ['BindPaths', { signature: 'a(ssbt)', value: ['/tmp', '/var/tmp'].map((path) => [temporary, path, false, 0n]) }],
    ['ProtectProc', text('invisible')],
    ['ProtectSystem', text('strict')],
    ['ReadWritePaths', words([`/srv/content/${site}`, home])],
    ['RestrictAddressFamilies', { signature: '(bas)', value: [true, ['AF_UNIX', 'AF_INET', 'AF_INET6']] }],
    ['RestrictNamespaces', count(0)],
    ['LockPersonality', flag(true)],
    ['SystemCallArchitectures', words(['native'])],
    ['SystemCallFilter', { signature: '(bas)', value: [false, FORBIDDEN_CALLS] }],
    ['SystemCallErrorNumber', integer(EPERM)],
  ];
}
