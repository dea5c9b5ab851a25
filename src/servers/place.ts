// Chooses the server for a new container, with the reason. A pure decision over what the servers reported, apart from
// the store so that every rule is tested without one.
import { readFullDisk } from './flaws.ts';
import { serverProblems } from './problems.ts';
import type { ServerRow } from './store.ts';

export interface Placement {
  server: string;
  /** The sentence that is stored with the decision. */
  reason: string;
}

/** The one server on which something can be, and why: `its uploads lie there`. */
export interface OnlyOn {
  server: string;
  why: string;
}

export interface PlacementWish {
  /** What the container is expected to use. */
  memoryMb: number;
  /** How many containers of the same group (a pool) each server already carries. */
  groupOn: ReadonlyMap<string, number>;
  /** How many containers boot on each server now: none gets more than a few at once while others could take them. */
  startingOn?: ReadonlyMap<string, number>;
  /** It can be on this server only. */
  only?: OnlyOn;
}

/** So many containers boot on a server at once: after the loss of others all want to, and each would boot slowly. */
export const MOST_STARTING = 4;

/** Below this a server is left alone: what runs there needs room for peaks. */
export const RESERVED_MEMORY_MB = 512;

/** What a server said last of its free memory. */
export const freeMb = (server: ServerRow): number => Math.floor((server.load?.memoryAvailableBytes ?? 0) / 2 ** 20);
const pressure = (server: ServerRow): number =>
  Math.max(server.load?.cpuPressure ?? 0, server.load?.memoryPressure ?? 0, server.load?.ioPressure ?? 0);

/**
 * The ready server in whose failure domain there are the fewest of the group, then itself with the fewest, then with the least
 * pressure, then with the most free memory.
 */
export function choosePlacement(servers: readonly ServerRow[], wish: PlacementWish): Placement {
  const ready = servers.filter((one) => one.state === 'ready' && one.load !== undefined && !one.isEngineSilent);
  if (ready.length === 0) {
    const why = servers.map((server) => `${server.name} is ${server.state} (${server.reason})`).join('; ');
    throw serverProblems.make('none-ready', { why: why || 'no server has joined yet' });
  }
  const { only } = wish;
  const may = only === undefined ? ready : ready.filter(({ name }) => name === only.server);
  if (may.length === 0)
    throw serverProblems.make('only-one-away', { server: only?.server ?? '', why: only?.why ?? '' });
  const roomy = may.filter(
    (server) => freeMb(server) - RESERVED_MEMORY_MB >= wish.memoryMb && readFullDisk(server) === undefined,
  );
  if (roomy.length === 0) {
    const renderFull = (server: ServerRow) => {
      const full = readFullDisk(server);
      return full === undefined ? '' : `, and its ${full.what} is full`;
    };
    const best = may.map((server) => `${server.name} has ${freeMb(server)} MB free${renderFull(server)}`).join(', ');
    throw serverProblems.make('no-memory', { neededMb: wish.memoryMb + RESERVED_MEMORY_MB, best });
  }
  const group = (server: ServerRow): number => wish.groupOn.get(server.name) ?? 0;
  const domains = new Map<string, number>();
  for (const one of servers) domains.set(one.domain, (domains.get(one.domain) ?? 0) + group(one));
  const inDomain = ({ domain }: ServerRow): number => domains.get(domain) ?? 0;
  const starting = ({ name }: ServerRow): number => wish.startingOn?.get(name) ?? 0;
  const calm = roomy.filter((server) => starting(server) < MOST_STARTING);
  const [best] = [...(calm.length > 0 ? calm : roomy)].sort(
    (a, b) =>
      inDomain(a) - inDomain(b) ||
      group(a) - group(b) ||
      starting(a) - starting(b) ||
      pressure(a) - pressure(b) ||
      freeMb(b) - freeMb(a) ||
      (a.name < b.name ? -1 : 1),
  );
  if (best === undefined) throw new Error('a list that is not empty has a first element');
  if (only !== undefined) {
    return { server: best.name, reason: `${best.name} is the only server that it can be on: ${only.why}` };
  }
  const domainWords = best.domain === best.name ? '' : ` and ${inDomain(best)} in ${best.domain}`;
  const choice = roomy.length === 1 ? 'the only server with room' : `the best of ${roomy.length} with room`;
  return {
    server: best.name,
    reason: `${best.name} is ${choice}: ${group(best)} of its kind there${domainWords}, ${pressure(best).toFixed(0)} % pressure, ${freeMb(best)} MB free`,
  };
}
