// What is not as it should be on a server that is heard and serves: a full disk or storage pool, a clock that is off. Apart because
// placing, the list of servers and the doctor judge it alike. Pure.
import type { ServerRow } from './store.ts';

type Looked = Pick<ServerRow, 'load' | 'clockAheadMs'>;

/** Below this share of free space nothing is placed there. */
const FULL_SHARE = 0.03;
const CLOCK_OFF_MS = 2_000;

/** What is full, and how much of it is free, 0 to 1. */
export interface FullDisk {
  /** `disk`: where its agent keeps its files. `storage pool`: where its containers lie. */
  what: 'disk' | 'storage pool';
  freeShare: number;
}

/** Undefined where there is room, or nothing is known. */
export function readFullDisk({ load }: Pick<Looked, 'load'>): FullDisk | undefined {
  if (load === undefined) return undefined;
  const { diskTotalBytes, diskFreeBytes, storageTotalBytes = 0, storageFreeBytes = 0 } = load;
  const looked: [what: FullDisk['what'], freeBytes: number, totalBytes: number][] = [
    ['disk', diskFreeBytes, diskTotalBytes],
    ['storage pool', storageFreeBytes, storageTotalBytes],
  ];
  return looked
    .filter(([, , totalBytes]) => totalBytes > 0)
    .map(([what, freeBytes, totalBytes]) => ({ what, freeShare: freeBytes / totalBytes }))
    .find(({ freeShare }) => freeShare < FULL_SHARE);
}

/** By how many seconds its clock is ahead (behind: negative) when that is too much. */
export function readClockOff({ clockAheadMs }: Pick<Looked, 'clockAheadMs'>): number | undefined {
  return Math.abs(clockAheadMs) > CLOCK_OFF_MS ? Math.round(clockAheadMs / 1000) : undefined;
}

/** `1 % of its storage pool free`. */
export const renderFullDisk = ({ what, freeShare }: FullDisk): string =>
  `${Math.round(freeShare * 100)} % of its ${what} free`;

/** A sentence for each. */
export function listFlaws(server: Looked): string[] {
  const [full, offS] = [readFullDisk(server), readClockOff(server)];
  return [
    ...(full === undefined ? [] : [`it has ${renderFullDisk(full)}: nothing new is placed there`]),
    ...(offS === undefined ? [] : [`its clock is ${Math.abs(offS)} s ${offS > 0 ? 'ahead' : 'behind'}`]),
  ];
}
