// What a part of `servers` gets and hands back. Apart from the benchmark, so that parts do not import what lists them.
import type { ClusterCommands } from '../../test/cluster/open-cluster.ts';
import type { Lab } from '../../test/cluster/open-lab.ts';
import type { Measured } from '../bench.ts';

/** Three servers of a lab as test/cluster/open-cluster.ts makes them. A part leaves them whole for the next. */
export interface Stage {
  lab: Lab;
  commands: ClusterCommands;
  /** Seconds of each server's `server join`. */
  joinS: readonly number[];
  quick: boolean;
  say(line: string): void;
}

export interface Part {
  name: 'join' | 'drain' | 'edge-takeover' | 'controller-takeover';
  measure(stage: Stage): Promise<Measured>;
}
