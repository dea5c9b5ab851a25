// What the processes of tasks wrote down themselves, and nothing that the controller says: each process its beginning and, when it
// got that far, its end. The checker judges by this alone; times are one true time that no program in the simulation sees.

export interface DiaryEntry {
  task: string;
  overlapKey: string;
  server: string;
  beganMs: number;
  /** The last moment at which the process did anything: its end, or when it was killed or froze for good. */
  lastMs: number;
  /** Came to its end by itself. */
  whole: boolean;
}

/** Pairs of processes of one overlap key that were alive at the same time. */
export function listOverlaps(diary: readonly DiaryEntry[]): [DiaryEntry, DiaryEntry][] {
  const found: [DiaryEntry, DiaryEntry][] = [];
  for (const own of Map.groupBy(diary, (entry) => entry.overlapKey).values()) {
    const sorted = [...own].sort((a, b) => a.beganMs - b.beganMs);
    let last: DiaryEntry | undefined;
    for (const entry of sorted) {
      if (last !== undefined && entry.beganMs < last.lastMs) found.push([last, entry]);
      if (last === undefined || entry.lastMs > last.lastMs) last = entry;
    }
  }
  return found;
}

/**
 * Due times without a process, in the manner of the analysis of Chronos: each process is matched to the due time it can have
 * served (begun from then on, within the bound), each at most once. `excused`: due times that were recorded as skipped or
 * ended without a process. Returns the due times that nothing accounts for.
 */
export function listUnserved(
  due: readonly number[],
  began: readonly number[],
  excused: ReadonlySet<number>,
  boundMs: number,
): number[] {
  const free = [...began].sort((a, b) => a - b);
  return [...due]
    .sort((a, b) => a - b)
    .filter((at) => {
      if (excused.has(at)) return false;
      const index = free.findIndex((one) => one >= at && one <= at + boundMs);
      if (index >= 0) free.splice(index, 1);
      return index < 0;
    });
}
