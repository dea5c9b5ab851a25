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
  const read = (path: string) => readFile(join(projectDir, path), 'utf8').catch(() => '');
  const head = (await read('.git/HEAD')).trim();
  const ref = /^ref: (.+)$/.exec(head)?.[1];
  const packed =
    ref === undefined
      ? ''
      : (new RegExp(`^([0-9a-f]{40}) ${ref}$`, 'm').exec(await read('.git/packed-refs'))?.[1] ?? '');
  const commit = ref === undefined ? head : (await read(join('.git', ref))).trim() || packed;
  const lock = createHash('sha256')
    .update(await read('package-lock.json'))
    .digest('hex');
  return `${await readVersion(projectDir)}+${commit.slice(0, 12) || 'no-commit'}.${lock.slice(0, 8)}`;
}

/** The project's version. */
export async function readVersion(projectDir: string): Promise<string> {
  return (JSON.parse(await readFile(join(projectDir, 'package.json'), 'utf8')) as { version: string }).version;
}
