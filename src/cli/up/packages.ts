// Which Debian packages are missing, and the source that Debian 12 needs for Incus. Apart from the steps, so that
// what is run and written is tested as text. The mirror always is the machine's own.
import type { HostFacts } from './host.ts';

/**
 * Everything that controller, agent and image building call. `ca-certificates` for recipes that fetch archives; `keepalived` for
 * edges that share an address: without a configuration of its own, Debian's service does not start.
 */
export const NEEDED = [
  ...['incus-base', 'incus-client', 'mmdebstrap', 'btrfs-progs', 'dnsmasq-base', 'nftables', 'iproute2', 'uidmap'],
  ...['rsync', 'squashfs-tools', 'openssl', 'ca-certificates', 'kmod', 'keepalived'],
];

export const SOURCE_PATH = '/etc/apt/sources.list.d/espalier-backports.sources';

/** Fields separated by tabs, a line a target: release, component, repository, and which kind of target it is. */
export const TARGETS_COMMAND: readonly string[] = [
  ...['apt-get', 'indextargets', '--format', '$(RELEASE)\t$(COMPONENT)\t$(REPO_URI)\t$(CREATED_BY)'],
];

/** Reads the indexes, without descriptions in other languages (a third of it), and leaves those that are there. */
export const UPDATE_COMMAND: readonly string[] = [
  ...['apt-get', 'update', '--option', 'Acquire::Languages=none', '--option', 'APT::Get::List-Cleanup=false'],
];

/** The same of the added source alone. */
export const UPDATE_SOURCE_COMMAND: readonly string[] = [
  ...[...UPDATE_COMMAND, '--option', `Dir::Etc::sourcelist=${SOURCE_PATH}`, '--option', 'Dir::Etc::sourceparts=-'],
];

/** An archive that the machine's apt knows. */
export interface AptTarget {
  release: string;
  component: string;
  uri: string;
}

/** Package indexes from the output of `TARGETS_COMMAND`. */
export function parseTargets(output: string): AptTarget[] {
  return output
    .split('\n')
    .map((line) => line.split('\t'))
    .filter(([, , , createdBy]) => createdBy === 'Packages')
    .map(([release = '', component = '', uri = '']) => ({ release, component, uri }));
}

export function renderInstalledCommand(): string[] {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
  return ['dpkg-query', '--show', '--showformat=${Package} ${db:Status-Status}\\n', ...NEEDED, 'incus'];
}

/** Needed packages (and `more`) that are not installed. The package `incus` of others stands for Debian's split ones. */
export function listMissingPackages(dpkgOutput: string, more: readonly string[] = []): string[] {
  const installed = new Set(
    dpkgOutput
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  return [...NEEDED, ...more].filter(
    (name) => !installed.has(name) && !(name.startsWith('incus-') && installed.has('incus')),
  );
}

/**
 * The source to add, as deb822 text: Debian 12 has Incus in backports only. Undefined when it needs none, or when the
 * machine has one already.
 */
export function renderBackportsSource(host: HostFacts, targets: readonly AptTarget[]): string | undefined {
  if (host.codename !== 'bookworm') return undefined;
  const wanted = 'bookworm-backports';
  if (targets.some(({ release, component }) => release === wanted && component === 'main')) return undefined;
  const own = targets.find(({ release, component }) => release === host.codename && component === 'main');
  if (own === undefined) return undefined;
  return [
    '# Written by `espalier up`: Incus for Debian 12.',
    'Types: deb',
    `URIs: ${own.uri}`,
    `Suites: ${wanted}`,
    'Components: main',
    'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg',
    '',
  ].join('\n');
}

/** Non-interactive, only what is asked for, patient with another apt that runs. */
export function renderInstallCommand(packages: readonly string[]): string[] {
  return [
    ...['apt-get', 'install', '--yes', '--no-install-recommends', '--option', 'DPkg::Lock::Timeout=300'],
    ...['--option', 'Dpkg::Options::=--force-confold', ...packages],
  ];
}

/** Root's sub-ids for unprivileged containers: 1,000,000,000 from 1,000,000 on, room for many isolated maps. */
const SUB_ID_RANGE = 'root:1000000:1000000000';

/** The file (/etc/subuid or /etc/subgid) with a range for root, or undefined when it has one already. */
export function withSubIdRange(text: string): string | undefined {
  if (/^(root|0):\d+:\d+$/m.test(text)) return undefined;
  return `${text === '' || text.endsWith('\n') ? text : `${text}\n`}${SUB_ID_RANGE}\n`;
}
