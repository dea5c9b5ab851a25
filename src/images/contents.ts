// What is in an image: its packages and its files, how two of them differ, and how the files are packed into the store.
// Apart because it is pure but for the reading, and seeds are compared by it too.
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { Fleet, ListedFile } from '../engines/fleet.ts';

/** Where a system keeps what belongs to one boot, or can be made anew: no part of what an image is. */
const SKIPPED = [
  ...['/proc', '/sys', '/dev', '/run', '/tmp', '/var/tmp', '/var/log', '/var/cache', '/var/lib/apt/lists'],
  ...[
    '/var/lib/systemd',
    '/var/lib/private',
    '/root/.cache',
    '/srv/content',
    '/etc/espalier',
    '/var/lib/espalier/sites',
  ],
];
/** Files that every boot or every installation writes anew. */
const VOLATILE = new Set([
  ...['/etc/machine-id', '/etc/hostname', '/etc/resolv.conf', '/etc/hosts', '/etc/.pwd.lock', '/etc/.updated'],
  ...[
    '/var/lib/dbus/machine-id',
    '/var/.updated',
    '/root/.bash_history',
    '/var/lib/dpkg/lock',
    '/var/lib/apt/daily_lock',
  ],
]);
/** Of SHA-256 this many hexadecimal digits are kept: 128 bits. */
const DIGITS = 32;

/** What stands for a file: kind and mode, owner, and checksum or target. Equal texts, equal files. */
export type FileMarks = ReadonlyMap<string, string>;

export interface Difference {
  packages: {
    added: Record<string, string>;
    removed: Record<string, string>;
    changed: Record<string, { from: string; to: string }>;
  };
  files: { added: string[]; removed: string[]; changed: string[] };
}

/** Lists the files of a running container. Opcode caches (`*.bin`) carry the time of their making, so they are left out. */
export async function readFiles(fleet: Fleet, instance: string, signal: AbortSignal): Promise<FileMarks> {
  const files = await fleet.files.list(instance, '/', { skip: [...SKIPPED, '/usr/lib/espalier/opcache'], signal });
  return new Map(files.filter(({ path }) => !VOLATILE.has(path)).map((file) => [file.path, toMark(file)]));
}

function toMark(file: ListedFile): string {
  const what = 'link' in file ? `-> ${file.link}` : file.sha256.slice(0, DIGITS);
  return `${file.mode.toString(8)} ${file.uid}:${file.gid} ${what}`;
}

/** One hash for all files, whatever the order they came in. */
export function hashFiles(files: FileMarks): string {
  return createHash('sha256').update(renderLines(files)).digest('hex');
}

const renderLines = (files: FileMarks): string =>
  [...files]
    .map(([path, mark]) => `${path}\t${mark}\n`)
    .sort()
    .join('');

export async function packFiles(files: FileMarks): Promise<string> {
  return (await promisify(gzip)(renderLines(files))).toString('base64');
}

export async function unpackFiles(packed: string): Promise<FileMarks> {
  const text = (await promisify(gunzip)(Buffer.from(packed, 'base64'))).toString('utf8');
  const lines = text.split('\n').filter((line) => line !== '');
  return new Map(lines.map((line) => [line.slice(0, line.indexOf('\t')), line.slice(line.indexOf('\t') + 1)]));
}

/** What changed from one to the other. */
export function diffContents(
  from: { packages: Record<string, string>; files: FileMarks },
  to: { packages: Record<string, string>; files: FileMarks },
): Difference {
  const [before, now] = [new Map(Object.entries(from.packages)), new Map(Object.entries(to.packages))];
  const packages = diffKeys(before, now);
  const pick = (names: readonly string[], of: ReadonlyMap<string, string>) =>
    Object.fromEntries(names.map((name) => [name, of.get(name) ?? '']));
  return {
    packages: {
      added: pick(packages.added, now),
      removed: pick(packages.removed, before),
      changed: Object.fromEntries(
        packages.changed.map((name) => [name, { from: before.get(name) ?? '', to: now.get(name) ?? '' }]),
      ),
    },
    files: diffKeys(from.files, to.files),
  };
}

function diffKeys(from: ReadonlyMap<string, string>, to: ReadonlyMap<string, string>) {
  return {
    added: [...to.keys()].filter((key) => !from.has(key)).sort(),
    removed: [...from.keys()].filter((key) => !to.has(key)).sort(),
    changed: [...to.keys()].filter((key) => from.has(key) && from.get(key) !== to.get(key)).sort(),
  };
}

/** Reads the output of dpkg-query with `LISTED`. */
export function parsePackages(listed: string): Record<string, string> {
  const lines = listed.split('\n').filter((line) => line !== '');
  return Object.fromEntries(lines.map((line) => line.split('\t') as [string, string]));
}

/** One line a package for dpkg-query: name, tab, version. */
export const LIST_PACKAGES: readonly string[] = ['dpkg-query', '-W', '-f', '$' + '{Package}\t$' + '{Version}\n'];
