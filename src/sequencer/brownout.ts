// Overload: when pressure stays high everywhere, intervals stretch, bulk first, then normal, urgent last; when it is over
// they relax by themselves. Nothing is dropped: every task shows how far it is stretched and why.
import type { SequencerParts } from './parts.ts';
import type { TaskClass } from './settings.ts';
import { NOW } from './time.ts';

/** By how much each class's intervals are stretched at each level. */
const STRETCH: readonly Readonly<Record<TaskClass, number>>[] = [
  { urgent: 1, normal: 1, bulk: 1 },
  { urgent: 1, normal: 1, bulk: 3 },
  { urgent: 1, normal: 3, bulk: 12 },
  { urgent: 2, normal: 6, bulk: 24 },
];
export const MOST_BROWNOUT = STRETCH.length - 1;

export function stretchOf(level: number, taskClass: TaskClass): number {
  return STRETCH[level]?.[taskClass] ?? 1;
}

/** Every server above this (percent): a level more. Below the lower one at some server: a level less. */
const HIGH_PRESSURE = 80;
const LOW_PRESSURE = 50;
/** Pressure is a mean of ten seconds already; it must stay so for this long before anything changes. */
const RISE_AFTER_S = 30;
const FALL_AFTER_S = 60;

export interface FleetLoad {
  /** Of every server with a fresh heartbeat the highest of its pressures, percent. */
  pressures: readonly number[];
  /** Runs that waited for a slot for longer than a minute. */
  late: number;
}

/** The level that the load asks for next to the present one: one up, one down, or the same. */
export function wishLevel(level: number, load: FleetLoad): { level: number; reason: string } {
  const least = Math.min(...load.pressures);
  if (load.pressures.length === 0) return { level, reason: 'no server reports' };
  if (least > HIGH_PRESSURE && level < MOST_BROWNOUT)
    return {
      level: level + 1,
      reason: `all servers over ${HIGH_PRESSURE} % pressure (the least has ${least.toFixed(0)} %)`,
    };
  if (least < LOW_PRESSURE && level > 0) {
    const next = level - 1;
    return {
      level: next,
      reason: next === 0 ? 'full service' : `pressure falls (the least has ${least.toFixed(0)} %)`,
    };
  }
  return { level, reason: '' };
}

interface StateRow {
  level: number;
  wish: number;
  wishAgeS: number;
}

/** Looks once: changes the level when the wish for another one has lasted, and moves the due times of what it touches. */
export async function runBrownout(parts: SequencerParts): Promise<{ level: number; reason: string }> {
  const { store, events, time, settings } = parts;
  return store.transaction(async (sql) => {
    const [state] = await sql.query<StateRow>(
      `SELECT brownout AS level, wish, extract(epoch FROM ${NOW} - wish_since)::float8 AS "wishAgeS" FROM fleet_state FOR UPDATE`,
      [time.at()],
    );
    if (state === undefined) return { level: 0, reason: 'full service' };
    const servers = await sql.query<{ pressure: number }>(
      `SELECT greatest(cpu_pressure, memory_pressure, io_pressure) AS pressure FROM run_server
       WHERE beat_at > ${NOW} - make_interval(secs => $2)`,
      [time.at(), settings.freshMs / 1000],
    );
    const wish = wishLevel(state.level, { pressures: servers.map((one) => one.pressure), late: 0 });
    if (wish.level !== state.wish)
      await sql.query(`UPDATE fleet_state SET wish = $2, wish_since = ${NOW}`, [time.at(), wish.level]);
    const lasted =
      wish.level === state.wish && state.wishAgeS >= (wish.level > state.level ? RISE_AFTER_S : FALL_AFTER_S);
    if (wish.level === state.level || !lasted) return { level: state.level, reason: wish.reason };

    await sql.query(
      `UPDATE fleet_state SET brownout = $2, brownout_reason = $3, brownout_since = ${NOW}, wish_since = ${NOW}`,
      [time.at(), wish.level, wish.reason],
    );
    for (const name of ['urgent', 'normal', 'bulk'] as const) {
      const stretch = stretchOf(wish.level, name);
      if (stretch === stretchOf(state.level, name)) continue;
      await sql.query(
        `UPDATE task SET next_at = to_timestamp((floor((extract(epoch FROM ${NOW}) - offset_s) / (every_s * $2)) + 1) * every_s * $2 + offset_s)
         WHERE class = $3 AND every_s IS NOT NULL AND next_at > ${NOW} AND broken_until IS NULL`,
        [time.at(), stretch, name],
      );
    }
    const kind = wish.level > state.level ? 'brownout.deeper' : 'brownout.lighter';
    await events.append(sql, {
      kind,
      subject: 'fleet',
      by: 'sequencer',
      reason: wish.reason,
      data: { level: wish.level },
    });
    return wish;
  }, 'read committed');
}
