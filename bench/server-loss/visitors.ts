// Visitors of all sites, in a process of its own that is started in the network of a lab's first server: the edge's door is there.
// `node visitors.ts JSON`; each line on its standard input is answered with what they have met so far.
import { createInterface } from 'node:readline';
import { startLoad } from '../load.ts';

export interface VisitorsOrder {
  /** The edge inside the deployment's network. */
  origin: string;
  hosts: string[];
  workersEach: number;
}

export interface Met {
  requests: number;
  failed: number;
  failedIdempotent: number;
  failures: Record<string, number>;
}

const order = JSON.parse(process.argv[2] ?? '{}') as VisitorsOrder;
// Both apps answer a search, a page of PHP, at this address.
const PAGE = '/index.php?s=a';
const reads = order.hosts.map((host) => ({ host, method: 'GET' as const, path: PAGE }));
// Not asked twice by the edge.
const writes = order.hosts.map((host) => ({ host, method: 'POST' as const, path: PAGE }));
const begin = (parts: readonly (typeof reads | typeof writes)[number][], workers: number) =>
  startLoad(
    order.origin,
    parts.map((part) => ({ ...part, workers, pauseMs: 100 })),
    () => undefined,
  );
const idempotent = begin(reads, order.workersEach);
const others = begin(writes, 1);

createInterface({ input: process.stdin }).once('line', () => {
  void Promise.all([idempotent.stop(), others.stop()]).then(([one, other]) => {
    const met: Met = {
      requests: one.requests + other.requests,
      failed: one.failed + other.failed,
      failedIdempotent: one.failed,
      failures: { ...one.failures, ...other.failures },
    };
    process.stdout.write(`${JSON.stringify(met)}\n`, () => process.exit(0));
  });
});
process.stdin.once('close', () => process.exit(0));
