// The cheapest schedule that would have kept the bound: known only afterwards, with the whole day before one's eyes. Each size
// is kept for a calm time at least, as the scaler must, and is enough at every step. By dynamic programming over (size, for how
// long it has been kept).
import { NODE_WORKERS, STEP_S } from './traffic.ts';

/** Node seconds of that schedule; with `calmS` 0 of the one that follows every step, which no scaler could. */
export function findCheapest(demand: readonly number[], rules: { min: number; max: number; calmS: number }): number {
  const { min, max, calmS } = rules;
  const calm = Math.max(1, Math.round(calmS / STEP_S));
  const sizes = max - min + 1;
  const never = Number.POSITIVE_INFINITY;
  // kept[size × calm + age]: the least cost so far, with that size for age + 1 steps (the last: or longer).
  let kept = new Float64Array(sizes * calm).fill(never);
  let first = true;
  for (const load of demand) {
    const needed = Math.min(max, Math.max(min, Math.ceil(load / NODE_WORKERS)));
    const next = new Float64Array(sizes * calm).fill(never);
    let free = first ? 0 : never;
    for (let size = 0; size < sizes; size += 1) free = Math.min(free, kept[size * calm + calm - 1] ?? never);
    for (let size = needed - min; size < sizes; size += 1) {
      const at = size * calm;
      const cost = (size + min) * STEP_S;
      next[at] = free + cost;
      for (let age = 1; age < calm; age += 1)
        next[at + age] = Math.min(next[at + age] ?? never, (kept[at + age - 1] ?? never) + cost);
      const last = at + calm - 1;
      next[last] = Math.min(next[last] ?? never, (kept[last] ?? never) + cost);
    }
    kept = next;
    first = false;
  }
  return Math.min(...kept);
}
