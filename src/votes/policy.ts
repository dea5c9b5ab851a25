// What a person says of how a pool grows and shrinks, its defaults, and what is refused. Pure: nothing here reads a store.
import { z } from 'zod';
import { METRIC_NAMES, metricOf } from './metrics.ts';
import { votesProblems } from './problems.ts';

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
const clockTime = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, 'must be a time of day such as 08:00');
const size = z.int().min(0).max(100);
const seconds = z.number().min(0).max(86_400);

/** A condition that makes a node vote once it has held for `forS` seconds without a break. */
export const alertSchema = z.strictObject({
  metric: z.enum(METRIC_NAMES),
  is: z.enum(['>', '<']).describe('above or below the threshold'),
  threshold: z.number().min(0).max(1e9),
  forS: seconds.describe('for so many seconds without a break'),
  vote: z.enum(['grow', 'shrink']),
});
export type Alert = z.infer<typeof alertSchema>;

/** A part of the week with bounds of its own. `to` may be earlier than `from`: it then ends on the next day. */
export const windowSchema = z.strictObject({
  days: z.array(z.enum(DAYS)).min(1),
  from: clockTime,
  to: clockTime,
  min: size.optional(),
  max: size.optional(),
});
export type ScheduleWindow = z.infer<typeof windowSchema>;

export const policySchema = z.strictObject({
  min: size.describe('nodes at least; 0 only with idleS'),
  max: size.min(1).describe('nodes at most'),
  alerts: z.array(alertSchema).min(1).max(20),
  decisionPercent: z.int().default(51).describe('of the voters that must agree'),
  growBy: z.int().min(1).max(100).default(2).describe('nodes, or percent with growUnit'),
  growUnit: z.enum(['nodes', 'percent']).default('nodes'),
  calmS: seconds.optional().describe('after a resize nothing is resized for so long; default 900, of workers 300'),
  stabiliseS: seconds.default(300).describe('the votes must have been for shrinking for so long'),
  intervalS: z.number().min(1).max(300).default(10).describe('votes are kept at least so often'),
  jitterS: seconds.default(20).describe('growth waits for up to this while other pools grow too'),
  leaves: z.enum(['oldest', 'emptiest-server']).default('oldest').describe('which node goes first'),
  idleS: seconds.optional().describe('with min 0: without a visitor for so long the last node goes'),
  schedule: z.array(windowSchema).max(50).default([]),
  zone: z.string().default('UTC').describe('time zone of the schedule'),
  ahead: z.boolean().default(false).describe('grow ahead of need, from the same hour a week ago'),
  siteNumberUrl: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('where the metric site-number is read'),
});
export type PolicyWish = z.input<typeof policySchema>;
export type Policy = Omit<z.output<typeof policySchema>, 'calmS'> & { calmS: number };

const CALM_S = { serving: 900, worker: 300 };
/** So long the edge and the agents need to tell; a policy may not look more often than it can learn. */
export const WEEKDAYS = DAYS;

/** The policy with its defaults; throws `votes.bad-policy` with everything that is wrong with it. */
export function toPolicy(wish: PolicyWish, pool: { name: string; role: 'serving' | 'worker' }): Policy {
  const parsed = policySchema.parse(wish);
  const policy: Policy = { ...parsed, calmS: parsed.calmS ?? CALM_S[pool.role] };
  const wrong = findWrong(policy, pool.role);
  if (wrong.length > 0) throw votesProblems.make('bad-policy', { pool: pool.name, wrong });
  return policy;
}

/** Everything that contradicts itself, each as half a sentence; empty when nothing does. */
export function findWrong(policy: Policy, role: 'serving' | 'worker'): string[] {
  const { min, max, decisionPercent, alerts, schedule, zone } = policy;
  const wrong: string[] = [];
  if (min > max) wrong.push(`min ${min} is above max ${max}`);
  if (decisionPercent < 1 || decisionPercent > 100)
    wrong.push(`the decision threshold must be 1 to 100 %, not ${decisionPercent} %`);
  const zero = [{ min }, ...schedule].some((one) => one.min === 0);
  if (zero && policy.idleS === undefined)
    wrong.push('min 0 needs idleS: without visitors for how long the last node goes');
  if (zero && role === 'worker') wrong.push('a pool of workers keeps one node at least: no visitor wakes it');
  if (!isZone(zone)) wrong.push(`there is no time zone ${zone}`);
  for (const [index, window] of schedule.entries()) {
    const bounds = { min: window.min ?? min, max: window.max ?? max };
    if (bounds.min > bounds.max)
      wrong.push(`window ${index + 1} of the schedule has min ${bounds.min} above max ${bounds.max}`);
    if (window.min === undefined && window.max === undefined)
      wrong.push(`window ${index + 1} of the schedule changes neither min nor max`);
  }
  if (!alerts.some(({ vote }) => vote === 'grow') && min !== max)
    wrong.push('no alert votes grow: the pool could only shrink');
  for (const { metric } of alerts) {
    const { of } = metricOf(metric);
    if (of !== 'both' && of !== role) wrong.push(`${metric} is not known of a ${role} pool`);
    if (metric === 'site-number' && policy.siteNumberUrl === undefined) wrong.push('site-number needs siteNumberUrl');
    if (metric === 'site-number' && zero)
      wrong.push(
        'min 0 and site-number contradict each other: asking for the number is a visit, so nobody ever is away',
      );
  }
  for (const grow of alerts.filter(({ vote }) => vote === 'grow'))
    for (const shrink of alerts.filter(({ vote, metric }) => vote === 'shrink' && metric === grow.metric))
      if (overlap(grow, shrink))
        wrong.push(
          `"${grow.metric} ${grow.is} ${grow.threshold}" votes grow and "${shrink.metric} ${shrink.is} ${shrink.threshold}" votes shrink: some values would do both`,
        );
  return [...new Set(wrong)];
}

/** Whether one value can satisfy both. */
function overlap(one: Alert, other: Alert): boolean {
  if (one.is === other.is) return true;
  const [above, below] = one.is === '>' ? [one, other] : [other, one];
  return above.threshold < below.threshold;
}

function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }) !== undefined;
  } catch {
    return false;
  }
}
