// How layers become an image: base (a Debian tree) → node (apps only) → recipe. Pure: what is run in which order, as
// data. The images room runs it. Each layer is: install its packages, lay its files over /, run its prepare script.
// At the end of every bake, whatever was done before in the seed, FINISH is run.
import { join } from 'node:path';
import type { Read, ReadRecipe } from './read-recipe.ts';
import type { Base, Layer, Suite } from './recipe.ts';

/** Where the recipe's archive lies in the seed while its prepare script runs; the script finds it in ESPALIER_ARCHIVE. */
export const ARCHIVE_PATH = '/var/tmp/espalier-archive';
/** Where a layer's prepare script lies in the seed (mode 0755) while it runs, in the language of its first line. */
export const PREPARE_PATH = '/var/tmp/espalier-prepare';
/** The last command of a bake: compiles ahead, then removes caches, logs and identity. */
export const FINISH: readonly string[] = ['/usr/lib/espalier/finish'];

/** A file that comes from the recipe's data rather than from its folder. */
export interface GeneratedFile {
  path: string;
  content: string;
  mode: number;
}

/** One layer to put upon the seed, in the order of these fields. */
export interface BakeLayer {
  name: string;
  packages: readonly string[];
  /** Folder on this machine; lay it over / with the output of `renderTar`. */
  filesFolder: string | undefined;
  generated: readonly GeneratedFile[];
  /** Script on this machine; put at PREPARE_PATH and run there with `environment`. */
  prepareScript: string | undefined;
  environment: Readonly<Record<string, string>>;
}

/** The layers above the base for a recipe: the node layer for an app, none for a service, then the recipe itself. */
export function bakeLayers(recipe: ReadRecipe, node: Read<Layer>): BakeLayer[] {
  const own: BakeLayer = {
    ...toLayer(recipe.value.name, recipe),
    generated:
      recipe.value.site === undefined
        ? []
        : [
            {
              path: '/usr/lib/espalier/app/content',
              content: recipe.value.site.content.map((folder) => `${folder}\n`).join(''),
              mode: 0o644,
            },
          ],
  };
  if (recipe.value.archive !== undefined) own.environment = { ...own.environment, ESPALIER_ARCHIVE: ARCHIVE_PATH };
  return recipe.kind === 'app' ? [toLayer('node', node), own] : [own];
}

function toLayer(name: string, { folder, value }: Read<Layer>): BakeLayer {
  return {
    name,
    packages: value.packages,
    filesFolder: value.files === undefined ? undefined : join(folder, value.files),
    generated: [],
    prepareScript: value.prepare === undefined ? undefined : join(folder, value.prepare),
    environment: { DEBIAN_FRONTEND: 'noninteractive', LANG: 'C.UTF-8' },
  };
}

/** Writes a folder as a tar to standard output: owned by root, modes plain whatever the checkout's are. */
export function renderTar(folder: string): string[] {
  const owner = ['--owner=0', '--group=0', '--numeric-owner', '--mode=u=rwX,go=rX'];
  return ['tar', ...owner, '--sort=name', '-C', folder, '-cf', '-', '.'];
}

/** Unpacks such a tar over / in the seed, leaving the modes of folders that are there. */
export const UNPACK: readonly string[] = ['tar', '-C', '/', '--no-overwrite-dir', '-xf', '-'];

/** Run in the seed before the first packages of a bake. */
export const REFRESH_PACKAGES: readonly string[] = ['apt-get', '-qq', 'update'];

/** Installs a layer's packages in the seed, and nothing that is only recommended. */
export function renderInstall(packages: readonly string[]): string[] {
  return ['apt-get', '-qq', '-y', '--no-install-recommends', 'install', ...packages];
}

/**
 * Makes the base's root file system as a tar at `out` (mmdebstrap, from the machine's own package sources).
 * `filesTar` is the tar of the base's files (renderTar), `prepareScript` its prepare.sh.
 */
export function renderBaseBuild(about: {
  base: Base;
  suite: Suite;
  filesTar: string;
  prepareScript: string;
  out: string;
}): string[] {
  const { base, suite, filesTar, prepareScript, out } = about;
  return [
    'mmdebstrap',
    '--variant=minbase',
    `--include=${base.packages.join(',')}`,
    '--aptopt=Acquire::Languages "none"',
    ...base.dpkg.map((option) => `--dpkgopt=${option}`),
    `--customize-hook=tar-in ${quote(filesTar)} /`,
    `--customize-hook=chroot "$1" /bin/sh -s <${quote(prepareScript)}`,
    suite,
    out,
  ];
}

/** For mmdebstrap's hooks, which are shell lines. */
function quote(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}
