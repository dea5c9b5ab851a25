// Trees of files: read from a folder of the host, and rendered as a tar archive (POSIX ustar with GNU long names,
// which GNU tar and busybox read). Apart because it knows nothing of Incus; the simulated twin reads trees too.
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { paddingAfter, renderTarHeader, TAR_END, TAR_NAME_BYTES } from '../../lib/tar.ts';
import type { Tree, TreeEntry } from '../fleet.ts';

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
    if (name.length > TAR_NAME_BYTES) blocks.push(...renderLongName(name, 'L'));
    if ('link' in entry) {
      const target = Buffer.from(entry.link);
      if (target.length > TAR_NAME_BYTES) blocks.push(...renderLongName(target, 'K'));
      blocks.push(renderTarHeader(name, { mode: 0o777, size: 0, type: '2', link: target }));
    } else if ('directory' in entry) {
      blocks.push(renderTarHeader(name, { mode: 0o755, ...entry, size: 0, type: '5' }));
    } else {
      const content = Buffer.from(entry.content);
      blocks.push(
        renderTarHeader(name, { mode: 0o644, ...entry, size: content.length, type: '0' }),
        ...padded(content),
      );
    }
  }
  return Buffer.concat([...blocks, TAR_END]);
}

function padded(content: Buffer): Buffer[] {
  return [content, paddingAfter(content.length)];
}

/** GNU's way to say a name that does not fit: an entry before the entry. `L` is its name, `K` its link's target. */
function renderLongName(name: Buffer, type: 'L' | 'K'): Buffer[] {
  const content = Buffer.concat([name, Buffer.alloc(1)]);
  return [renderTarHeader(Buffer.from('././@LongLink'), { mode: 0, size: content.length, type }), ...padded(content)];
}
