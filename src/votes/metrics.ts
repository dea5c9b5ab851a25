// What nodes can be judged by: the catalogue of metrics with their units. Apart because policies, votes, the API's
// documentation and the command line all speak of them.

/** A metric of a node. */
export interface Metric {
  name: MetricName;
  unit: string;
  about: string;
  /** Of pools that serve, that run tasks, or both. */
  of: 'serving' | 'worker' | 'both';
  /** True when the same work on fewer nodes is more for each: what remains after one left can be foretold. */
  shared: boolean;
  /** True for a measured quantity that never stays the very same while it is above zero: if it does, its source is stuck. */
  lively: boolean;
}

export const METRIC_NAMES = [
  'cpu',
  'cpu-pressure',
  'memory',
  'memory-pressure',
  'busy-workers',
  'worker-queue',
  'requests',
  'response-time',
  'edge-queue',
  'run-queue',
  'site-number',
] as const;
export type MetricName = (typeof METRIC_NAMES)[number];

const metric = (
  name: MetricName,
  unit: string,
  about: string,
  is: { of?: Metric['of']; shared?: boolean; lively?: boolean } = {},
): Metric => ({ name, unit, about, of: is.of ?? 'serving', shared: is.shared ?? false, lively: is.lively ?? false });

export const METRICS: readonly Metric[] = [
  metric('cpu', '%', "processor time of the node, of its server's cores", { of: 'both', shared: true, lively: true }),
  metric('cpu-pressure', '%', 'share of the last 10 s in which something waited for a core (PSI)', { of: 'both' }),
  metric('memory', '%', 'memory of the node, of what its pool expects a node to use', { of: 'both' }),
  metric('memory-pressure', '%', 'share of the last 10 s in which something waited for memory (PSI)', { of: 'both' }),
  metric('busy-workers', '', 'PHP processes at work', { shared: true }),
  metric('worker-queue', '', 'requests that wait for a PHP process', { shared: true }),
  metric('requests', '/s', 'requests a second, as the edge counts them', { shared: true }),
  metric('response-time', 'ms', 'mean time to the first byte, as the edge sees it'),
  metric('edge-queue', '', 'requests under way or waiting at the edge for this node', { shared: true }),
  metric('run-queue', '', 'runs of tasks that wait, for each node of the pool', { of: 'worker', shared: true }),
  metric('site-number', '', 'the number that a URL of a site answers, for each node of the pool', {
    of: 'both',
    shared: true,
  }),
];

const byName = new Map(METRICS.map((one) => [one.name, one]));

export function metricOf(name: MetricName): Metric {
  const found = byName.get(name);
  if (found === undefined) throw new Error(`there is no metric ${name}`);
  return found;
}

/** `82 %`, `3`, `120 ms`. */
export function renderValue(name: MetricName, value: number): string {
  const { unit } = metricOf(name);
  const rounded = Math.abs(value) >= 100 ? Math.round(value) : Math.round(value * 10) / 10;
  return unit === '' ? `${rounded}` : unit.startsWith('/') ? `${rounded}${unit}` : `${rounded} ${unit}`;
}
