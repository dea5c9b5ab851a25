// `heal`: a node is killed under load. How many requests fail, and how soon a new node serves.
import { type Benchmark, toRow } from './bench.ts';
import { startLoad } from './load.ts';
import type { Place } from './place.ts';
import { createSite, makeNames, removeLeftovers } from './sites.ts';
import { median, round } from './statistics.ts';

const KILLS = 3;
const SERVE_AGAIN_S = 15;
const AGAIN_MS = 120_000;
const POLL_MS = 100;

export const heal: Benchmark = {
  name: 'heal',
  async run(place) {
    await removeLeftovers(place, 'plain');
    await place.ensurePlainPool(2);
    const name = makeNames(place)();
    await createSite(place, name, 'plain');
    const host = place.hostOf(name);
    const seen = new Map<string, number>();
    const load = startLoad(
      place.door,
      [
        { host, method: 'GET', path: '/', workers: 8, pauseMs: 10 },
        { host, method: 'GET', path: '/file.txt', workers: 4, pauseMs: 10 },
        { host, method: 'GET', path: '/?wait=400', workers: 4, pauseMs: 10 },
      ],
      (node, { path }) => {
        // A page of PHP: the node serves the site, not only files.
        if (path !== '/file.txt' && !seen.has(node)) seen.set(node, performance.now());
      },
    );
    const times: number[] = [];
    const details: string[] = [];
    try {
      for (let kill = 0; kill < KILLS; kill += 1) {
        const seconds = await killOne(place, seen);
        times.push(seconds);
        place.say(`kill ${kill + 1} of ${KILLS}: a new node serves after ${seconds.toFixed(1)} s`);
        await settle(place);
      }
    } finally {
      const { failures } = await load.stop();
      details.push(...Object.entries(failures).map(([what, count]) => `${count} times: ${what}`));
    }
    const { requests, failed, longestMs } = await load.stop();
    const figures = { failed_requests: failed, serve_again_s: round(Math.max(...times), 1) };
    return {
      figures,
      peers: { kills: KILLS, requests, serve_again_median_s: round(median(times), 1), longest_answer_ms: longestMs },
      rows: [
        toRow(`failed of ${requests} requests while a node was killed ${KILLS} times`, failed, '', {
          is: '<=',
          value: 0,
        }),
        toRow('until a new node served, the longest', figures.serve_again_s, 's', { is: '<=', value: SERVE_AGAIN_S }),
        toRow('the longest wait of any request', longestMs, 'ms'),
      ],
      details,
    };
  },
};

/** Kills the pool's oldest node; gives the seconds until a node that was not there before has served a page. */
async function killOne(place: Place, seen: ReadonlyMap<string, number>): Promise<number> {
  const before = await place.listNodes('plain');
  const names = new Set(before.map(({ name }) => name));
  const [victim] = before;
  if (victim === undefined) throw new Error('the pool has no node to kill');
  const killedMs = performance.now();
  await place.fleet.instances.stop(victim.name, { force: true });
  const bound = AbortSignal.timeout(AGAIN_MS);
  for (;;) {
    const served = [...seen].find(([node, atMs]) => !names.has(node) && atMs > killedMs);
    if (served !== undefined) return (served[1] - killedMs) / 1000;
    await place.clock.wait(POLL_MS, bound);
  }
}

/** Until the pool is two ready nodes and nothing else. */
async function settle(place: Place): Promise<void> {
  const bound = AbortSignal.timeout(AGAIN_MS);
  for (;;) {
    const nodes = await place.listNodes('plain');
    if (nodes.length === 2 && nodes.every(({ state }) => state === 'ready')) return;
    await place.clock.wait(POLL_MS, bound);
  }
}
