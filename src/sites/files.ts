// A site's files on its pool's volume, seen from inside a node as root: copies that share their blocks where the storage
// can, and a folder put in the place of another. Apart because clones, snapshots and imports all do it. What customers may
// write is only read here, or replaced whole by a folder that lay where nobody but root could reach it.

import { dirname } from 'node:path/posix';
import { readServingNodes } from './nodes.ts';
import type { SiteParts } from './parts.ts';

export const CONTENT_PATH = '/srv/content';
/** Copies of sites' files that are no site's: root's alone, on the volume of the pool. */
export const SNAPSHOTS_PATH = `${CONTENT_PATH}/.snapshots`;

/** Bound of copying one site's files, where blocks cannot be shared. */
export const COPY_MS = 1_800_000;
/** Of what a failed command said, this much is shown. */
const OUTPUT_SHOWN = 1_500;

export const folderOf = (site: string): string => `${CONTENT_PATH}/${site}`;
/** The same folder from the volume's root, for whoever mounts it elsewhere. */
export const inVolume = (path: string): string => path.slice(CONTENT_PATH.length + 1);

/** A command as root; `mayVanish`: that files went away while it read is no failure. */
export interface RootCommand {
  argv: string[];
  mayVanish?: boolean;
  /** That tar does not find a member is no failure. */
  mayMiss?: boolean;
}

/** Copies a folder to one that appears whole or not at all. The copy lies where only root comes. */
export function renderKeep(from: string, to: string): RootCommand[] {
  return [
    { argv: ['install', '--directory', '--mode=0700', SNAPSHOTS_PATH] },
    { argv: ['rm', '--recursive', '--force', `${to}.part`, to] },
    {
      argv: ['cp', '--archive', '--reflink=auto', '--no-target-directory', from, `${to}.part`],
      mayVanish: true,
    },
    { argv: ['mv', '--no-target-directory', `${to}.part`, to] },
  ];
}

/** Puts a copy of a kept folder in the place of a site's own; safe to repeat from any point. */
export function renderPutBack(kept: string, site: string): RootCommand[] {
  const fresh = freshOf(site);
  return [
    { argv: ['rm', '--recursive', '--force', fresh] },
    { argv: ['cp', '--archive', '--reflink=auto', '--no-target-directory', kept, fresh] },
    { argv: ['rm', '--recursive', '--force', folderOf(site)] },
    { argv: ['mv', '--no-target-directory', fresh, folderOf(site)] },
  ];
}

/** Removes a kept folder, what was begun of it, and what it was packed into. */
export function renderRemoveKept(kept: string): RootCommand[] {
  const packed = packedFileOf(kept);
  return [{ argv: ['rm', '--recursive', '--force', '--', kept, `${kept}.part`, packed, `${packed}.part`] }];
}

export const packedFileOf = (kept: string): string => `${kept}.tar`;

/**
 * Packs a kept folder into one file. The same files, modes and times (in seconds) give the same bytes, whoever owns them.
 * The last two commands print its size and its checksum.
 */
export function renderPack(kept: string): { pack: RootCommand[]; size: RootCommand; checksum: RootCommand } {
  const packed = packedFileOf(kept);
  const options = [
    '--exclude=./.held-mail',
    '--format=gnu',
    '--sort=name',
    '--numeric-owner',
    '--owner=0',
    '--group=0',
  ];
  return {
    pack: [
      { argv: ['tar', '--create', ...options, `--file=${packed}.part`, `--directory=${kept}`, '.'] },
      { argv: ['mv', '--no-target-directory', `${packed}.part`, packed] },
    ],
    size: { argv: ['stat', '--format=%s', packed] },
    checksum: { argv: ['sha256sum', packed] },
  };
}

/** What a site's files were sent in, and where they are unpacked before they are in their place. */
export const sentFileOf = (site: string): string => `${SNAPSHOTS_PATH}/${site}.sent`;
const freshOf = (site: string): string => `${SNAPSHOTS_PATH}/${site}.new`;

export const renderBeforeSending = (): RootCommand[] => [
  { argv: ['install', '--directory', '--mode=0700', SNAPSHOTS_PATH] },
];

/**
 * Unpacks what was sent where only root comes, gives it to the site's user, and puts it in the place of the site's folder.
 * Only files, folders and links are left; the kernel takes the bits by which a program runs as its owner at the change of owners.
 */
export function renderUnpack(site: { id: string; uid: number }): RootCommand[] {
  const fresh = freshOf(site.id);
  return [
    { argv: ['rm', '--recursive', '--force', fresh] },
    { argv: ['install', '--directory', '--mode=2750', fresh] },
    {
      argv: [
        ...['tar', '--extract', `--file=${sentFileOf(site.id)}`, `--directory=${fresh}`],
        ...['--preserve-permissions', '--no-same-owner', '--delay-directory-restore'],
      ],
    },
    ...renderTakeOver(site),
  ];
}

/** Where a folder of an installation from elsewhere is unpacked, before it is found in there and moved. */
export const stageOf = (site: string): string => `${SNAPSHOTS_PATH}/${site}.stage`;

/** Unpacks every member of what was sent that is called so, however deep it lies, with what is in it. */
export function renderUnpackNamed(site: string, names: readonly string[]): RootCommand[] {
  const stage = stageOf(site);
  const options = ['--no-same-owner', '--no-same-permissions', '--delay-directory-restore', '--no-anchored'];
  return [
    { argv: ['rm', '--recursive', '--force', stage, freshOf(site)] },
    { argv: ['install', '--directory', '--mode=0700', stage, freshOf(site)] },
    ...names.map((name) => ({
      argv: ['tar', '--extract', `--file=${sentFileOf(site)}`, `--directory=${stage}`, ...options, name],
      mayMiss: true,
    })),
  ];
}

/** Lists what is called so among it, each on a line after its depth. */
export const renderFindNamed = (site: string, name: string): RootCommand => ({
  argv: ['find', stageOf(site), '-path', `*/${name}`, '-printf', '%d %y %p\\n'],
});

/** Moves a folder of it to its place among the site's files, and gives it to the site with what it may and no more. */
export const renderTakeFolder = (site: string, found: string, to: string): RootCommand[] => [
  { argv: ['install', '--directory', dirname(`${freshOf(site)}/${to}`)] },
  { argv: ['mv', '--no-target-directory', found, `${freshOf(site)}/${to}`] },
];

/** Makes the folders that a site has from its beginning, where none of them came. */
export const renderMakeFolders = (site: string, names: readonly string[]): RootCommand[] =>
  names.map((name) => ({ argv: ['install', '--directory', `${freshOf(site)}/${name}`] }));

/** Rights as the app itself would give them: the site writes, the web server reads. */
export const renderTidyRights = (site: string): RootCommand[] => [
  // Links lead to where the installation was, or to what is none of its business.
  { argv: ['find', freshOf(site), '-type', 'l', '-delete'] },
  { argv: ['chmod', '--recursive', 'u+rwX,g+rX,o-rwx', freshOf(site)] },
  { argv: ['find', freshOf(site), '-type', 'd', '-exec', 'chmod', 'g+s', '{}', '+'] },
  { argv: ['find', freshOf(site), '-type', 'f', '-exec', 'chmod', 'a-x,u-s,g-s', '{}', '+'] },
];

/** The end of renderUnpack: what lies in the fresh folder becomes the site's. */
export function renderTakeOver(site: { id: string; uid: number }): RootCommand[] {
  const fresh = freshOf(site.id);
  return [
    { argv: ['find', fresh, '!', '-type', 'f', '!', '-type', 'd', '!', '-type', 'l', '-delete'] },
    { argv: ['chown', '--recursive', '--no-dereference', `${site.uid}:www-data`, fresh] },
    { argv: ['chmod', '2750', fresh] },
    { argv: ['rm', '--recursive', '--force', folderOf(site.id)] },
    { argv: ['mv', '--no-target-directory', fresh, folderOf(site.id)] },
  ];
}

export const renderRemoveSent = (site: string): RootCommand[] => [
  { argv: ['rm', '--recursive', '--force', sentFileOf(site), freshOf(site), stageOf(site)] },
];

/** Copies files into a new site's folder and gives them its owners. */
export function renderCopy(from: { path: string; uid: number }, to: { id: string; uid: number }): RootCommand[] {
  const target = folderOf(to.id);
  return [
    { argv: ['cp', '--archive', '--reflink=auto', `${from.path}/.`, target], mayVanish: true },
    ...renderOwners(from, to, target),
  ];
}

/**
 * Gives a copy of one site's files to another; those of others stay theirs. The mail that was held of the one is none of the
 * other's.
 */
export function renderOwners(from: { uid: number }, to: { uid: number }, target: string): RootCommand[] {
  const chown = ['chown', '--recursive', '--no-dereference'];
  return [
    { argv: ['rm', '--recursive', '--force', `${target}/.held-mail`] },
    { argv: [...chown, `--from=${from.uid}`, String(to.uid), target] },
    { argv: [...chown, `--from=:${from.uid}`, `:${to.uid}`, target] },
  ];
}

/** True when a command complained of nothing but files that were gone when it came to them. */
export function onlyVanished(code: number, stderr: string): boolean {
  const lines = stderr.split('\n').filter((line) => line !== '');
  return code === 1 && lines.length > 0 && lines.every((line) => /: No such file or directory$/.test(line));
}

/** Runs commands in a serving node of the pool, one after the other; gives what the last one printed. */
export async function runAsRoot(
  parts: SiteParts,
  pool: string,
  commands: readonly RootCommand[],
  toProblem: (why: string) => Error,
  signal: AbortSignal,
): Promise<string> {
  const [node] = await readServingNodes(parts, { pool });
  return await runIn(parts, node.name, commands, toProblem, signal);
}

/** The same in a container that mounts the volume. */
export async function runIn(
  parts: SiteParts,
  instance: string,
  commands: readonly RootCommand[],
  toProblem: (why: string) => Error,
  signal: AbortSignal,
): Promise<string> {
  let output = '';
  for (const { argv, mayVanish = false, mayMiss = false } of commands) {
    const options = { signal, timeoutMs: COPY_MS, env: { LC_ALL: 'C' } };
    const { code, stdout, stderr } = await parts.pools.fleet.exec(instance, argv, options);
    output = stdout;
    if (code === 0 || (mayVanish && onlyVanished(code, stderr))) continue;
    if (mayMiss && /: Not found in archive$/m.test(stderr)) continue;
    throw toProblem(stderr.trim().slice(-OUTPUT_SHOWN) || `${argv[0]} ended with exit code ${code}`);
  }
  return output;
}
