// The control groups of a node's runs as folders of this machine, and killing by them. The kill is one write to the
// kernel: it needs no process, no daemon and no answer, and takes children that are being born too (cgroup v2, Linux 5.14).
import { existsSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where cgroup v2 is mounted, from /proc/self/mountinfo; also where it stands beside v1 ("hybrid"). */
export function parseUnifiedMount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    if (after.startsWith('cgroup2 ')) return before.split(' ')[4];
  }
  return undefined;
}

/** The group that a container lives in, from /proc/<its first process>/cgroup: systemd moves itself into init.scope. */
export function parsePayload(cgroup: string): string | undefined {
  return /^0::(\/.*?)(?:\/init\.scope)?$/m.exec(cgroup)?.[1];
}

/** A unit's group below its slices: `espalier-runs.slice` lies in `espalier.slice`. */
export function toGroupPath(slice: string, unit: string): string {
  const parts = slice.replace(/\.slice$/, '').split('-');
  const slices = parts.map((_, index) => `${parts.slice(0, index + 1).join('-')}.slice`);
  return join(...slices, unit);
}

/** The folder of a container's groups; undefined when the machine has no cgroup v2 at all. */
export async function readPayloadFolder(pid: number): Promise<string | undefined> {
  const mount = parseUnifiedMount(await readFile('/proc/self/mountinfo', 'utf8'));
  const payload = parsePayload(await readFile(`/proc/${pid}/cgroup`, 'utf8'));
  return mount === undefined || payload === undefined ? undefined : join(mount, payload);
}

/** True when cgroup v2 has the controllers, so that systemd counts memory, its kills and CPU time by unit. */
export const hasUnifiedControllers = (): boolean => existsSync('/sys/fs/cgroup/cgroup.controllers');

/** Kills every process in a group and below it, at once (SIGKILL). A group that is not there is fine. */
export function killCgroup(folder: string): void {
  try {
    writeFileSync(join(folder, 'cgroup.kill'), '1');
  } catch (thrown) {
    // ENODEV: it went away between the opening and the writing.
    if (!['ENOENT', 'ENODEV'].includes((thrown as NodeJS.ErrnoException).code ?? '')) throw thrown;
  }
}
