// A day's traffic in shapes that real pools have, as PHP workers that it keeps busy at each step (Little's law: requests a
// second times seconds each). Everything follows from the seed.
import { makeChance } from '../random.ts';

export const STEP_S = 10;
export const DAY_STEPS = 86_400 / STEP_S;
/** So many busy workers a node serves with its answers in time; beyond it they wait. */
export const NODE_WORKERS = 10;

export interface Day {
  name: string;
  /** Busy workers that the visitors need, step by step. */
  demand: number[];
  /** Whether a node that is made at this step comes up. */
  comesUp: (step: number) => boolean;
}

const HOUR = 3_600 / STEP_S;

/** Little at night, most at eleven, a second hill in the evening. */
function curveAt(step: number): number {
  const hour = step / HOUR;
  const hill = (at: number, width: number) => Math.exp(-((hour - at) ** 2) / (2 * width ** 2));
  return 12 + 42 * hill(11, 2.6) + 30 * hill(19.5, 1.8);
}

/** Noise that lasts some minutes and noise of each step, as counted visitors have. */
function makeNoise(seed: number, size: number): (step: number) => number {
  const chance = makeChance(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - chance.next())) * Math.cos(2 * Math.PI * chance.next());
  let slow = 0;
  return () => {
    slow = 0.95 * slow + 0.31 * normal();
    return Math.max(0.2, 1 + size * (0.7 * slow + 0.5 * normal()));
  };
}

function makeDay(
  name: string,
  seed: number,
  noise: number,
  shape: (step: number) => number,
  comesUp: Day['comesUp'] = () => true,
): Day {
  const noiseAt = makeNoise(seed, noise);
  return { name, comesUp, demand: Array.from({ length: DAY_STEPS }, (_, step) => shape(step) * noiseAt(step)) };
}

/** The five days; a seed gives them other noise. */
export function makeDays(seed: number): Day[] {
  const inside = (step: number, fromHour: number, hours: number) =>
    step >= fromHour * HOUR && step < (fromHour + hours) * HOUR;
  // Three times as many within three minutes, for half an hour, going slowly.
  const flash = (step: number) => {
    const since = step / HOUR - 15;
    if (since < 0) return 1;
    return 1 + 2 * Math.min(1, since / 0.05) * (since < 0.5 ? 1 : Math.exp(-(since - 0.5) / 0.3));
  };
  return [
    makeDay('daily curve', seed, 0.03, curveAt),
    makeDay('flash crowd', seed + 1, 0.03, (step) => curveAt(step) * flash(step)),
    makeDay('noise', seed + 2, 0.15, curveAt),
    // Each page takes longer and longer until the evening, when somebody mends it.
    makeDay('slow leak', seed + 3, 0.05, (step) => curveAt(step) * (1 + (step < 18 * HOUR ? step / (18 * HOUR) : 0))),
    makeDay('broken image', seed + 4, 0.05, curveAt, (step) => !inside(step, 8, 3)),
  ];
}
