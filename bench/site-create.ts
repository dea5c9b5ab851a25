// `site-create`: how soon a WordPress site serves on every node, beside the bare installer; fifty at once; and what two
// hundred that nobody visits cost.
import type { OperationDocument } from '../src/cli/documents.ts';
import { makeBareInstaller } from './bare-installer.ts';
import { type Benchmark, toRow } from './bench.ts';
import { type Memory, readMemory } from './memory.ts';
import type { Place } from './place.ts';
import { beginSite, createSites, inTurns, listReadySites, makeNames, removeLeftovers } from './sites.ts';
import { median, quantile, round } from './statistics.ts';
import { isPage, makeVisitor, untilServed, type Visitor } from './visit.ts';

const SAMPLES = 11;
const PARALLEL = 50;
const IDLE_SITES = 200;
const RATIO = 2.5;
const POOL = 'wordpress';
/** Made at once while the pool is filled up. */
const FILL_AT_ONCE = 10;
const CREATE_MS = 300_000;
/** PHP ends its workers after a minute, the node looks for idle masters twice a minute. */
const IDLE_MS = 300_000;
const IDLE_POLL_MS = 5_000;

interface Created {
  seconds: number;
  operation: OperationDocument;
}

export const siteCreate: Benchmark = {
  name: 'site-create',
  async run(place) {
    const nodes = await place.listNodes(POOL);
    const [first] = nodes;
    if (first === undefined) throw new Error(`the pool ${POOL} has no node`);
    const edge = makeVisitor(place.door);
    const direct = nodes.map(({ address }) => makeVisitor(`http://${address}`));
    const makeName = makeNames(place);
    await removeLeftovers(place, POOL);

    async function create(name: string): Promise<Created> {
      const host = place.hostOf(name);
      const startedMs = performance.timeOrigin + performance.now();
      const id = await beginSite(place, name, POOL);
      const bounds = { everyMs: 10, timeoutMs: CREATE_MS };
      // Through the edge first: a node that is asked before its site is there would only be kept from working.
      await untilServed(edge, { host, contains: name }, bounds);
      const served = await Promise.all(direct.map((node) => untilServed(node, { host, contains: name }, bounds)));
      return { seconds: (Math.max(...served) - startedMs) / 1000, operation: await place.finish(id) };
    }

    const bare = await makeBareInstaller(place, first);
    const samples: Created[] = [];
    const bareS: number[] = [];
    const compiledS: number[] = [];
    // One of each to warm up.
    await bare.run(false);
    await bare.run(true);
    await create(makeName());
    for (let sample = 0; sample < SAMPLES; sample += 1) {
      bareS.push(await bare.run(false));
      compiledS.push(await bare.run(true));
      samples.push(await create(makeName()));
      place.say(
        `sample ${sample + 1} of ${SAMPLES}: ${samples.at(-1)?.seconds.toFixed(2)} s, bare ${bareS.at(-1)?.toFixed(2)} s`,
      );
    }
    await bare.close();

    const containers = [...nodes.map(({ name }) => name), ...(await listServices(place))];
    await waitUntilIdle(place, nodes);
    const before = await readMemory(place.fleet, containers);
    const beforeSites = (await listReadySites(place, POOL)).length;

    place.say(`${PARALLEL} at once`);
    const parallelNames = Array.from({ length: PARALLEL }, makeName);
    const parallelMs = place.clock.monotonicMs();
    await createSites(place, parallelNames, POOL);
    const parallelS = (place.clock.monotonicMs() - parallelMs) / 1000;
    const parallelOk = await countServed(place, [edge, ...direct], parallelNames);

    const idle = await fill(place, makeName);
    await waitUntilIdle(place, nodes);
    const after = await readMemory(place.fleet, containers);
    place.say(`${idle.length} idle sites; visiting each`);
    const idleServed = await countServed(place, [edge], idle);
    await Promise.all([edge, ...direct].map((visitor) => visitor.close()));

    const perSite = (of: (memory: Memory) => number) =>
      round((of(after) - of(before)) / (idle.length - beforeSites), 2);
    const medianS = median(samples.map(({ seconds }) => seconds));
    const bareMedianS = median(bareS);
    const figures = {
      median_s: round(medianS, 2),
      bare_median_s: round(bareMedianS, 2),
      ratio: round(medianS / bareMedianS, 2),
      parallel_n: PARALLEL,
      parallel_ok: parallelOk,
      idle_sites: idleServed,
      mb_per_idle_site: perSite(({ heldMb }) => heldMb),
    };
    const peers = {
      p90_s: round(
        quantile(
          samples.map(({ seconds }) => seconds),
          0.9,
        ),
        2,
      ),
      bare_compiled_median_s: round(median(compiledS), 2),
      parallel_s: round(parallelS, 1),
      mb_per_idle_site_with_page_cache: perSite(({ withCacheMb }) => withCacheMb),
      mb_of_nodes_database_and_cache_held: round(after.heldMb, 0),
    };
    return {
      figures,
      peers,
      rows: [
        toRow('WordPress, from the call to its page on every node, median', figures.median_s, 's'),
        toRow('the bare installer beside it, median', figures.bare_median_s, 's'),
        toRow('ratio of the two', figures.ratio, '', { is: '<=', value: RATIO }),
        toRow('the bare installer with the image’s compiled code, median', peers.bare_compiled_median_s, 's'),
        toRow(`${PARALLEL} sites at once: those that serve on every node`, parallelOk, '', {
          is: '>=',
          value: PARALLEL,
        }),
        toRow(`${PARALLEL} sites at once: until the last one is done`, peers.parallel_s, 's'),
        toRow('idle sites in one pool of two nodes that all serve', idleServed, '', { is: '>=', value: IDLE_SITES }),
        toRow('memory an idle site (nodes, database and cache together)', figures.mb_per_idle_site, 'MB'),
        toRow('the same with the page cache', peers.mb_per_idle_site_with_page_cache, 'MB'),
      ],
      details: renderSteps(samples),
    };
  },
};

async function listServices({ fleet }: Place): Promise<string[]> {
  const kinds = await Promise.all(['database', 'cache'].map((kind) => fleet.instances.list({ labels: { kind } })));
  return kinds.flat().map(({ name }) => name);
}

/** Makes sites until the pool has IDLE_SITES; gives the names of all. */
async function fill(place: Place, makeName: () => string): Promise<string[]> {
  for (;;) {
    const missing = IDLE_SITES - (await listReadySites(place, POOL)).length;
    if (missing <= 0) return listReadySites(place, POOL);
    place.say(`${missing} more sites to make`);
    const names = Array.from({ length: Math.min(missing, FILL_AT_ONCE) }, makeName);
    await createSites(place, names, POOL);
  }
}

/** How many of these sites answer every visitor with their page; a few are visited at a time. */
async function countServed(place: Place, visitors: readonly Visitor[], names: readonly string[]): Promise<number> {
  let served = 0;
  await inTurns(names, 4, async (name) => {
    const host = place.hostOf(name);
    const answers = await Promise.all(visitors.map((visitor) => visitor.get(host).catch(() => undefined)));
    // The first site's title is another.
    const title = name === POOL ? '' : name;
    if (answers.every((answer) => isPage(answer, title))) served += 1;
    else place.say(`${name} does not serve: ${answers.map((answer) => answer?.status ?? 'no answer').join(', ')}`);
  });
  return served;
}

/** Until no site has a PHP process any more. */
async function waitUntilIdle({ fleet, clock, say }: Place, nodes: readonly { name: string }[]): Promise<void> {
  say('waiting until no PHP runs');
  const argv = ['systemctl', 'list-units', '--no-legend', '--state=active', 'espalier-php@*.service'];
  const endMs = clock.monotonicMs() + IDLE_MS;
  for (;;) {
    const units = await Promise.all(nodes.map(async ({ name }) => (await fleet.exec(name, argv)).stdout.trim()));
    if (units.every((listed) => listed === '')) return;
    if (clock.monotonicMs() > endMs) throw new Error(`PHP still runs after ${IDLE_MS / 1000} s:\n${units.join('\n')}`);
    await clock.wait(IDLE_POLL_MS);
  }
}

/** The median time of each step of `site.create`, and of what lies between and after them. */
function renderSteps(samples: readonly Created[]): string[] {
  const steps = samples[0]?.operation.steps.map(({ name }) => name) ?? [];
  const msOf = (from: string | null | undefined, to: string | null | undefined) =>
    Date.parse(to ?? '') - Date.parse(from ?? '');
  const lines = steps.map((name): [string, number] => {
    const of = (operation: OperationDocument) => operation.steps.find((step) => step.name === name);
    return [name, median(samples.map(({ operation }) => msOf(of(operation)?.startedAt, of(operation)?.endedAt)))];
  });
  const whole = median(samples.map(({ operation }) => msOf(operation.createdAt, operation.endedAt)));
  const inSteps = lines.reduce((sum, [, ms]) => sum + ms, 0);
  const outside = median(
    samples.map(({ seconds, operation }) => seconds * 1000 - msOf(operation.createdAt, operation.endedAt)),
  );
  return [
    ...lines,
    ['between the steps', whole - inSteps] as const,
    ['before and after the operation', outside] as const,
  ].map(([name, ms]) => `${`${Math.round(ms)} ms`.padStart(9)}  ${name}`);
}
