// Trees of files: read from a folder of the host, and rendered as a tar archive (POSIX ustar with GNU long names,
// which GNU tar and busybox read). Apart because it knows nothing of Incus; the simulated twin reads trees too.
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Tree, TreeEntry } from '../fleet.ts';

const BLOCK = 512;
/** Longest name that fits in a ustar header. */
const NAME_BYTES = 100;

/** The entries of a tree, in order of their paths. Of a folder's own folders only the empty ones are entries. */
export async function readTree(tree: Tree): Promise<TreeEntry[]> {
  return 'entries' in tree ? [...tree.entries] : await readFolder(tree.folder, '');
}

async function readFolder(top: string, below: string): Promise<TreeEntry[]> {
  const entries: TreeEntry[] = [];
  for (const name of (await readdir(join(top, below))).sort()) {
    const path = below === '' ? name : `${below}/${name}`;
    const stat = await lstat(join(top, path));
    const mode = stat.mode & 0o7777;
    if (stat.isSymbolicLink()) {
      entries.push({ path, link: await readlink(join(top, path)) });
    } else if (stat.isDirectory()) {
      const inner = await readFolder(top, path);
      entries.push(...(inner.length > 0 ? inner : [{ path, directory: true as const, mode }]));
    } else if (stat.isFile()) {
      entries.push({ path, content: await readFile(join(top, path)), mode });
    }
  }
  return entries;
}

/** Entries as a tar archive, each path below `to` (an absolute folder), to be unpacked at `/`. Times are 0. */
export function renderTar(entries: readonly TreeEntry[], to: string): Buffer {
  const below = to.replace(/^\/+|\/+$/g, '');
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    const path = [below, entry.path.replace(/^\/+/, '')].filter((part) => part !== '').join('/');
    if (path.split('/').includes('..')) throw new RangeError(`${entry.path} leads out of its tree`);
    const name = Buffer.from('directory' in entry ? `${path}/` : path);
    if (name.length > NAME_BYTES) blocks.push(...renderLongName(name, 'L'));
    if ('link' in entry) {
      const target = Buffer.from(entry.link);
      if (target.length > NAME_BYTES) blocks.push(...renderLongName(target, 'K'));
      blocks.push(renderHeader(name, { mode: 0o777, size: 0, type: '2', link: target }));
    } else if ('directory' in entry) {
      blocks.push(renderHeader(name, { mode: 0o755, ...entry, size: 0, type: '5' }));
    } else {
      const content = Buffer.from(entry.content);
      blocks.push(renderHeader(name, { mode: 0o644, ...entry, size: content.length, type: '0' }), ...padded(content));
    }
  }
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

function padded(content: Buffer): Buffer[] {
  return [content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)];
}

/** GNU's way to say a name that does not fit: an entry before the entry. `L` is its name, `K` its link's target. */
function renderLongName(name: Buffer, type: 'L' | 'K'): Buffer[] {
  const content = Buffer.concat([name, Buffer.alloc(1)]);
  return [renderHeader(Buffer.from('././@LongLink'), { mode: 0, size: content.length, type }), ...padded(content)];
}

interface Header {
  mode?: number;
  uid?: number;
  gid?: number;
  size: number;
  type: string;
  link?: Buffer;
}

/** Field offsets and lengths are those of POSIX.1-1988 ustar. */
function renderHeader(name: Buffer, about: Header): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  name.copy(header, 0, 0, NAME_BYTES);
  octal(about.mode ?? 0, 100, 8);
  octal(about.uid ?? 0, 108, 8);
  octal(about.gid ?? 0, 116, 8);
  octal(about.size, 124, 12);
  octal(0, 136, 12);
  header.write(about.type, 156, 'latin1');
  about.link?.copy(header, 157, 0, NAME_BYTES);
  header.write('ustar\0' + '00', 257, 'latin1');
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
