// `up`: from nothing to sites that a browser can open, by the command itself, and the same command again. Says where the
// time went by the operation's own steps.
import type { OperationDocument, OperationSummary, PageDocument } from '../src/cli/documents.ts';
import { renderDuration } from '../src/cli/steps/step-tree.ts';
import { type Benchmark, toRow } from './bench.ts';
import type { Place } from './place.ts';
import { round } from './statistics.ts';
import { makeVisitor, untilServed } from './visit.ts';

const FRESH_S = 180;
const AGAIN_S = 10;
/** Shorter steps are not worth a line. */
const SHOWN_MS = 1_000;
/** What `up` makes, with a text of each first page. */
const FIRST_PAGES = [
  { site: 'wordpress', path: '/', contains: 'wp-block' },
  { site: 'mediawiki', path: '/wiki/Main_Page', contains: 'mediawiki' },
];

export const up: Benchmark = {
  name: 'up',
  async run(place) {
    await place.destroy();
    const startedMs = performance.timeOrigin + performance.now();
    place.say('up, from nothing');
    await place.ensureUp();
    const visitor = makeVisitor(place.door);
    const served = await Promise.all(
      FIRST_PAGES.map(({ site, path, contains }) =>
        untilServed(visitor, { host: place.hostOf(site), path, contains }, { everyMs: 50, timeoutMs: 60_000 }),
      ),
    );
    await visitor.close();
    const freshS = round((Math.max(...served) - startedMs) / 1000, 1);
    const details = await readDurations(place);
    place.say('up, a second time');
    const againS = round((await place.runEspalier('up')).seconds, 1);
    return {
      figures: { fresh_s: freshS, again_s: againS },
      peers: {},
      rows: [
        toRow('from nothing to the first pages of both sites', freshS, 's', { is: '<=', value: FRESH_S }),
        toRow('the same command again', againS, 's', { is: '<=', value: AGAIN_S }),
      ],
      details,
    };
  },
};

/** The newest `deployment.up` as lines: each operation and step of a second or more, when it began and how long it took. */
async function readDurations({ client }: Place): Promise<string[]> {
  const query = { filter: 'kind=deployment.up', pageSize: 1 };
  const { body } = await client.request<PageDocument<OperationSummary>>('GET', '/v1/operations', { query });
  const [newest] = body.items;
  if (newest === undefined) return [];
  const zeroMs = Date.parse(newest.startedAt ?? newest.createdAt);
  const lines = [`${'began'.padStart(7)} ${'took'.padStart(12)}`];

  const add = (depth: number, name: string, startedAt: string | null, endedAt: string | null): boolean => {
    const beganMs = Date.parse(startedAt ?? '');
    const tookMs = Date.parse(endedAt ?? '') - beganMs;
    if (!(tookMs >= SHOWN_MS)) return false;
    const began = `${((beganMs - zeroMs) / 1000).toFixed(0)} s`.padStart(7);
    lines.push(`${began} ${renderDuration(tookMs).padStart(12)}  ${'  '.repeat(depth)}${name}`);
    return true;
  };
  async function walk(id: string, depth: number): Promise<void> {
    const { body: operation } = await client.request<OperationDocument>('GET', `/v1/operations/${id}`);
    if (!add(depth, operation.title, operation.startedAt, operation.endedAt)) return;
    const left = new Set(operation.children);
    for (const step of operation.steps) {
      add(depth + 1, step.name, step.startedAt, step.endedAt);
      const end = step.endedAt ?? '';
      for (const child of [...left].filter(
        ({ createdAt }) => createdAt >= (step.startedAt ?? '') && createdAt <= end,
      )) {
        left.delete(child);
        await walk(child.id, depth + 2);
      }
    }
  }
  await walk(newest.id, 0);
  return lines;
}
