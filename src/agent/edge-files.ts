// The files of one edge's directory, written so that a reader and a power cut see the old text or the new one.
// Apart from the applier, which decides what to write and when.
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { edgeFiles } from '../engines/haproxy/layout.ts';

export interface EdgeFiles {
  /** Makes the folders, for root only: the sockets and the certificates' keys lie here. */
  prepare(): Promise<void>;
  /** The text, or undefined when there is no such file. */
  read(name: string): Promise<string | undefined>;
  /** Writes the file when its text is another one; true when it did. */
  write(name: string, text: string): Promise<boolean>;
  /** Changes whenever a certificate does; undefined when there is none. */
  readCertificates(): Promise<string | undefined>;
}

/** `dir`: the directory on the host that is /etc/espalier-edge in the container. */
export function makeEdgeFiles(dir: string): EdgeFiles {
  const read = (name: string) =>
    readFile(join(dir, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });

  return {
    async prepare() {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      const folders = [dirname(edgeFiles.hostsMap), edgeFiles.pages, edgeFiles.certificates];
      for (const folder of folders) await mkdir(join(dir, folder), { recursive: true, mode: 0o700 });
    },
    read,
    async write(name, text) {
      if ((await read(name)) === text) return false;
      const path = join(dir, name);
      const draft = join(dirname(path), `.${name.replaceAll('/', '-')}.draft`);
      const file = await open(draft, 'w', 0o600);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(draft, path);
      const folder = await open(dirname(path));
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
      return true;
    },
    async readCertificates() {
      const folder = join(dir, edgeFiles.certificates);
      const names = (await readdir(folder)).filter((name) => name.endsWith('.pem')).sort();
      if (names.length === 0) return undefined;
      const hash = createHash('sha256');
      for (const name of names) {
        const { size, mtimeMs } = await stat(join(folder, name));
        hash.update(`${name} ${size} ${mtimeMs}\n`);
      }
      return hash.digest('hex');
    },
  };
}
