// Limits of the kernel that containers share, whatever their user namespaces: all of them count for root of the
// machine. Debian's values suit one system, and are used up by about thirty containers. Apart from the steps, so that
// what is raised is compared exactly.

/** The least of each that a machine full of containers needs; from Incus's documentation, "Server settings". */
const LEAST: Readonly<Record<string, number>> = {
  'fs.inotify.max_user_instances': 1_048_576,
  'fs.inotify.max_user_watches': 1_048_576,
  'fs.aio-max-nr': 524_288,
  'kernel.keys.maxkeys': 2_000,
  'kernel.keys.maxbytes': 2_000_000,
  'net.ipv4.neigh.default.gc_thresh3': 8_192,
};

/** Applied again at every boot. */
export const SYSCTL_PATH = '/etc/sysctl.d/60-espalier.conf';

/** Every limit that is looked at. */
export const kernelLimits: readonly string[] = Object.keys(LEAST);

/** The file of a limit's value. */
export const toProcPath = (limit: string): string => `/proc/sys/${limit.replaceAll('.', '/')}`;

/** Those of the given values that are too low, with what they should be. A value that cannot be read is left alone. */
export function findLowLimits(values: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(Object.entries(LEAST).filter(([limit, least]) => (values[limit] ?? least) < least));
}

/** The file for `sysctl.d` with these limits. */
export function renderSysctl(limits: Readonly<Record<string, number>>): string {
  const lines = Object.entries(limits).map(([limit, value]) => `${limit} = ${value}\n`);
  return `# Written by \`espalier up\`: room for many containers.\n${lines.join('')}`;
}
