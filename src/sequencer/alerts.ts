// What people must know, told once for each cause until it is over: tasks that need attention, ticks that are overdue, brownout.
// Level-triggered: what holds is compared with what is open. Wrong is a cause without its alert, or an alert nobody was told of.
import type { Sql } from '../platform/store.ts';
import type { SequencerParts } from './parts.ts';
import { NOW } from './time.ts';

export interface Alert {
  id: number;
  /** `task:ID`, `overdue:ID`, `brownout`. */
  cause: string;
  sentence: string;
  raisedAt: string;
}

/** A way to tell people. Throws when it failed; then it is told again later. */
export interface AlertChannel {
  readonly name: string;
  tell(alerts: readonly Alert[], signal: AbortSignal): Promise<void>;
}

/** A tick that is older is overdue unless its task says otherwise; of a run that waits, its interval comes on top. */
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
  WHERE run.state = 'queued' AND run.attempt = 1 AND run.due_at < ${NOW} - make_interval(secs => coalesce(task.overdue_after_s, $2 + coalesce(task.every_s, 0)))
  UNION ALL
  SELECT 'overdue:' || task.id, site.name || '/' || task.name, site.name || '/' || task.name || ' is overdue: its ticks are not made'
  FROM task JOIN site ON site.id = task.site WHERE task.next_at < ${NOW} - make_interval(secs => coalesce(task.overdue_after_s, $2))
    -- What makes up for every missed tick is late by intention; whoever names a bound wants to hear of it all the same.
    AND (task.missed <> 'all' OR task.overdue_after_s IS NOT NULL)
  UNION ALL
  SELECT 'brownout', 'fleet', 'intervals of tasks are stretched: ' || brownout_reason FROM fleet_state WHERE brownout > 0`;

/** Looks once: raises, closes, tells. */
export async function runAlerts(
  parts: SequencerParts,
  channels: readonly AlertChannel[],
  signal: AbortSignal,
): Promise<{ raised: number; over: number; told: number; failing: string[] }> {
  const { store, time, log } = parts;
  const raised = await store.query(
    `INSERT INTO alert (cause, subject, sentence, raised_at)
     SELECT DISTINCT ON (cause) cause, subject, sentence, ${NOW} FROM (${HOLDING}) AS holding
     WHERE NOT EXISTS (SELECT FROM alert WHERE alert.cause = holding.cause AND alert.over_at IS NULL)
     ON CONFLICT (cause) WHERE over_at IS NULL DO NOTHING RETURNING id`,
    [time.at(), OVERDUE_S],
  );
  const over = await store.query(
    `UPDATE alert SET over_at = ${NOW} WHERE over_at IS NULL AND cause NOT IN (SELECT cause FROM (${HOLDING}) AS holding) RETURNING id`,
    [time.at(), OVERDUE_S],
  );
  const outcomes = await Promise.all(
    channels.map(async (channel) => {
      try {
        return { told: await tellBy(parts, channel, signal), failing: [] };
      } catch (thrown) {
        log.warn({ err: thrown, channel: channel.name }, 'an alert could not be told; it is tried again');
        return { told: 0, failing: [channel.name] };
      }
    }),
  );
  return {
    ...{ raised: raised.length, over: over.length, told: outcomes.reduce((sum, one) => sum + one.told, 0) },
    failing: outcomes.flatMap(({ failing }) => failing),
  };
}

/** Tells what is open and this channel has not told. Claimed first, so that two controllers do not tell it twice. */
async function tellBy({ store, time }: SequencerParts, channel: AlertChannel, signal: AbortSignal): Promise<number> {
  const untold = await store.query<Alert>(
    `WITH claimed AS (
       INSERT INTO alert_telling (alert, channel, telling_until)
       SELECT alert.id, $2, ${NOW} + make_interval(secs => $3) FROM alert
       LEFT JOIN alert_telling AS before ON before.alert = alert.id AND before.channel = $2
       WHERE alert.over_at IS NULL AND (before.alert IS NULL OR (before.told_at IS NULL AND before.telling_until < ${NOW}))
       ORDER BY alert.id LIMIT $4
       ON CONFLICT (alert, channel) DO UPDATE SET telling_until = excluded.telling_until,
         attempts = alert_telling.attempts + 1
         WHERE alert_telling.told_at IS NULL AND alert_telling.telling_until < ${NOW}
       RETURNING alert
     )
     SELECT id, cause, sentence, raised_at AS "raisedAt" FROM alert WHERE id IN (SELECT alert FROM claimed) ORDER BY id`,
    [time.at(), channel.name, TELLING_S, MOST_AT_ONCE],
  );
  if (untold.length === 0) return 0;
  await channel.tell(untold, signal);
  await store.query(`UPDATE alert_telling SET told_at = ${NOW} WHERE channel = $2 AND alert = ANY($3)`, [
    time.at(),
    channel.name,
    untold.map((one) => one.id),
  ]);
  return untold.length;
}

/** An alert as people see it. */
export interface AlertRow {
  id: number;
  cause: string;
  subject: string;
  sentence: string;
  raisedAt: string;
  overAt: string | null;
  /** By which ways people were told. */
  toldBy: string[];
}

/** A page of alerts, the newest first; `before` is the id to go on from. */
export function listAlerts(
  sql: Sql,
  page: { before: number | null; limit: number; open: boolean },
): Promise<AlertRow[]> {
  return sql.query<AlertRow>(
    `SELECT id, cause, subject, sentence, raised_at AS "raisedAt", over_at AS "overAt",
       ARRAY(SELECT channel FROM alert_telling WHERE alert = alert.id AND told_at IS NOT NULL ORDER BY channel) AS "toldBy"
     FROM alert WHERE ($1::bigint IS NULL OR id < $1) AND (NOT $3 OR over_at IS NULL) ORDER BY id DESC LIMIT $2`,
    [page.before, page.limit, page.open],
  );
}
