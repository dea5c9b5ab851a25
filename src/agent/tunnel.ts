// The tunnel between this server's containers and those of the others: a VXLAN device that knows its peers beforehand (no
// multicast, nothing learned), a route for each block of addresses there, and ARP answered for them on the bridge. What
// it does is text, rendered and tested; one function runs it. The kernel's state is the only memory.
import { writeFile } from 'node:fs/promises';
import { runCommand } from '../engines/command.ts';
import { isWithin } from '../lib/ipv4.ts';
import type { Logger } from '../lib/log.ts';
import type { Tunnel } from '../protocol/contract.ts';

/** IANA's port of VXLAN. */
const PORT = 4789;
/** Outer Ethernet, IPv4, UDP and VXLAN headers. */
const OVERHEAD_BYTES = 50;
const COMMAND_TIMEOUT_MS = 10_000;

/** At most 15 characters; a bridge's has as many. */
export const deviceOf = (bridge: string): string => `${bridge.slice(0, 12)}-vx`;

/** A peer's MAC follows from its inner address, so that nobody has to tell it. Locally administered. */
export function macOf(inner: string): string {
  const bytes = inner.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return ['02', 'e5', ...bytes].join(':');
}

/** Makes the device in place of one that is another; `outer` is the interface that has this server's address. */
export function renderDevice(tunnel: Tunnel, outer: { name: string; mtu: number }): string[][] {
  const { bridge, id, address, inner } = tunnel;
  const device = deviceOf(bridge);
  return [
    [
      ...['ip', 'link', 'add', device, 'address', macOf(inner), 'mtu', String(outer.mtu - OVERHEAD_BYTES)],
      ...[
        'type',
        'vxlan',
        'id',
        String(id),
        'local',
        address,
        'dev',
        outer.name,
        'dstport',
        String(PORT),
        'nolearning',
      ],
    ],
    ['ip', 'address', 'add', `${inner}/32`, 'dev', device],
    ['ip', 'link', 'set', device, 'up'],
  ];
}

/** Peers and routes; each command may be given again. */
export function renderPeers({ bridge, inner, peers }: Tunnel): string[][] {
  const device = deviceOf(bridge);
  const route = (network: string, ...via: string[]) => [
    ...['ip', 'route', 'replace', network, ...via, 'dev', device, 'src', inner],
  ];
  return peers.flatMap((peer) => [
    ['bridge', 'fdb', 'replace', macOf(peer.inner), 'dev', device, 'dst', peer.address, 'self', 'permanent'],
    ['ip', 'neigh', 'replace', peer.inner, 'lladdr', macOf(peer.inner), 'dev', device, 'nud', 'permanent'],
    route(`${peer.inner}/32`, 'scope', 'link'),
    ...peer.networks.map((network) => route(network, 'via', peer.inner, 'onlink')),
  ]);
}

/** What the kernel shows of the device. */
export interface TunnelState {
  /** Destinations of its routes: an address alone, or a network. */
  routes: readonly string[];
  /** Forwarding entries: a peer's MAC and where it is. */
  forwards: readonly { mac: string; to: string }[];
}

/** Takes away what is of peers that are no more, or have moved. */
export function renderCleanup({ bridge, peers }: Tunnel, { routes, forwards }: TunnelState): string[][] {
  const device = deviceOf(bridge);
  const wantedRoutes = new Set(peers.flatMap(({ inner, networks }) => [inner, ...networks]));
  const wantedForwards = new Set(peers.map(({ inner, address }) => `${macOf(inner)} ${address}`));
  return [
    ...routes.filter((one) => !wantedRoutes.has(one)).map((one) => ['ip', 'route', 'del', one, 'dev', device]),
    ...forwards
      .filter(({ mac, to }) => !wantedForwards.has(`${mac} ${to}`))
      .map(({ mac, to }) => ['bridge', 'fdb', 'del', mac, 'dev', device, 'dst', to, 'self']),
  ];
}

/**
 * What comes out of the tunnel is from a peer's own addresses, or is dropped before anything else looks at it. A fenced server is
 * no peer: nothing of it passes, whatever it had open. In one transaction, so that there is no moment without rules; for nft's
 * standard input.
 */
export function renderAdmission({ bridge, peers }: Tunnel): string {
  const table = `inet ${tableOf(bridge)}`;
  const blocks = peers.flatMap(({ networks }) => networks);
  // A set's members may not overlap; a server's own address is one of its blocks'.
  const alone = peers.map(({ inner }) => inner).filter((inner) => !isWithin(inner, blocks));
  const admitted = [...blocks, ...alone];
  const rules =
    admitted.length === 0
      ? ['counter drop']
      : [`ip saddr != { ${admitted.join(', ')} } counter drop`, 'meta nfproto ipv6 counter drop'];
  return [
    `table ${table}`,
    `delete table ${table}`,
    `table ${table} {`,
    '  chain admission {',
    '    type filter hook prerouting priority raw; policy accept;',
    ...rules.map((rule) => `    iifname "${deviceOf(bridge)}" ${rule}`),
    '  }',
    '}',
    '',
  ].join('\n');
}

/** Named for the tunnel's device: the firewall of a deployment that is called as this one's bridge has a table too. No hyphens. */
const tableOf = (bridge: string): string => `espalier_${deviceOf(bridge).replaceAll('-', '_')}`;

/** The bridge answers for addresses of other servers, at once: the kernel would wait up to 0.8 s first. */
const renderSettings = (bridge: string): [path: string, value: string][] => [
  ['/proc/sys/net/ipv4/ip_forward', '1'],
  [`/proc/sys/net/ipv4/conf/${bridge}/proxy_arp`, '1'],
  [`/proc/sys/net/ipv4/neigh/${bridge}/proxy_delay`, '0'],
];

interface WireLink {
  ifname: string;
  mtu: number;
  address?: string;
  linkinfo?: { info_data?: { id?: number; local?: string } };
}

export interface TunnelKeeper {
  follow(tunnel: Tunnel | undefined): void;
  /** Resolves when the kernel is as the last document said; rejects with why it is not. */
  applied(): Promise<void>;
}

/** Keeps the kernel as the documents say; each is applied after the one before. */
export function makeTunnel(parts: { log: Logger; signal: AbortSignal }): TunnelKeeper {
  const { log, signal } = parts;
  let last: Promise<void> = Promise.resolve();

  async function run(argv: readonly string[], stdin?: string): Promise<string> {
    const options = { timeoutMs: COMMAND_TIMEOUT_MS, signal, ...(stdin === undefined ? {} : { stdin }) };
    const { code, stdout, stderr } = await runCommand(argv, options);
    if (code !== 0) throw new Error(`${argv.join(' ')}: ${stderr.trim()}`);
    return stdout.toString('utf8');
  }
  const read = async <T>(argv: readonly string[]): Promise<T[]> => JSON.parse((await run(argv)).trim() || '[]') as T[];

  async function ensureDevice(tunnel: Tunnel): Promise<void> {
    const device = deviceOf(tunnel.bridge);
    const [found] = (await read<WireLink>(['ip', '-json', '-details', 'link', 'show', 'type', 'vxlan'])).filter(
      ({ ifname }) => ifname === device,
    );
    const data = found?.linkinfo?.info_data;
    if (found?.address === macOf(tunnel.inner) && data?.id === tunnel.id && data.local === tunnel.address) return;
    if (found !== undefined) await run(['ip', 'link', 'del', device]);
    const [outer] = await read<WireLink>(['ip', '-json', 'address', 'show', 'to', `${tunnel.address}/32`]);
    if (outer === undefined) throw new Error(`this server has no address ${tunnel.address}`);
    for (const argv of renderDevice(tunnel, { name: outer.ifname, mtu: outer.mtu })) await run(argv);
  }

  async function readState(device: string): Promise<TunnelState> {
    const routes = await read<{ dst: string }>(['ip', '-json', '-4', 'route', 'show', 'dev', device]);
    const forwards = await read<{ mac: string; dst?: string }>(['bridge', '-json', 'fdb', 'show', 'dev', device]);
    return {
      routes: routes.map(({ dst }) => dst),
      forwards: forwards.flatMap(({ mac, dst }) => (dst === undefined ? [] : [{ mac, to: dst }])),
    };
  }

  async function apply(tunnel: Tunnel): Promise<void> {
    for (const [path, value] of renderSettings(tunnel.bridge)) await writeFile(path, value);
    // Before there is a device: also at a boot, nothing passes that must not.
    await run(['nft', '--file', '-'], renderAdmission(tunnel));
    await ensureDevice(tunnel);
    for (const argv of renderPeers(tunnel)) await run(argv);
    for (const argv of renderCleanup(tunnel, await readState(deviceOf(tunnel.bridge)))) await run(argv);
  }

  return {
    follow(tunnel) {
      if (tunnel === undefined) return;
      const before = last.catch(() => undefined);
      last = before.then(() => apply(tunnel));
      last.catch((thrown: unknown) =>
        log.warn({ err: thrown }, 'the tunnel to the other servers is not as it should be'),
      );
    },
    applied: () => last,
  };
}
