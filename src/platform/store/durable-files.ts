// Makes PGlite's data directory survive a power cut. As it comes, PGlite runs with fsync off, and its file system has no
// fsync: a killed process loses nothing, a machine that loses power may lose the database. Apart to keep that in one place.
import { fsyncSync } from 'node:fs';
import { mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { NodeFS } from '@electric-sql/pglite/nodefs';

type InitOptions = Parameters<NodeFS['init']>[1];

/** What Emscripten's own file systems may have and NODEFS lacks (emscripten, src/lib/libfs.js). */
interface SyncingModule {
  NODEFS: { stream_ops: { fsync?: (stream: { nfd?: number }) => number } };
}

/** PGlite's files in a real directory, with an fsync that reaches the disk. */
export class DurableFs extends NodeFS {
  override async init(pg: PGlite, options: InitOptions): ReturnType<NodeFS['init']> {
    const { emscriptenOpts } = await super.init(pg, options);
    const addFsync = (module: unknown) => {
      (module as SyncingModule).NODEFS.stream_ops.fsync = ({ nfd }) => {
        // Directories have no file descriptor here; their entries are synced when the directory is made (below).
        if (nfd !== undefined) fsyncSync(nfd);
        return 0;
      };
    };
    return { emscriptenOpts: { ...emscriptenOpts, preRun: [...(emscriptenOpts.preRun ?? []), addFsync] } };
  }
}

/** PGlite's own parameters, but with fsync on. The default `fdatasync` is an empty function in PGlite's build. */
export function makeDurableStartParams(): string[] {
  return [...PGlite.defaultStartParams.filter((param) => param !== '-F'), '-c', 'wal_sync_method=fsync'];
}

/** Makes the directory, for its owner only; true when it is new or empty. */
export async function makeDataDir(dataDir: string): Promise<boolean> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  return (await readdir(dataDir)).length === 0;
}

/** Puts everything below a directory on the disk: for a database that has just been made, which is not synced by itself. */
export async function syncTree(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() || entry.isDirectory()) await syncPath(join(entry.parentPath, entry.name));
  }
  await syncPath(dir);
}

async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
