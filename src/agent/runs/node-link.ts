// The open connection to one node, with all that runs in it need: its systemd, its switch, its outputs, its control
// groups. Apart from what is done with them. A link is used up when it closes; another one is opened in its place.
import { join } from 'node:path';
import type { Fleet } from '../../engines/fleet.ts';
import { connectUnits } from '../../engines/systemd/connect.ts';
import { systemdProblems } from '../../engines/systemd/problems.ts';
import type { ServiceListener, Units } from '../../engines/systemd/units.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { readPayloadFolder, toGroupPath } from './cgroups.ts';
import { type LeaseSwitch, makeLeaseSwitch } from './lease-switch.ts';
import { makeOutputs, type Outputs } from './outputs.ts';
import { RUN_PREFIX, RUN_SLICE } from './run-unit.ts';

export interface NodeLink {
  units: Units;
  leases: LeaseSwitch;
  outputs: Outputs;
  /** When the node's systemd began, by the monotonic clock, milliseconds: what was begun before is gone. */
  startMs: number;
  /** The folder of a unit's control group; undefined on a machine without cgroup v2. */
  cgroupOf(unit: string): string | undefined;
}

export type RunListener = Omit<ServiceListener, 'prefix'>;

const READ_TIMEOUT_MS = 5_000;

/** Opens a link. `systemd.away` when the container does not run; the fleet's problems when it cannot be asked. */
export async function openNodeLink(parts: {
  node: string;
  fleet: Fleet;
  listener: RunListener;
  clock: Clock;
  log: Logger;
}): Promise<NodeLink> {
  const { node, fleet, listener, clock, log } = parts;
  const { pid } = await fleet.instances.readState(node, { timeoutMs: READ_TIMEOUT_MS });
  if (pid === 0) throw systemdProblems.make('away', { name: `node ${node}`, why: 'its container does not run' });
  const units = connectUnits({ name: `node ${node}`, pid, listener: { ...listener, prefix: RUN_PREFIX }, log });
  try {
    const [startMs, payload] = await Promise.all([units.readStartMs(), readPayloadFolder(pid)]);
    const outputs = makeOutputs(`/proc/${pid}/root`);
    void units.closed.then(() => outputs.close());
    return {
      units,
      outputs,
      startMs,
      leases: makeLeaseSwitch({ units, startMs, clock }),
      cgroupOf: (unit) => (payload === undefined ? undefined : join(payload, toGroupPath(RUN_SLICE, unit))),
    };
  } catch (thrown) {
    units.close();
    throw thrown;
  }
}
