// A container image of one static busybox, made in about a second, for system tests that need containers and not
// Debian. Apart from the tests so that several may use it.
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TreeEntry } from '../../src/engines/fleet.ts';
import { renderTar } from '../../src/engines/incus/tree.ts';

const run = promisify(execFile);

const APPLETS = [
  'sh',
  'ip',
  'mount',
  'udhcpc',
  'sleep',
  'tar',
  'cat',
  'echo',
  'id',
  'stat',
  'ls',
  'env',
  'wc',
  'grep',
  'ps',
  'chown',
  'find',
  'sha256sum',
];

/**
 * Listens for Incus's request to stop (SIGPWR), says so by the file /dev/up (new at each start), and gets an address by
 * DHCP when it has a NIC.
 */
const INIT = `#!/bin/sh
trap 'exit 0' PWR TERM INT
echo "tiny container $(cat /proc/sys/kernel/hostname) is up" > /dev/console
: > /dev/up
ip link set lo up
[ -e /sys/class/net/eth0 ] && { ip link set eth0 up; udhcpc -i eth0 -s /etc/udhcpc.sh -t 20 -T 1 -q & }
while :; do sleep 3600 & wait $!; done
`;

const DHCP = `#!/bin/sh
[ "$1" = bound ] && ip addr add "$ip/$mask" dev "$interface" && ip route add default via "$router"
exit 0
`;

const METADATA = 'architecture: x86_64\ncreation_date: 1700000000\nproperties:\n  description: tiny\n';

/** Downloads busybox-static with the machine's own package manager, unless `folder` has it. */
async function readBusybox(folder: string): Promise<Buffer> {
  const packages = await readdir(folder);
  if (!packages.some((name) => name.endsWith('.deb'))) {
    await run('apt-get', ['download', '-q', 'busybox-static'], { cwd: folder });
  }
  const deb = (await readdir(folder)).find((name) => name.endsWith('.deb'));
  if (deb === undefined) throw new Error('apt-get download busybox-static left no package; run apt-get update first');
  await run('dpkg-deb', ['-x', deb, 'unpacked'], { cwd: folder });
  const unpacked = join(folder, 'unpacked');
  return await readFile(join(unpacked, 'bin/busybox')).catch(() => readFile(join(unpacked, 'usr/bin/busybox')));
}

/** A command that ends when the container's init listens. */
export const WAIT_UNTIL_UP = ['sh', '-c', 'until [ -e /dev/up ]; do sleep 0.02; done'] as const;

/** Writes a unified image into `folder` and returns its path. `words` makes images differ. */
export async function makeTinyImage(folder: string, words = 'tiny'): Promise<string> {
  await mkdir(folder, { recursive: true });
  const busybox = await readBusybox(folder);
  const entries: TreeEntry[] = [
    { path: 'metadata.yaml', content: METADATA },
    { path: 'rootfs/bin/busybox', content: busybox, mode: 0o755 },
    ...APPLETS.map((name) => ({ path: `rootfs/bin/${name}`, link: 'busybox' })),
    { path: 'rootfs/sbin/init', content: INIT, mode: 0o755 },
    { path: 'rootfs/etc/udhcpc.sh', content: DHCP, mode: 0o755 },
    { path: 'rootfs/etc/words', content: words },
    ...['dev', 'proc', 'sys', 'tmp', 'root', 'var', 'run', 'srv'].map((name) => ({
      path: `rootfs/${name}`,
      directory: true as const,
      mode: name === 'tmp' ? 0o1777 : 0o755,
    })),
  ];
  const path = join(folder, `${words}.tar`);
  await writeFile(path, renderTar(entries, '/'));
  return path;
}
