// Loads the others' packages from this folder's own node_modules, which the benchmark installs at its first use: they never enter
// the product's. Their types are therefore not known here; each adapter says what it uses.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const require = createRequire(join(import.meta.dirname, 'package.json'));

/** A package of this folder. */
export function load<T>(name: string): T {
  return require(name) as T;
}

/** The same for one that is only there as an ES module. */
export async function importPeer<T>(name: string): Promise<T> {
  return (await import(require.resolve(name))) as T;
}

/** Installs what package-lock.json says, unless it is there. */
export async function installPeers(): Promise<void> {
  if (existsSync(join(import.meta.dirname, 'node_modules/.package-lock.json'))) return;
  const npm = join(dirname(process.execPath), 'npm');
  const argv = ['ci', '--prefix', import.meta.dirname, '--no-audit', '--no-fund', '--ignore-scripts'];
  await promisify(execFile)(existsSync(npm) ? npm : 'npm', argv, { timeout: 300_000 });
}

export async function readPeerVersion(name: string): Promise<string> {
  const text = await readFile(join(import.meta.dirname, 'node_modules', name, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
