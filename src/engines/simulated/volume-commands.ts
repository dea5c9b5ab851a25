// What commands in simulated containers do to the files of volumes that several of them mount: as much of cp, mv, rm, tar …
// as the rooms say. Apart from the other commands, which change nothing that anybody looks at later.
import { createHash } from 'node:crypto';
import type { ExecOptions } from '../fleet.ts';
import { readSimulatedInstance, type SimulatedContext } from './fleet-instances.ts';
import type { SimulatedInstance, SimulatedVolume } from './fleet-world.ts';

type Answer = { code?: number; stdout?: string; stderr?: string };
type Files = Record<string, string>;

/** The volume that a container mounts where this path is; undefined when the path is its own. */
export function volumeAt(context: SimulatedContext, name: string, path: string): SimulatedVolume | undefined {
  const { volumes } = context.project();
  for (const device of Object.values(readSimulatedInstance(context, name).devices)) {
    if (device.kind === 'volume' && path.startsWith(`${device.path}/`)) return volumes[device.volume];
  }
  return undefined;
}

/** The answer of a command about a mounted volume; undefined for any other. */
export function runInVolumes(
  instance: SimulatedInstance,
  volumes: Record<string, SimulatedVolume>,
  argv: readonly string[],
  options: ExecOptions,
): Answer | undefined {
  for (const device of Object.values(instance.devices)) {
    if (device.kind !== 'volume') continue;
    const volume = volumes[device.volume];
    if (volume === undefined || !argv.some((word) => word.includes(`${device.path}/`))) continue;
    volume.files ??= {};
    return run(volume.files, argv, options);
  }
  return undefined;
}

function run(files: Files, argv: readonly string[], _options: ExecOptions): Answer | undefined {
  const [program = '', ...words] = argv;
  const paths = words.filter((word) => word.startsWith('/'));
  const [from = '', to = ''] = paths;
  const below = (folder: string): string[] =>
    Object.keys(files).filter((path) => path === folder || path.startsWith(`${folder}/`));
  const remove = (folder: string): void => {
    for (const path of below(folder)) delete files[path];
  };
  const copy = (source: string, target: string): void => {
    for (const path of below(source)) files[`${target}${path.slice(source.length)}`] = files[path] ?? '';
  };
  switch (program) {
    case 'install':
    case 'chown':
    case 'chmod':
      return {};
    case 'rm':
      for (const path of paths) remove(path);
      return {};
    case 'cp':
      copy(from.replace(/\/\.$/, ''), to);
      return {};
    case 'mv':
      copy(from, to);
      remove(from);
      return {};
    case 'du': {
      const bytes = below(from).reduce((sum, path) => sum + (files[path]?.length ?? 0), 0);
      return { stdout: `${bytes}\t${from}\n` };
    }
    case 'stat':
      return { stdout: `${(files[from] ?? '').length}\n` };
    case 'find':
      return {};
    case 'tar':
      return runTar(files, words);
    case 'sha256sum':
      return {
        stdout: `${createHash('sha256')
          .update(files[from] ?? '')
          .digest('hex')}  ${from}\n`,
      };
    default:
      return undefined;
  }
}

/** An archive is its files as JSON, by their paths in it. */
function runTar(files: Files, words: readonly string[]): Answer | undefined {
  const readOption = (option: string) =>
    words.find((word) => word.startsWith(`--${option}=`))?.slice(option.length + 3);
  const [file, folder] = [readOption('file'), readOption('directory')];
  if (file === undefined || folder === undefined) return undefined;
  if (words.includes('--create')) {
    const inside = Object.entries(files)
      .filter(([path]) => path.startsWith(`${folder}/`))
      .map(([path, content]) => [path.slice(folder.length + 1), content])
      .sort();
    // What is not kept is another command's business.
    if (!words.includes('.')) return undefined;
    files[file] = JSON.stringify(Object.fromEntries(inside));
    return {};
  }
  const archive = files[file];
  if (archive === undefined) return { code: 2, stderr: `tar: ${file}: Cannot open: No such file or directory` };
  for (const [path, content] of Object.entries(JSON.parse(archive) as Files)) files[`${folder}/${path}`] = content;
  return {};
}
