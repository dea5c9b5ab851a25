// `wave`: the WordPress sites of a pool go to another image in waves, three of which break in three ways. The three must be as
// they were, database, files and code; the others upgraded, with all that was in them; visitors must not lose a request.
import type { WaveDocument } from '../../src/cli/commands/wave.ts';
import type { PageDocument } from '../../src/cli/documents.ts';
import { type Benchmark, toRow } from '../bench.ts';
import { startLoad } from '../load.ts';
import type { Place } from '../place.ts';
import { createSites, inTurns, makeNames, removeLeftovers } from '../sites.ts';
import { median, round } from '../statistics.ts';
import { BUMP, DIGESTS, PLUGIN, renderPrepare } from './site-php.ts';

const POOL = 'wordpress';
const SITES = 100;
const QUICK_SITES = 10;
const WAYS = ['table', 'page', 'words'] as const;
const AT_ONCE = 4;
const POLL_MS = 1_000;
const WAVE_MS = 7_200_000;
/** Visitors come to this many of the sites. */
const VISITED = 3;

interface SiteView {
  id: string;
  name: string;
  pool: string;
  generation: number;
  state: string;
}
interface Digests {
  database: string;
  written: string;
  files: string;
  tables: number;
  code: number;
}

export const wave: Benchmark = {
  name: 'wave',
  async run(place, { quick }) {
    await removeLeftovers(place, POOL);
    const makeName = makeNames(place);
    const there = await listSites(place, POOL);
    const names = Array.from({ length: (quick ? QUICK_SITES : SITES) - there.length }, makeName);
    place.say(`making ${names.length} sites`);
    await createSites(place, names, POOL);
    const sites = await listSites(place, POOL);
    const others = await listSites(place, 'mediawiki');
    // Not the first: the rule would stop the wave there, as it should.
    const broken = new Map(WAYS.map((way, at) => [names.at(-1 - at * 2) ?? '', way]));
    await inTurns(sites, AT_ONCE, async ({ id, name }) => {
      await php(place, id, renderPrepare(broken.get(name)));
    });
    const image = await bakeSecond(place);
    const before = await readDigests(place, sites);

    const hosts = sites.filter(({ name }) => !broken.has(name)).slice(-VISITED);
    const load = startLoad(
      place.door,
      hosts.flatMap(({ name }) => [
        { host: place.hostOf(name), method: 'GET' as const, path: '/', workers: 1, pauseMs: 500 },
        { host: place.hostOf(name), method: 'POST' as const, path: '/?s=bench', workers: 1, pauseMs: 500 },
      ]),
      () => undefined,
    );
    const startedMs = place.clock.monotonicMs();
    const wish = {
      ...{ pool: POOL, image, atOnce: AT_ONCE, checkPages: ['/', '/wp-login.php'] },
      // With few sites three are more than the usual share.
      ...{ canaries: sites.slice(0, 1).map(({ name }) => name), stopAtPercent: quick ? 30 : 5, percents: [25, 100] },
    };
    const [ended, visits] = await runWave(place, wish).then(
      async (over) => [over, await load.stop()] as const,
      async (thrown: unknown) => {
        await load.stop();
        throw thrown;
      },
    );
    const seconds = (place.clock.monotonicMs() - startedMs) / 1000;

    const now = new Map((await listSites(place, POOL)).map((site) => [site.name, site]));
    const after = await readDigests(place, [...now.values()]);
    const wrong: string[] = [];
    let [upgraded, restored] = [0, 0];
    for (const site of sites) {
      const [old, fresh, view] = [before.get(site.name), after.get(site.name), now.get(site.name)];
      if (old === undefined || fresh === undefined || view?.state !== 'ready')
        wrong.push(`${site.name} cannot be read`);
      else if (broken.has(site.name)) {
        const isBack = (['database', 'files', 'tables', 'code'] as const).every((what) => old[what] === fresh[what]);
        if (isBack && view.generation === site.generation) restored += 1;
        else wrong.push(`${site.name} (${broken.get(site.name)}) is not as it was`);
      } else {
        const isUp =
          fresh.tables === old.tables + 1 && fresh.code === old.code + 1 && view.generation !== site.generation;
        if (isUp && fresh.written === old.written && fresh.files !== old.files) upgraded += 1;
        else wrong.push(`${site.name} was not upgraded as it should`);
      }
    }
    const unmoved = await listSites(place, 'mediawiki');
    if (JSON.stringify(unmoved) !== JSON.stringify(others)) wrong.push('sites of another pool');
    const pauses = ended.items.flatMap(({ pauseMs }) => (pauseMs === null ? [] : [pauseMs / 1000]));
    const figures = { sites: sites.length, broken: broken.size, restored, upgraded, wrongly_touched: wrong.length };
    return {
      figures,
      peers: {
        wave_s: round(seconds, 1),
        pause_median_s: round(median(pauses), 1),
        pause_longest_s: round(Math.max(...pauses), 1),
        visits: visits.requests,
        visits_failed: visits.failed,
      },
      rows: [
        toRow('sites in the wave', figures.sites, ''),
        toRow('that broke and are as they were: database, files, code', restored, '', { is: '>=', value: broken.size }),
        toRow('upgraded, with all that was in them', upgraded, '', { is: '>=', value: sites.length - broken.size }),
        toRow('wrongly touched', wrong.length, '', { is: '<=', value: 0 }),
        toRow(`visits of ${hosts.length} sites that failed, of ${visits.requests}`, visits.failed, ''),
        toRow('visitors of a site were held, median', round(median(pauses), 1), 's'),
        toRow('visitors of a site were held, longest', round(Math.max(...pauses), 1), 's'),
        toRow(`the whole wave, ${AT_ONCE} sites at once`, round(seconds, 1), 's'),
      ],
      details: [
        `${ended.state}: ${ended.reason}`,
        ...ended.items.filter(({ state }) => state === 'failed').map(({ name, reason }) => `${name}: ${reason}`),
        ...wrong,
        ...Object.entries(visits.failures).map(([what, count]) => `${count} times: ${what}`),
      ],
    };
  },
};

async function listSites({ client }: Place, pool: string): Promise<SiteView[]> {
  const query = { pageSize: 500, filter: `pool=${pool} state=ready` };
  const { body } = await client.request<PageDocument<SiteView>>('GET', '/v1/sites', { query });
  return body.items.map(({ id, name, pool: on, generation, state }) => ({ id, name, pool: on, generation, state }));
}

/** Runs PHP as a site's user, in a node that has the site. */
async function php(place: Place, site: string, code: string): Promise<string> {
  const nodes = (await place.listNodes(POOL)).filter(({ state }) => state === 'ready');
  for (const { name } of nodes) {
    const known = await place.fleet.exec(name, ['test', '-e', `/etc/espalier/sites/${site}/site.json`]);
    if (known.code !== 0) continue;
    const argv = ['/usr/lib/espalier/site-exec', site, '--', 'php', '-r', code];
    const { code: exit, stdout, stderr } = await place.fleet.exec(name, argv, { timeoutMs: 120_000 });
    if (exit !== 0) throw new Error(`PHP in ${site} ended with ${exit}: ${stdout}${stderr}`.slice(0, 2_000));
    return stdout;
  }
  throw new Error(`no node has ${site}`);
}

async function readDigests(place: Place, sites: readonly SiteView[]): Promise<Map<string, Digests>> {
  place.say(`reading ${sites.length} sites`);
  const found = new Map<string, Digests>();
  await inTurns(sites, AT_ONCE, async ({ id, name }) => {
    found.set(name, JSON.parse(await php(place, id, DIGESTS)) as Digests);
  });
  return found;
}

/** An image whose WordPress is one database version on, by the way that people take: a seed, changed, baked. */
async function bakeSecond(place: Place): Promise<number> {
  place.say('baking a second image of WordPress');
  const name = `wave-${place.clock.nowMs().toString(36)}`;
  const { imageNumber } = (await place.client.request<{ imageNumber: number }>('GET', `/v1/pools/${POOL}`)).body;
  await place.finish(await place.begin('POST', '/v1/seeds', { name, app: POOL, image: imageNumber }));
  const instance = `seed-${name}`;
  await place.fleet.files.write(instance, '/usr/share/wordpress/wp-content/mu-plugins/bench.php', PLUGIN);
  const bumped = await place.fleet.exec(instance, ['php', '-r', BUMP]);
  if (bumped.code !== 0) throw new Error(`the seed could not be changed: ${bumped.stderr}`);
  await place.finish(await place.begin('POST', `/v1/seeds/${name}/bake`, { upgrade: false }));
  await place.finish(await place.begin('DELETE', `/v1/seeds/${name}`));
  const { body } = await place.client.request<PageDocument<{ recipe: string; number: number }>>('GET', '/v1/images');
  return Math.max(...body.items.filter(({ recipe }) => recipe === POOL).map(({ number }) => number));
}

async function runWave(place: Place, wish: object): Promise<WaveDocument> {
  const { body } = await place.client.request<WaveDocument>('POST', '/v1/waves', { body: wish });
  const bound = AbortSignal.timeout(WAVE_MS);
  for (let told = ''; ; ) {
    const { body: now } = await place.client.request<WaveDocument>('GET', `/v1/waves/${body.id}`, { signal: bound });
    if (now.reason !== told) place.say(now.reason);
    told = now.reason;
    if (now.state !== 'running') return now;
    await place.clock.wait(POLL_MS, bound);
  }
}
