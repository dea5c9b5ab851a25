// Judges what the workers themselves wrote down, and nothing that a queue says about itself.
import { readFile } from 'node:fs/promises';
import type { DiaryLine } from './worker.ts';

export interface Judged {
  /** Jobs that never came to their end. */
  lost: number;
  /** Jobs that came to their end more than once. */
  twice: number;
  /** Jobs of which two attempts were at work at the same time. */
  overlaps: number;
  /** Of the given jobs: from the moment on to the last of their second beginnings, seconds; undefined when one had none. */
  recoveryS: number | undefined;
}

export async function readDiary(path: string): Promise<DiaryLine[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line.endsWith(']'))
    .map((line) => JSON.parse(line) as DiaryLine);
}

/** `inHand`: the jobs that the victim had, by the moment `fromMs` (Unix time). */
export function judgeDiary(
  lines: readonly DiaryLine[],
  keys: readonly number[],
  inHand: readonly number[],
  fromMs: number,
): Judged {
  const byKey = Map.groupBy(lines, ([, key]) => key);
  const count = (key: number, what: DiaryLine[0]) => (byKey.get(key) ?? []).filter(([one]) => one === what).length;
  const again = inHand.map((key) => {
    const later = (byKey.get(key) ?? []).filter(([what, , , atMs]) => what === 'begin' && atMs > fromMs);
    return later.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...later.map(([, , , atMs]) => atMs));
  });
  const last = Math.max(fromMs, ...again);
  return {
    lost: keys.filter((key) => count(key, 'end') === 0).length,
    twice: keys.filter((key) => count(key, 'end') > 1).length,
    overlaps: keys.filter((key) => overlap(byKey.get(key) ?? [])).length,
    recoveryS: Number.isFinite(last) ? (last - fromMs) / 1000 : undefined,
  };
}

/** Whether an attempt of one process began and another's, which began before, still came to its end after that. */
function overlap(lines: readonly DiaryLine[]): boolean {
  const sorted = [...lines].sort((a, b) => a[3] - b[3]);
  return sorted.some(
    ([what, , process, atMs], index) =>
      what === 'begin' &&
      sorted
        .slice(0, index)
        .some(
          ([first, , other]) =>
            first === 'begin' &&
            other !== process &&
            sorted.some(([end, , own, endMs]) => end === 'end' && own === other && endMs > atMs),
        ),
  );
}
