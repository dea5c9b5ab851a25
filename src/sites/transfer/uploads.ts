// Files that people send to be imported, on the controller's own disk: begun, sent piece by piece (a piece that was lost is sent
// again, one after a break goes on where it broke), used by an import or forgotten after a day. The file is all the state.
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rm, stat, statfs, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { serverProblems } from '../../servers/problems.ts';
import { transferProblems } from './problems.ts';

/** Uploads that nobody touched for so long are removed. */
const KEPT_MS = 24 * 3_600_000;
const MB = 2 ** 20;
/** What the controller's own disk must have left beside an upload. */
const RESERVE_MB = 512;

export interface Upload {
  id: string;
  bytes: number;
}

/** Begins an upload of so many bytes; refused when the disk has no room for them. */
export async function beginUpload(folder: string, bytes: number): Promise<Upload> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { bavail, bsize } = await statfs(folder);
  const freeMb = Math.floor((bavail * bsize) / MB);
  const neededMb = Math.ceil(bytes / MB) + RESERVE_MB;
  if (freeMb < neededMb) throw serverProblems.make('no-disk', { neededMb, freeMb, where: "the controller's own disk" });
  const id = `u${randomBytes(12).toString('hex')}`;
  await (await open(pathOfUpload(folder, id), 'wx', 0o600)).close();
  return { id, bytes: 0 };
}

/** What has come. */
export async function readUpload(folder: string, id: string): Promise<Upload> {
  const found = await stat(pathOfUpload(folder, id)).catch(() => undefined);
  if (found === undefined) throw transferProblems.make('no-upload', { id });
  return { id, bytes: found.size };
}

/** Adds a piece at the end; the same piece once more changes nothing. */
export async function writePiece(folder: string, id: string, offset: number, piece: Uint8Array): Promise<Upload> {
  const { bytes } = await readUpload(folder, id);
  if (offset > bytes) throw transferProblems.make('wrong-offset', { id, offset, bytes });
  const file = await open(pathOfUpload(folder, id), 'r+');
  try {
    await file.write(piece, 0, piece.length, offset);
  } finally {
    await file.close();
  }
  return readUpload(folder, id);
}

/** Removes it; one that is gone is fine. */
export async function removeUpload(folder: string, id: string): Promise<void> {
  await rm(pathOfUpload(folder, id), { force: true });
}

/** It is still needed: its day begins anew. */
export async function touchUpload(folder: string, id: string, clock: Clock): Promise<void> {
  const now = new Date(clock.nowMs());
  await utimes(pathOfUpload(folder, id), now, now).catch(() => undefined);
}

/** Removes those that nobody touched for a day. */
export async function removeOldUploads(folder: string, clock: Clock): Promise<{ removed: number }> {
  const ids = await readdir(folder).catch(() => []);
  let removed = 0;
  for (const id of ids) {
    const { mtimeMs } = await stat(join(folder, id));
    if (clock.nowMs() - mtimeMs < KEPT_MS) continue;
    await rm(join(folder, id), { force: true });
    removed += 1;
  }
  return { removed };
}

/** Where it lies; an id that is none is told as one that is not there. */
export function pathOfUpload(folder: string, id: string): string {
  if (/^u[0-9a-f]{24}$/.test(id)) return join(folder, id);
  throw transferProblems.make('no-upload', { id });
}
