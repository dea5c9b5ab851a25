// One node's vote: from its alerts' conditions, how long each has held, and whether its figures can be believed. Pure: what
// it must remember is in the vote before, which the store keeps.
import { type MetricName, metricOf, renderValue } from './metrics.ts';
import type { Alert, Policy } from './policy.ts';

/** What was last heard of a node. Times are milliseconds by the database's clock, which alone decides. */
export interface Sample {
  /** When the figures were taken, not when they came: a reporter that repeats itself grows old. */
  takenAtMs: number;
  values: Partial<Record<MetricName, number>>;
  /** Why a value is missing, where its reporter said so. */
  missing?: Partial<Record<MetricName, string>>;
}

export interface AlertState {
  /** Null: missing or not a number. */
  value: number | null;
  /** Since when the condition has held without a break; null when it does not. */
  sinceMs: number | null;
  /** Since when the value has been the very same. */
  sameSinceMs: number;
  raised: boolean;
}

export interface NodeVote {
  node: string;
  vote: 'grow' | 'shrink' | 'none';
  reason: string;
  takenAtMs: number | null;
  /** In the order of the policy's alerts. */
  alerts: AlertState[];
}

/** Figures older than this are silence: several heartbeats have been lost or the reporter hangs. */
export const FRESH_MS = 10_000;
/** A lively metric that has stayed the very same for so long is stuck. */
export const FROZEN_MS = 600_000;

function judgeAlert(alert: Alert, sample: Sample, before: AlertState | undefined, nowMs: number): AlertState {
  const raw = sample.values[alert.metric];
  const value = raw === undefined || !Number.isFinite(raw) || raw < 0 ? null : raw;
  const sameSinceMs = before !== undefined && before.value === value ? before.sameSinceMs : nowMs;
  const frozen = metricOf(alert.metric).lively && value !== 0 && nowMs - sameSinceMs >= FROZEN_MS;
  const holds = value !== null && !frozen && (alert.is === '>' ? value > alert.threshold : value < alert.threshold);
  const sinceMs = holds ? Math.min(before?.sinceMs ?? nowMs, nowMs) : null;
  return { value, sinceMs, sameSinceMs, raised: sinceMs !== null && nowMs - sinceMs >= alert.forS * 1_000 };
}

/**
 * The node's vote: the sign of its raised grow alerts less its raised shrink alerts. A shrink needs all that the policy asks
 * about to be known: who does not know one figure may say that there is too much to do, never that there is too little.
 */
export function castVote(
  policy: Pick<Policy, 'alerts'>,
  node: { name: string; sample: Sample | undefined },
  before: NodeVote | undefined,
  nowMs: number,
): NodeVote {
  const { name, sample } = node;
  const silent = (reason: string): NodeVote => ({
    node: name,
    vote: 'none',
    reason,
    takenAtMs: sample?.takenAtMs ?? null,
    alerts: [],
  });
  if (sample === undefined) return silent('nothing has been heard of it yet');
  const ageMs = nowMs - sample.takenAtMs;
  if (!(ageMs < FRESH_MS)) return silent(`silent: its last figures are ${Math.round(ageMs / 1_000)} s old`);

  // What held before a silence is not known to have held through it.
  const known = before !== undefined && before.alerts.length === policy.alerts.length ? before.alerts : [];
  const alerts = policy.alerts.map((alert, index) => judgeAlert(alert, sample, known[index], nowMs));
  const all = policy.alerts.map((alert, index) => ({ alert, state: alerts[index] as AlertState }));
  const unknown = all.filter(({ alert, state }) => state.value === null || isFrozen(alert, state, nowMs));
  const raised = (vote: Alert['vote']) => all.filter(({ alert, state }) => alert.vote === vote && state.raised);
  const [grow, shrink] = [raised('grow'), raised('shrink')];
  const sign = Math.sign(grow.length - shrink.length);
  const say = (list: typeof all) =>
    list
      .map(
        ({ alert, state }) =>
          `${alert.metric} is ${renderValue(alert.metric, state.value ?? 0)} (${alert.is} ${alert.threshold} for ${alert.forS} s)`,
      )
      .join(', ');
  const lacks = [
    ...new Set(
      unknown.map(({ alert, state }) =>
        state.value === null
          ? `${alert.metric} is missing${sample.missing?.[alert.metric] === undefined ? '' : `: ${sample.missing[alert.metric]}`}`
          : `${alert.metric} has stood at ${state.value} for ${Math.round((nowMs - state.sameSinceMs) / 1_000)} s: its source is stuck`,
      ),
    ),
  ].join(', ');
  const cast = (vote: NodeVote['vote'], reason: string): NodeVote => ({
    node: name,
    vote,
    reason,
    takenAtMs: sample.takenAtMs,
    alerts,
  });
  if (sign > 0) return cast('grow', say(grow));
  if (sign < 0) return lacks === '' ? cast('shrink', say(shrink)) : cast('none', `would shrink, but ${lacks}`);
  if (grow.length > 0) return cast('none', `as many alerts to grow as to shrink: ${say([...grow, ...shrink])}`);
  if (lacks !== '') return cast('none', lacks);
  const waits = all.filter(({ state }) => state.sinceMs !== null);
  if (waits.length > 0)
    return cast(
      'none',
      waits
        .map(
          ({ alert, state }) =>
            `${alert.metric} is ${renderValue(alert.metric, state.value ?? 0)}, ${alert.is} ${alert.threshold} for ${Math.round((nowMs - (state.sinceMs ?? nowMs)) / 1_000)} of ${alert.forS} s`,
        )
        .join(', '),
    );
  return cast(
    'none',
    all
      .map(({ alert, state }) => `${alert.metric} is ${renderValue(alert.metric, state.value ?? 0)}`)
      .filter((text, index, list) => list.indexOf(text) === index)
      .join(', '),
  );
}

function isFrozen(alert: Alert, state: AlertState, nowMs: number): boolean {
  return (
    metricOf(alert.metric).lively && state.value !== 0 && state.value !== null && nowMs - state.sameSinceMs >= FROZEN_MS
  );
}
