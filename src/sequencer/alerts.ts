// What people must know, told once for each cause until it is over: tasks that need attention, ticks that are overdue, brownout.
// Level-triggered: what holds is compared with what is open. Wrong is a cause without its alert, or an alert nobody was told of.
import type { Json } from '../platform/store.ts';
import type { SequencerParts } from './parts.ts';
import { NOW } from './time.ts';

export interface Alert {
  id: number;
  /** `task:ID`, `overdue:ID`, `brownout`. */
  cause: string;
  sentence: string;
  raisedAt: string;
}

/** A way to tell people. Throws when it failed; then all is told again later. */
export interface AlertChannel {
  readonly name: string;
  tell(alerts: readonly Alert[], signal: AbortSignal): Promise<void>;
}

/** A run that has waited for so long beyond its interval is overdue. */
const OVERDUE_S = 600;
/** Longer than a channel may take. */
const TELLING_S = 60;
const MOST_AT_ONCE = 200;

const HOLDING = `
  SELECT 'task:' || task.id AS cause, site.name || '/' || task.name AS subject,
    site.name || '/' || task.name || ' needs attention: ' || (task.attention ->> 'sentence') AS sentence
  FROM task JOIN site ON site.id = task.site WHERE task.attention IS NOT NULL
  UNION ALL
  SELECT 'overdue:' || task.id, site.name || '/' || task.name,
    site.name || '/' || task.name || ' is overdue: it was due at ' || to_char(run.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC and still waits'
  FROM run JOIN task ON task.id = run.task JOIN site ON site.id = task.site
  WHERE run.state = 'queued' AND run.attempt = 1 AND run.due_at < ${NOW} - make_interval(secs => $2 + coalesce(task.every_s, 0))
  UNION ALL
  SELECT 'overdue:' || task.id, site.name || '/' || task.name, site.name || '/' || task.name || ' is overdue: its ticks are not made'
  FROM task JOIN site ON site.id = task.site WHERE task.next_at < ${NOW} - make_interval(secs => $2) AND task.missed <> 'all'
  UNION ALL
  SELECT 'brownout', 'fleet', 'intervals of tasks are stretched: ' || brownout_reason FROM fleet_state WHERE brownout > 0`;

/** Looks once: raises, closes, tells. */
export async function runAlerts(
  parts: SequencerParts,
  channels: readonly AlertChannel[],
  signal: AbortSignal,
): Promise<{ raised: number; over: number; told: number } & Record<string, Json>> {
  const { store, time, log } = parts;
  const raised = await store.query(
    `INSERT INTO alert (cause, subject, sentence, raised_at)
     SELECT DISTINCT ON (cause) cause, subject, sentence, ${NOW} FROM (${HOLDING}) AS holding
     ON CONFLICT (cause) WHERE over_at IS NULL DO NOTHING RETURNING id`,
    [time.at(), OVERDUE_S],
  );
  const over = await store.query(
    `UPDATE alert SET over_at = ${NOW} WHERE over_at IS NULL AND cause NOT IN (SELECT cause FROM (${HOLDING}) AS holding) RETURNING id`,
    [time.at(), OVERDUE_S],
  );
  if (channels.length === 0) return { raised: raised.length, over: over.length, told: 0 };
  const untold = await store.query<Alert>(
    `UPDATE alert SET telling_until = ${NOW} + make_interval(secs => $2), attempts = attempts + 1
     WHERE id IN (SELECT id FROM alert WHERE told_at IS NULL AND (telling_until IS NULL OR telling_until < ${NOW})
       ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED)
     RETURNING id, cause, sentence, raised_at AS "raisedAt"`,
    [time.at(), TELLING_S, MOST_AT_ONCE],
  );
  if (untold.length === 0) return { raised: raised.length, over: over.length, told: 0 };
  const answers = await Promise.allSettled(channels.map((channel) => channel.tell(untold, signal)));
  const failed = channels.filter((_, index) => answers[index]?.status === 'rejected');
  for (const [index, answer] of answers.entries())
    if (answer.status === 'rejected')
      log.warn({ err: answer.reason, channel: channels[index]?.name }, 'an alert could not be told');
  // One way is enough to have told it; that the other failed is in the log.
  if (failed.length === channels.length)
    return { raised: raised.length, over: over.length, told: 0, failing: failed.map(({ name }) => name) };
  await store.query(`UPDATE alert SET told_at = ${NOW} WHERE id = ANY($2)`, [time.at(), untold.map((one) => one.id)]);
  return { raised: raised.length, over: over.length, told: untold.length };
}
