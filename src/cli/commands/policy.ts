// `pool policy`: how a pool grows and shrinks by itself, as people write it, and its policy as people read it.
import { Problem } from '../../lib/errors.ts';
import { type Cli, renderDocument, runChange } from '../cli.ts';
import { renderJson } from '../output.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';

export interface PolicyOptions {
  min?: number;
  max?: number;
  grow?: string[];
  shrink?: string[];
  decision?: number;
  growBy?: string;
  calm?: string;
  stabilise?: string;
  interval?: string;
  jitter?: string;
  leaves?: string;
  idle?: string;
  window?: string[];
  zone?: string;
  ahead?: 'on' | 'off';
  siteNumber?: string;
}

interface Alert {
  metric: string;
  is: string;
  threshold: number;
  forS: number;
  vote: 'grow' | 'shrink';
}
interface Window {
  days: string[];
  from: string;
  to: string;
  min?: number;
  max?: number;
}
interface Policy {
  alerts?: Alert[];
  schedule?: Window[];
  [key: string]: unknown;
}

const usage = (why: string) => cliProblems.make('usage', { why });
const ALERT = /^\s*([a-z-]+)\s*([<>])\s*(\d+(?:\.\d+)?)\s*%?\s*(?:for\s+(\S+))?\s*$/;
const DURATION = /^(\d+(?:\.\d+)?)(s|m|h)?$/;
const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3_600 };
const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const DEFAULT_FOR = '60s';

/** `90`, `90s`, `5m`, `1h` in seconds. */
export function parseSeconds(text: string): number {
  const [, amount, unit = 's'] = DURATION.exec(text) ?? [];
  if (amount === undefined) throw usage(`A duration is written 90s, 5m or 1h, not "${text}"`);
  return Number(amount) * (SECONDS[unit] ?? 1);
}

/** `cpu > 80 for 3m`. */
export function parseAlert(text: string, vote: Alert['vote']): Alert {
  const [, metric, is, threshold, duration = DEFAULT_FOR] = ALERT.exec(text) ?? [];
  if (metric === undefined || is === undefined) throw usage(`An alert is written "cpu > 80 for 60s", not "${text}"`);
  return { metric, is, threshold: Number(threshold), forS: parseSeconds(duration), vote };
}

/** `mon-fri 08:00-18:00 min=4 max=8`; days also `sat,sun`, and `daily`. */
export function parseWindow(text: string): Window {
  const [days = '', times = '', ...bounds] = text.trim().split(/\s+/);
  const [from = '', to = ''] = times.split('-');
  const window: Window = { days: parseDays(days), from, to };
  for (const bound of bounds) {
    const [, name, value] = /^(min|max)=(\d+)$/.exec(bound) ?? [];
    if (name === undefined) throw usage(`A window is written "mon-fri 08:00-18:00 min=4 max=8", not "${text}"`);
    window[name as 'min' | 'max'] = Number(value);
  }
  return window;
}

function parseDays(text: string): string[] {
  if (text === 'daily') return DAYS;
  return text.split(',').flatMap((part) => {
    const [first = '', last = first] = part.split('-');
    const [from, to] = [DAYS.indexOf(first), DAYS.indexOf(last)];
    if (from < 0 || to < 0) throw usage(`Days are written mon-fri or sat,sun, not "${text}"`);
    return from <= to ? DAYS.slice(from, to + 1) : [...DAYS.slice(from), ...DAYS.slice(0, to + 1)];
  });
}

/** The present policy with what the options say; alerts of a vote are replaced as a whole. */
export function mergePolicy(present: Policy, options: PolicyOptions): Policy {
  const { min, max, grow, shrink, decision, growBy, leaves, zone, ahead, window, siteNumber } = options;
  const kept = (vote: Alert['vote'], given: string[] | undefined) =>
    given === undefined
      ? (present.alerts ?? []).filter((alert) => alert.vote === vote)
      : given.map((text) => parseAlert(text, vote));
  const [, amount, percent] = /^(\d+)(%)?$/.exec(growBy ?? '') ?? [];
  if (growBy !== undefined && amount === undefined)
    throw usage(`--grow-by takes a number of nodes or a share such as 50%, not "${growBy}"`);
  const durations = {
    calmS: options.calm,
    stabiliseS: options.stabilise,
    intervalS: options.interval,
    jitterS: options.jitter,
    idleS: options.idle,
  };
  const given: Record<string, unknown> = {
    ...{ min, max, decisionPercent: decision, leaves, zone, siteNumberUrl: siteNumber },
    growBy: amount === undefined ? undefined : Number(amount),
    growUnit: amount === undefined ? undefined : percent === undefined ? 'nodes' : 'percent',
    ahead: ahead === undefined ? undefined : ahead === 'on',
    schedule: window?.map(parseWindow),
    ...Object.fromEntries(
      Object.entries(durations).map(([name, text]) => [name, text === undefined ? undefined : parseSeconds(text)]),
    ),
  };
  const named = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return { ...present, ...named, alerts: [...kept('grow', grow), ...kept('shrink', shrink)] };
}

const pathOf = (pool: string) => `/v1/pools/${encodeURIComponent(pool)}/policy`;

async function readPresent(cli: Cli, pool: string): Promise<Policy> {
  try {
    return (await cli.client.request<{ policy: Policy }>('GET', pathOf(pool), { signal: cli.signal })).body.policy;
  } catch (thrown) {
    if (thrown instanceof Problem && thrown.code === 'votes.no-policy') return {};
    throw thrown;
  }
}

/** Sets it: what is not named keeps its value. */
export async function runPolicySet(cli: Cli, pool: string, options: PolicyOptions): Promise<ExitCode> {
  const body = mergePolicy(await readPresent(cli, pool), options);
  return await runChange(cli, { method: 'PUT', path: pathOf(pool), body });
}

/** The policy and the last decision. */
export async function runPolicyShow(cli: Cli, pool: string): Promise<ExitCode> {
  const { body } = await cli.client.request<{ policy: Policy }>('GET', pathOf(pool), { signal: cli.signal });
  const { policy, ...rest } = body;
  const text = (alert: Alert) => `${alert.metric} ${alert.is} ${alert.threshold} for ${alert.forS}s`;
  const alerts = (vote: Alert['vote']) => (policy.alerts ?? []).filter((alert) => alert.vote === vote).map(text);
  const schedule = (policy.schedule ?? []).map(({ days, from, to, min, max }) =>
    [days.join(','), `${from}-${to}`, min === undefined ? '' : `min=${min}`, max === undefined ? '' : `max=${max}`]
      .filter((word) => word !== '')
      .join(' '),
  );
  const shown = { ...rest, ...policy, alerts: undefined, grow: alerts('grow'), shrink: alerts('shrink'), schedule };
  cli.terminal.out(cli.options.json === true ? renderJson(body) : await renderDocument(shown));
  return exitCodes.done;
}
