// The firewall of one server as text for `nft -f -`: two tables of our own, replaced whole in one transaction, so that nobody
// else's rules are touched and there is no moment without any. Pure; apart from the agent, which runs it.
//
// In `ours` the ports that are ours are for those who need them, and containers reach what they need. In `strict` nothing else of
// the server is reachable either, but ssh, what answers, and what a person allows.
import { createHash } from 'node:crypto';

export interface FirewallPlan {
  mode: 'ours' | 'strict';
  /** The deployment's bridge and its network, as `10.87.0.0/20`. */
  bridge: string;
  network: string;
  /** Addresses of all servers, this one too. */
  members: readonly string[];
  /** Of them those whose edges pass an address on by VRRP. */
  routers: readonly string[];
  /** TCP ports for servers and for machines that join: the agents' door; for everyone but containers. */
  doors: readonly number[];
  /** TCP ports for visitors: the edges'. A site may visit another one. */
  visits: readonly number[];
  /** Addresses in the network: the servers' own, and those of containers that others ask. */
  inners: readonly string[];
  databases: readonly string[];
  caches: readonly string[];
  /** Those that carry files from one server to another. */
  carriers: readonly string[];
  edges: readonly string[];
  /** What a person allows in `strict`: `tcp/9100`. */
  allow: readonly string[];
}

/** What the server itself knows. */
export interface FirewallPlace {
  /** As `tableOf` names it. */
  table: string;
  /** The tunnel's device. */
  tunnel: string;
  /** Where sshd listens. */
  ssh: readonly number[];
  /** Whether the kernel tells by which bridge a packet comes (nft_meta_bridge). */
  knowsBridges: boolean;
}

const ENGINE_PORT = 8443;
const VXLAN_PORT = 4789;
const DATABASE_PORT = 3306;
const CACHE_PORT = 6379;
const CARRIER_PORT = 873;
const WEB_PORT = 80;
const PEERS_PORT = 10_000;
const VRRP = 112;

const set = (name: string, addresses: readonly string[]): string => {
  const elements = [...new Set(addresses)].sort();
  const given = elements.length === 0 ? '' : `        elements = { ${elements.join(', ')} }\n`;
  return `    set ${name} {\n        type ipv4_addr\n${given}    }\n`;
};

const ports = (all: readonly number[]): string => [...new Set(all)].sort((one, other) => one - other).join(', ');

/**
 * Who may reach whom in the network, without any memory of connections, so that the same lines serve where packets are routed
 * and where they are bridged. Only what others ask is named; what is not (nodes, seeds) reaches that and nothing else.
 */
function renderBetween({ network }: FirewallPlan): string[] {
  const pair = (from: string, to: string, port: number) => [
    `${from}${to} tcp dport ${port} accept`,
    `${from.replace('saddr', 'daddr')}${to.replace('daddr', 'saddr')} tcp sport ${port} accept`,
  ];
  return [
    `ip saddr != ${network} return`,
    `ip daddr != ${network} return`,
    'ip saddr @inners accept',
    'ip daddr @inners accept',
    'ip protocol icmp accept',
    ...pair('ip saddr @edges', '', WEB_PORT),
    ...pair('ip saddr @edges', ' ip daddr @edges', PEERS_PORT),
    ...pair('', 'ip daddr @databases', DATABASE_PORT),
    ...pair('', 'ip daddr @caches', CACHE_PORT),
    ...pair('ip saddr @carriers', ' ip daddr @carriers', CARRIER_PORT),
    // Not what is no IPv4: where packets are bridged, addresses are asked for by others.
    `ip saddr ${network} counter drop`,
  ];
}

/** To the server itself. */
function renderInput(plan: FirewallPlan, { tunnel, ssh }: FirewallPlace): string[] {
  const { mode, bridge, doors, visits, allow } = plan;
  const open = ports(visits);
  const own = [
    'ct state established,related accept',
    'iifname "lo" accept',
    // Containers get their addresses and names here, and may ask the edges' doors as everyone may; nothing else of the server.
    `iifname "${bridge}" udp dport { 53, 67 } accept`,
    `iifname "${bridge}" tcp dport 53 accept`,
    `iifname { "${bridge}", "${tunnel}" } ip protocol icmp accept`,
    ...(open === '' ? [] : [`iifname { "${bridge}", "${tunnel}" } tcp dport != { ${open} } counter drop`]),
    `iifname { "${bridge}", "${tunnel}" } ${open === '' ? '' : 'meta l4proto != tcp '}counter drop`,
    `tcp dport ${ENGINE_PORT} ip saddr != @members counter drop`,
    `udp dport ${VXLAN_PORT} ip saddr != @members counter drop`,
  ];
  if (mode === 'ours') return own;
  return [
    ...own,
    `ip saddr @members tcp dport ${ENGINE_PORT} accept`,
    `ip saddr @members udp dport ${VXLAN_PORT} accept`,
    // keepalived itself listens to its peers only; others may have routers of their own, so `ours` leaves it alone.
    `ip saddr @routers ip protocol ${VRRP} accept`,
    'meta l4proto { icmp, ipv6-icmp } accept',
    // Addresses for this server, and names and addresses that it gives to containers of others.
    'udp dport { 53, 67, 68, 546, 547 } accept',
    'tcp dport 53 accept',
    `tcp dport { ${ports([...ssh, ...doors, ...visits])} } accept`,
    ...allow.map((one) => one.replace('/', ' dport ')).map((match) => `${match} accept`),
    'counter drop',
  ];
}

/** The network is IPv4's: by the addresses that containers have of themselves they could go around it. */
const renderBridged = ({ bridge }: FirewallPlan): string => `meta ibrname "${bridge}" ether type ip6 counter drop`;

/** Through the server. */
function renderForward({ network }: FirewallPlan): string[] {
  return [
    'ct state established,related accept',
    // They would come there under this server's own address, as if it asked.
    `ip saddr ${network} ip daddr @members counter drop`,
    `ip daddr ${network} ip saddr != ${network} counter drop`,
    'jump between',
  ];
}

const chain = (name: string, rules: readonly string[], hook?: string): string => {
  const head = hook === undefined ? '' : `        type filter hook ${hook}; policy accept;\n`;
  return `    chain ${name} {\n${head}${rules.map((rule) => `        ${rule}\n`).join('')}    }\n`;
};

/** The whole, and by which fingerprint (the tables' comment) it is known again. */
export function renderFirewall(plan: FirewallPlan, place: FirewallPlace): { text: string; fingerprint: string } {
  const { table } = place;
  const { inners, databases, caches, carriers, edges } = plan;
  const sets = Object.entries({ inners, databases, caches, carriers, edges })
    .map(([name, addresses]) => set(name, addresses))
    .join('');
  const between = chain('between', renderBetween(plan));
  const inet = [
    ...[set('members', plan.members), set('routers', plan.routers), sets, between],
    // After the filters of others: what they refuse they refuse first.
    chain('input', renderInput(plan, place), 'input priority filter + 10'),
    chain('forward', renderForward(plan), 'forward priority filter + 10'),
  ].join('');
  const bridge = [
    sets,
    between,
    chain('forward', [...(place.knowsBridges ? [renderBridged(plan)] : []), 'jump between'], 'forward priority 10'),
  ].join('');
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([inet, bridge]))
    .digest('hex')
    .slice(0, 16);
  const whole = (family: string, content: string) =>
    `${renderRemoval(family, table)}table ${family} ${table} {\n    comment "espalier ${fingerprint}"\n${content}}\n`;
  return { text: whole('inet', inet) + whole('bridge', bridge), fingerprint };
}

/** Rules of no effect for `nft --check`: a kernel that refuses them does not know bridges by name. */
export const BRIDGE_QUESTION = 'table bridge t {\n    chain c {\n        meta ibrname "b"\n    }\n}\n';

/** Also when it is not there. */
const renderRemoval = (family: string, table: string): string =>
  `table ${family} ${table}\ndelete table ${family} ${table}\n`;

/** Takes both tables away. */
export const renderNoFirewall = (table: string): string =>
  renderRemoval('inet', table) + renderRemoval('bridge', table);

/** The tables' name for a deployment. By its dot no other table of ours can have it: those are named for bridges (agent/tunnel.ts). */
export const tableOf = (deployment: string): string => `espalier_${deployment.replaceAll('-', '_')}.firewall`;

/** What a person may allow. */
export const ALLOWED = /^(tcp|udp)\/([1-9]\d{0,4})$/;
