// Cutting a server of a lab off: nftables rules in its own network namespace, so that they hold while it is frozen too.
// Pure; apart from who runs them.

export const CUT_FROM = ['everything', 'controller', 'databases'] as const;
export const CUT_WAYS = ['both', 'in', 'out'] as const;
export type CutFrom = (typeof CUT_FROM)[number];
/** `in`: nothing reaches it; `out`: nothing comes from it. */
export type CutWay = (typeof CUT_WAYS)[number];

export interface Cut {
  from: CutFrom;
  way: CutWay;
}

const TABLE = 'inet espalier_lab';
/** Where the controller hears agents. */
const CONTROLLER_PORT = 7443;
/** MariaDB. */
const DATABASE_PORT = 3306;

const isCutOff: Record<CutFrom, (way: 'in' | 'out') => string[]> = {
  everything: (way) => [way === 'in' ? 'iifname "eth0"' : 'oifname "eth0"'],
  controller: () => [`tcp dport ${CONTROLLER_PORT}`, `tcp sport ${CONTROLLER_PORT}`],
  // Between containers of different servers these are routed, so they pass here before they go into the tunnel.
  databases: () => [`tcp dport ${DATABASE_PORT}`, `tcp sport ${DATABASE_PORT}`],
};

/** The rules as one argument of nft. Whatever was cut before is forgotten. */
export function renderCut({ from, way }: Cut): string {
  const chain = (name: 'in' | 'out', hook: string, priority: number): string[] =>
    way === 'both' || way === name
      ? [
          `add chain ${TABLE} ${name} { type filter hook ${hook} priority ${priority}; policy accept; }`,
          ...isCutOff[from](name).map((match) => `add rule ${TABLE} ${name} ${match} counter drop`),
        ]
      : [];
  return [
    ...[`add table ${TABLE}`, `delete table ${TABLE}`, `add table ${TABLE}`],
    // Before and after everything else: also before connections are tracked.
    ...[...chain('in', 'prerouting', -400), ...chain('out', 'postrouting', 400)],
  ].join('; ');
}

/** Nothing is cut; also when nothing was. */
export const renderHeal = (): string => `add table ${TABLE}; delete table ${TABLE}`;

/** Runs the server's own nft in its network, frozen or not: one of another version may not read the rules that are there. */
export const renderNft = (pid: number, rules: string): string[] => [
  ...['nsenter', `--net=/proc/${pid}/ns/net`, `--mount=/proc/${pid}/ns/mnt`, '--', 'nft', rules],
];

/** In words, as `lab status` shows it. */
export function renderCutWords({ from, way }: Cut): string {
  const whom = from === 'databases' ? 'databases on other servers' : from;
  const how = { both: 'both ways', in: 'inwards: it hears nothing', out: 'outwards: it is not heard' }[way];
  return `from ${whom}, ${how}`;
}
