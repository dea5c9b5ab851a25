// Lists a container's files by commands that coreutils and busybox both have. Apart because it is pure: the commands as
// data, and the reading of what they print.
import type { ListedFile } from '../fleet.ts';

/** Three commands: checksums of files, targets of links, attributes of both. */
export function renderFind(folder: string, skip: readonly string[]): string[][] {
  const skipped = skip.flatMap((path, at) => [...(at === 0 ? [] : ['-o']), '-path', path]);
  const find = ['find', folder, '-xdev', ...(skip.length === 0 ? [] : ['(', ...skipped, ')', '-prune', '-o'])];
  return [
    [...find, '-type', 'f', '-exec', 'sha256sum', '{}', '+'],
    [...find, '-type', 'l', '-exec', 'stat', '-c', '%N', '{}', '+'],
    [...find, '(', '-type', 'f', '-o', '-type', 'l', ')', '-exec', 'stat', '-c', '%a %u %g %n', '{}', '+'],
  ];
}

/** Reads their outputs. Names with line breaks, which no package has, are left out. */
export function parseListing(outputs: { sums: string; links: string; attributes: string }): ListedFile[] {
  const sums = new Map<string, string>();
  for (const line of outputs.sums.split('\n')) {
    const [, sum, path] = /^([0-9a-f]{64}) [ *](.+)$/.exec(line) ?? [];
    if (sum !== undefined && path !== undefined) sums.set(path, sum);
  }
  const links = new Map<string, string>();
  for (const line of outputs.links.split('\n')) {
    // stat of coreutils and busybox quotes both names.
    const [, path, link] = /^'?(\/.*?)'? -> '?(.*?)'?$/.exec(line) ?? [];
    if (path !== undefined && link !== undefined) links.set(path, link);
  }
  const files: ListedFile[] = [];
  for (const line of outputs.attributes.split('\n')) {
    const [, mode = '', uid, gid, path = ''] = /^([0-7]+) (\d+) (\d+) (.+)$/.exec(line) ?? [];
    const about = { path, mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid) };
    const [sha256, link] = [sums.get(path), links.get(path)];
    if (sha256 !== undefined) files.push({ ...about, sha256 });
    else if (link !== undefined) files.push({ ...about, link });
  }
  return files.sort((one, other) => (one.path < other.path ? -1 : 1));
}
