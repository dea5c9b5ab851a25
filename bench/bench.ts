// What a benchmark is and what it hands back. Apart from the runner, so that benchmarks and the page share it.
import type { Place } from './place.ts';

/** One line of a benchmark's table. `reached` is undefined where nothing was asked for. */
export interface Row {
  what: string;
  measured: string;
  target?: string;
  reached?: boolean;
}

/** What one run measured. `figures` are what the target speaks of, `peers` what was measured beside it in the same run. */
export interface Measured {
  figures: Record<string, number>;
  peers: Record<string, number>;
  rows: Row[];
  /** Lines that say where the time goes, shown as they are. */
  details: string[];
}

/** What a person may ask for beyond the name; each benchmark takes what concerns it. */
export interface BenchOptions {
  /** Small sizes: only whether it works. */
  quick: boolean;
  /** Parts by name; none: all. */
  only: readonly string[];
}

export interface Benchmark {
  name:
    | 'up'
    | 'site-create'
    | 'edge'
    | 'heal'
    | 'roll'
    | 'wave'
    | 'site-move'
    | 'site-move-servers'
    | 'transfer'
    | 'sequencer'
    | 'votes'
    | 'servers'
    | 'server-loss'
    | 'servers-scale';
  /** False for one that needs no deployment. */
  needsPlace?: false;
  /** Runs in the bench's own deployment, which is up (for `up` itself: which is not there). */
  run(place: Place, options: BenchOptions): Promise<Measured>;
}

/** A row that compares a figure with its target: `<=` where less is better. */
export function toRow(what: string, measured: number, unit: string, target?: { is: '<=' | '>='; value: number }): Row {
  const text = `${measured}${unit === '' ? '' : ` ${unit}`}`;
  if (target === undefined) return { what, measured: text };
  const reached = target.is === '<=' ? measured <= target.value : measured >= target.value;
  const sign = target.is === '<=' ? '≤' : '≥';
  return { what, measured: text, target: `${sign} ${target.value}${unit === '' ? '' : ` ${unit}`}`, reached };
}
