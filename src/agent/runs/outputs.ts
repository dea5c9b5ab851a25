// What the runs of one node write: files in a file system in memory of the node, which the agent reads past the node's
// programs. Bounded: the end is kept. Offsets count all that was ever written, so that a follower need not know of the
// cutting. No link that somebody lays in the node leads out of it: each folder and file is opened as itself or not at all.
import { constants, type FileHandle, open, readdir, stat, unlink } from 'node:fs/promises';
import { OUTPUT_FOLDER } from './run-unit.ts';

/** A file larger than this is cut to its end. */
const CUT_AT_BYTES = 1024 * 1024;
const KEPT_BYTES = 64 * 1024;
/** The most that one answer to a follower carries. */
const CHUNK_BYTES = 64 * 1024;

export interface Outputs {
  /** The end of a run's output, at most `bytes` of it; empty when there is none. */
  readTail(name: string, bytes: number): Promise<string>;
  /** From an offset on, at most 64 KiB; `offset` is where to go on, later than asked when what lay there is cut. */
  read(name: string, offset: number): Promise<{ text: string; offset: number }>;
  /** Cuts it when it has grown too large. What is written in that moment may be lost. */
  cut(name: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Names of all that are there, those of an earlier agent too. */
  list(): Promise<string[]>;
  close(): Promise<void>;
}

/** The bytes of a text that begins or ends in the middle of a character, without the halves. */
export function wholeCharacters(bytes: Buffer): { start: number; end: number } {
  const isInner = (at: number) => ((bytes[at] ?? 0) & 0xc0) === 0x80;
  let start = 0;
  while (start < bytes.length && start < 3 && isInner(start)) start++;
  let last = bytes.length - 1;
  while (last > start && last > bytes.length - 4 && isInner(last)) last--;
  const lead = bytes[last] ?? 0;
  const wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  return { start, end: last >= start && last + wanted > bytes.length ? last : bytes.length };
}

const { O_RDONLY, O_RDWR, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_APPEND } = constants;
const inside = (folder: FileHandle, name: string): string => `/proc/self/fd/${folder.fd}/${name}`;

/** Opens a folder below `root` part by part, none of them a link. */
async function openFolder(root: string, path: string): Promise<FileHandle> {
  let folder = await open(root, O_RDONLY | O_DIRECTORY);
  for (const part of path.split('/').filter((each) => each !== '')) {
    try {
      const next = await open(inside(folder, part), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      await folder.close();
      folder = next;
    } catch (thrown) {
      await folder.close();
      throw thrown;
    }
  }
  return folder;
}

function unlessAbsent(thrown: unknown): undefined {
  if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  return undefined;
}

/** The outputs of a node; `root` is its root folder as this machine sees it, for instance `/proc/4711/root`. */
export function makeOutputs(root: string): Outputs {
  /** How much was cut off the beginning of a file. */
  const cutBytes = new Map<string, number>();
  let mounted: FileHandle | undefined;

  /** Undefined before the node's first run, with which it is mounted. */
  async function withFolder<T>(use: (folder: FileHandle) => Promise<T>): Promise<T | undefined> {
    if (mounted !== undefined) return await use(mounted);
    const folder = await openFolder(root, OUTPUT_FOLDER).catch(unlessAbsent);
    if (folder === undefined) return undefined;
    // Between the making of the folder and its mounting it is there and stays empty for ever: only a mount is kept open.
    const [own, above] = [await folder.stat(), await stat(inside(folder, '..'))];
    if (own.dev !== above.dev && mounted === undefined) mounted = folder;
    try {
      return await use(folder);
    } finally {
      if (mounted !== folder) await folder.close();
    }
  }

  const openFile = (name: string, flags: number): Promise<FileHandle | undefined> =>
    withFolder((folder) => open(inside(folder, name), flags | O_NOFOLLOW | O_NONBLOCK).catch(unlessAbsent));

  async function withFile<T>(name: string, flags: number, otherwise: T, use: (file: FileHandle) => Promise<T>) {
    const file = await openFile(name, flags);
    if (file === undefined) return otherwise;
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  }

  async function readAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await file.read(buffer, 0, length, at);
    return buffer.subarray(0, bytesRead);
  }

  return {
    readTail: (name, bytes) =>
      withFile(name, O_RDONLY, '', async (file) => {
        const { size } = await file.stat();
        const tail = await readAt(file, Math.max(0, size - bytes), Math.min(size, bytes));
        const start = size > bytes ? wholeCharacters(tail).start : 0;
        return tail.toString('utf8', start);
      }),
    read: (name, offset) =>
      withFile(name, O_RDONLY, { text: '', offset }, async (file) => {
        const cut = cutBytes.get(name) ?? 0;
        const { size } = await file.stat();
        const at = Math.min(Math.max(0, offset - cut), size);
        const bytes = await readAt(file, at, Math.min(CHUNK_BYTES, size - at));
        const start = at + cut > offset ? wholeCharacters(bytes).start : 0;
        // Half a character at the end waits for its other half, unless nothing else is left.
        const { end } = wholeCharacters(bytes);
        const used = end > start ? end : bytes.length;
        return { text: bytes.toString('utf8', start, used), offset: cut + at + used };
      }),
    cut: (name) =>
      withFile(name, O_RDWR | O_APPEND, undefined, async (file) => {
        const { size } = await file.stat();
        if (size <= CUT_AT_BYTES) return;
        const kept = await readAt(file, size - KEPT_BYTES, KEPT_BYTES);
        await file.truncate(0);
        await file.appendFile(kept);
        cutBytes.set(name, (cutBytes.get(name) ?? 0) + size - kept.length);
      }),
    async remove(name) {
      cutBytes.delete(name);
      await withFolder((folder) => unlink(inside(folder, name)).catch(unlessAbsent));
    },
    async list() {
      return (await withFolder((folder) => readdir(inside(folder, '.')))) ?? [];
    },
    async close() {
      await mounted?.close();
      mounted = undefined;
    },
  };
}
