// The file with the keys that secrets are encrypted with: made at the first start, for its owner only, outside the
// database. Apart from secrets.ts, which never sees the file.
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { secretProblems } from './secret-problems.ts';

/** Where a controller keeps it. */
export const keyFileOf = (dataDir: string): string => join(dataDir, 'secret.key');

const keyFileSchema = z.object({
  current: z.string(),
  /** 32 bytes each, base64. */
  keys: z.record(z.string(), z.base64()),
});

/** New secrets are encrypted with `current`; older ones name their key. */
export interface KeyRing {
  current: string;
  keys: ReadonlyMap<string, Buffer>;
}

/** Undefined when there is no file. Throws `secrets.key-file-open` and `secrets.key-file-broken`. */
export async function readKeyRing(path: string): Promise<KeyRing | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) throw secretProblems.make('key-file-open', { path, mode: (mode & 0o777).toString(8) });
  return parseKeyRing(path, text);
}

function parseKeyRing(path: string, text: string): KeyRing {
  try {
    const { current, keys } = keyFileSchema.parse(JSON.parse(text));
    const ring = new Map(Object.entries(keys).map(([id, key]) => [id, Buffer.from(key, 'base64')]));
    if (!ring.has(current) || [...ring.values()].some((key) => key.length !== 32)) throw new Error('a key is missing');
    return { current, keys: ring };
  } catch (error) {
    throw secretProblems.make('key-file-broken', { path }, error);
  }
}

/** The ring with one more key, which is the current one. */
export function addKey(ring: KeyRing | undefined): KeyRing {
  const current = `k${randomBytes(4).toString('hex')}`;
  return { current, keys: new Map([...(ring?.keys ?? []), [current, randomBytes(32)]]) };
}

/** Writes the ring, whole or not at all. `fresh`: fails with EEXIST when there is a file already. */
export async function writeKeyRing(path: string, ring: KeyRing, mode: 'fresh' | 'replace'): Promise<void> {
  const keys = Object.fromEntries([...ring.keys].map(([id, key]) => [id, key.toString('base64')]));
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await mkdir(dirname(path), { recursive: true });
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ current: ring.current, keys }, null, 2)}\n`);
    await file.sync();
    await (mode === 'fresh' ? link(draft, path) : rename(draft, path));
  } finally {
    await file.close();
    await rm(draft, { force: true });
  }
}
