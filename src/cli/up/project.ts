// The project's own folder, version and build. Apart because every start needs the version, and nothing heavy with it.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

/** The project's folder. */
export function projectDirOf(): string {
  return resolve(import.meta.dirname, '../../..');
}

/** What the code is: version and, in a git checkout, its commit. Both daemons are started anew when it changes. */
export async function readBuild(projectDir: string): Promise<string> {
  const read = (path: string) => readFile(resolve(projectDir, path), 'utf8').catch(() => '');
  // In a further worktree `.git` is a file that names the folder of its HEAD, which names the folder of the branches.
  const own = /^gitdir: (.+)$/m.exec(await read('.git'))?.[1] ?? '.git';
  const shared = join(own, (await read(join(own, 'commondir'))).trim());
  const head = (await read(join(own, 'HEAD'))).trim();
  const ref = /^ref: (.+)$/.exec(head)?.[1];
  const packed =
    ref === undefined
      ? ''
      : (new RegExp(`^([0-9a-f]{40}) ${ref}$`, 'm').exec(await read(join(shared, 'packed-refs')))?.[1] ?? '');
  const commit = ref === undefined ? head : (await read(join(shared, ref))).trim() || packed;
  const lock = createHash('sha256')
    .update(await read('package-lock.json'))
    .digest('hex');
  return `${await readVersion(projectDir)}+${commit.slice(0, 12) || 'no-commit'}.${lock.slice(0, 8)}`;
}

/** The project's version. */
export async function readVersion(projectDir: string): Promise<string> {
  return (JSON.parse(await readFile(join(projectDir, 'package.json'), 'utf8')) as { version: string }).version;
}
