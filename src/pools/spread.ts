// Which nodes of a pool leave so that those that stay are spread as well as they can be. A pure decision, apart from the
// store so that every rule is tested without one; the counterpart of placing (servers/place.ts).
import type { ServerRow } from '../servers/store.ts';
import type { NodeRow } from './store.ts';

type Known = Pick<ServerRow, 'name' | 'state' | 'domain'>;

/**
 * The nodes that serve in the order in which they leave. `living`: all that count, those that boot included, the oldest first.
 * First those on servers that are being emptied or are lost; then each time one of the failure domain that has the most, of it
 * one of the server that has the most, of those the oldest. Whatever beginning of the order leaves, the rest is spread.
 */
export function orderBySpread(living: readonly NodeRow[], servers: readonly Known[]): NodeRow[] {
  const known = new Map(servers.map((server) => [server.name, server]));
  const isOut = ({ server }: NodeRow): boolean => (known.get(server ?? '')?.state ?? 'ready') !== 'ready';
  const domainOf = ({ server }: NodeRow): string => known.get(server ?? '')?.domain ?? server ?? '';
  const staying = new Set(living);
  const count = (isAlike: (node: NodeRow) => boolean): number => [...staying].filter(isAlike).length;
  const leaving: NodeRow[] = [];
  for (;;) {
    const ranked = [...staying]
      .filter(({ state }) => state === 'ready')
      .map((node) => ({
        node,
        out: isOut(node) ? 1 : 0,
        inDomain: count((other) => domainOf(other) === domainOf(node)),
        onServer: count((other) => other.server === node.server),
      }))
      // Sorting keeps the order of equals: the oldest stay first.
      .sort((a, b) => b.out - a.out || b.inDomain - a.inDomain || b.onServer - a.onServer);
    const [first] = ranked;
    if (first === undefined) return leaving;
    staying.delete(first.node);
    leaving.push(first.node);
  }
}
