// `edge`: what our HAProxy costs beside one that was configured by hand and beside none, how soon it knows a new host or
// node, and whether anything is lost while nodes come and go.
import type { EventDocument, PageDocument } from '../src/cli/documents.ts';
import { type BareProxy, startBareProxy } from './bare-proxy.ts';
import { type Benchmark, type Row, toRow } from './bench.ts';
import { type LoadReport, startLoad } from './load.ts';
import type { Place } from './place.ts';
import { beginSite, createSite, listReadySites, makeNames, removeLeftovers } from './sites.ts';
import { median, quantile, round } from './statistics.ts';
import { makeVisitor, untilServed } from './visit.ts';
import { ensureWrk, runWrk, type WrkReport } from './wrk.ts';

const TO_BARE = 0.95;
const TO_NODE = 0.9;
const READY_TO_SERVED_MS = 200;
const ROUNDS = 7;
const ROUND_S = 5;
const NEW_HOSTS = 50;
/** From two nodes to three and back, so often. */
const SCALINGS = 3;
/** A site is limited to 50 pages a second; six of them are more than the machine can make. */
const WORDPRESS_SITES = 6;
const WAYS = ['edge', 'bare', 'node'] as const;
type Way = (typeof WAYS)[number];
/** The page that the two ratios among the figures are of; the cheaper ones are told beside them. */
const APPLICATION_PAGE = 'WordPress page';

interface Page {
  name: string;
  hosts: string[];
  path: string;
  connections: number;
  /** Where its nodes are asked directly: both, since the proxies use both. */
  nodes: string[];
}

export const edge: Benchmark = {
  name: 'edge',
  async run(place) {
    await ensureWrk();
    await removeLeftovers(place, 'plain');
    await place.ensurePlainPool(2);
    const makeName = makeNames(place);
    const plain = makeName();
    await createSite(place, plain, 'plain');
    while ((await listReadySites(place, 'wordpress')).length < WORDPRESS_SITES) {
      await createSite(place, makeName(), 'wordpress');
    }
    const throughput = await measureThroughput(place, plain);
    const hostsMs = await measureNewHosts(place, makeName);
    const { nodesMs, phpMs, requests, failed, longestMs } = await measureScaling(place, plain);
    const readyMs = [...hostsMs, ...nodesMs];

    const application = throughput.find(({ page }) => page === APPLICATION_PAGE);
    const figures = {
      ratio_to_bare_haproxy: application?.pages.toBare ?? Number.NaN,
      ratio_to_node: application?.pages.toNode ?? Number.NaN,
      ready_to_served_ms_p99: round(quantile(readyMs, 0.99), 0),
      failed_requests: failed,
    };
    const peers = {
      ...Object.assign({}, ...throughput.map(({ peers: all }) => all)),
      new_hosts: hostsMs.length,
      new_host_served_ms_median: round(median(hostsMs), 0),
      new_nodes: nodesMs.length,
      new_node_served_ms_median: round(median(nodesMs), 0),
      new_node_first_php_ms_median: round(median(phpMs), 0),
      requests_while_scaling: requests,
      longest_answer_while_scaling_ms: longestMs,
    } as Record<string, number>;
    return {
      figures,
      peers,
      rows: [
        ...throughput.flatMap(({ rows }) => rows),
        toRow(
          `from ready to served, p99 of ${hostsMs.length} hosts and ${nodesMs.length} nodes`,
          figures.ready_to_served_ms_p99,
          'ms',
          {
            is: '<=',
            value: READY_TO_SERVED_MS,
          },
        ),
        toRow(
          'a new node’s first page of a PHP that slept until then, median',
          peers.new_node_first_php_ms_median ?? 0,
          'ms',
        ),
        toRow(
          `failed of ${requests} requests while the pool went ${SCALINGS} times from 2 nodes to 3 and back`,
          failed,
          '',
          {
            is: '<=',
            value: 0,
          },
        ),
      ],
      details: throughput.flatMap(({ details }) => details),
    };
  },
};

interface Throughput {
  page: string;
  pages: { toBare: number; toNode: number };
  peers: Record<string, number>;
  rows: Row[];
  details: string[];
}

/** wrk on every page by every way, in turns. */
async function measureThroughput(place: Place, plain: string): Promise<Throughput[]> {
  const { address } = await place.readEdge();
  const nodes = { plain: await place.listNodes('plain'), wordpress: await place.listNodes('wordpress') };
  const nodesOf = (pool: keyof typeof nodes) => nodes[pool].map((node) => `${node.address}:80`);
  const wordpress = (await listReadySites(place, 'wordpress')).slice(0, WORDPRESS_SITES).map(place.hostOf);
  const pages: Page[] = [
    { name: 'static file', hosts: [place.hostOf(plain)], path: '/file.txt', connections: 32, nodes: nodesOf('plain') },
    { name: 'small PHP page', hosts: [place.hostOf(plain)], path: '/', connections: 16, nodes: nodesOf('plain') },
    { name: APPLICATION_PAGE, hosts: wordpress, path: '/', connections: 8, nodes: nodesOf('wordpress') },
  ];
  const proxy = await startBareProxy(place, plain, nodes);
  try {
    const measured: Throughput[] = [];
    for (const page of pages) measured.push(await measurePage(place, page, { address, proxy }));
    return measured;
  } finally {
    await proxy.stop();
  }
}

async function measurePage(place: Place, page: Page, at: { address: string; proxy: BareProxy }): Promise<Throughput> {
  const origins: Record<Way, string[]> = { edge: [`${at.address}:80`], bare: [at.proxy.origin], node: page.nodes };
  const reports: Record<Way, WrkReport[]> = { edge: [], bare: [], node: [] };
  const ask = (way: Way, seconds: number) => runWrk(origins[way], page, { connections: page.connections, seconds });
  for (const way of WAYS) await ask(way, 2);
  for (let turn = 0; turn < ROUNDS; turn += 1) {
    // Each round begins with another, so that none always follows the same one.
    for (const way of [...WAYS.slice(turn % 3), ...WAYS.slice(0, turn % 3)]) reports[way].push(await ask(way, ROUND_S));
    const told = WAYS.map((way) => `${way} ${reports[way].at(-1)?.pagesPerS.toFixed(0)}/s`).join(', ');
    place.say(`${page.name}, round ${turn + 1} of ${ROUNDS}: ${told}`);
  }
  const ratio = (of: (report: WrkReport, other: WrkReport) => number, way: Way) =>
    round(median(reports.edge.map((report, turn) => of(report, reports[way][turn] ?? report))), 3);
  const speed = (way: Way) => ratio((report, other) => report.pagesPerS / other.pagesPerS, way);
  const p99 = (way: Way) => ratio((report, other) => other.p99Ms / report.p99Ms, way);
  const pagesRatio = { toBare: speed('bare'), toNode: speed('node') };
  const failed = WAYS.reduce((sum, way) => sum + reports[way].reduce((all, report) => all + report.failed, 0), 0);
  if (failed > 0) throw new Error(`${failed} requests for the ${page.name} failed; the ratios would mean nothing`);
  const key = page.name.toLowerCase().replaceAll(' ', '_');
  const middle = (way: Way, of: (report: WrkReport) => number) => median(reports[way].map(of));
  // Two cores carry wrk, the proxy and the node together: beside a page that costs nothing a proxy's own work is most of it.
  const toNode = page.name === APPLICATION_PAGE ? { is: '>=' as const, value: TO_NODE } : undefined;
  return {
    page: page.name,
    pages: pagesRatio,
    peers: {
      [`${key}_p99_ratio_to_bare_haproxy`]: p99('bare'),
      [`${key}_p99_ratio_to_node`]: p99('node'),
      [`${key}_ratio_to_bare_haproxy`]: pagesRatio.toBare,
      [`${key}_ratio_to_node`]: pagesRatio.toNode,
    },
    rows: [
      toRow(`${page.name}: pages/s to HAProxy by hand`, pagesRatio.toBare, '', { is: '>=', value: TO_BARE }),
      toRow(`${page.name}: p99 of HAProxy by hand to ours`, p99('bare'), '', { is: '>=', value: TO_BARE }),
      toRow(`${page.name}: pages/s to the node directly`, pagesRatio.toNode, '', toNode),
      toRow(`${page.name}: p99 of the node to ours`, p99('node'), '', toNode),
    ],
    details: WAYS.map((way) => {
      const facts = [
        middle(way, (one) => one.pagesPerS),
        middle(way, (one) => one.p50Ms),
        middle(way, (one) => one.p99Ms),
      ];
      const [speedText, p50, p99Text] = facts.map((fact) => fact.toFixed(fact < 1000 ? 1 : 0));
      return `${page.name.padEnd(15)} ${way.padEnd(5)} ${speedText?.padStart(7)} pages/s   p50 ${p50?.padStart(6)} ms   p99 ${p99Text?.padStart(6)} ms`;
    }),
  };
}

/** For each of NEW_HOSTS new sites: from the event that says it is ready to its first page at the door. */
async function measureNewHosts(place: Place, makeName: () => string): Promise<number[]> {
  place.say(`${NEW_HOSTS} new hosts`);
  const visitor = makeVisitor(place.door);
  const times: number[] = [];
  for (let made = 0; made < NEW_HOSTS; made += 1) {
    const name = makeName();
    const id = await beginSite(place, name, 'plain');
    const page = { host: place.hostOf(name), contains: 'A page of PHP' };
    const servedMs = await untilServed(visitor, page, { everyMs: 2, timeoutMs: 60_000 });
    const { params } = (await place.finish(id)) as unknown as { params: { site: string } };
    const readyMs = await readEventMs(place, 'site.created', `site:${params.site}`);
    times.push(Math.max(0, servedMs - readyMs));
  }
  await visitor.close();
  return times;
}

async function readEventMs({ client }: Place, kind: string, subject: string): Promise<number> {
  const { body } = await client.request<PageDocument<EventDocument>>('GET', '/v1/events', { query: { kind, subject } });
  const [event] = body.items;
  if (event === undefined) throw new Error(`there is no event ${kind} of ${subject}`);
  return Date.parse(event.at);
}

/** Scales up and down under load; for each new node from its event to the first answer it gave through the edge. */
async function measureScaling(place: Place, plain: string) {
  const host = place.hostOf(plain);
  const filesMs = new Map<string, number>();
  const pagesMs = new Map<string, number>();
  const load = startLoad(
    place.door,
    [
      { host, method: 'GET', path: '/file.txt', workers: 4, pauseMs: 10 },
      { host, method: 'GET', path: '/', workers: 4, pauseMs: 10 },
      { host, method: 'POST', path: '/', workers: 2, pauseMs: 10 },
      { host, method: 'GET', path: '/?wait=400', workers: 4, pauseMs: 10 },
    ],
    (node, { path }) => {
      const first = path === '/file.txt' ? filesMs : pagesMs;
      if (!first.has(node)) first.set(node, performance.timeOrigin + performance.now());
    },
  );
  const before = new Set((await place.listNodes('plain')).map(({ name }) => name));
  let report: LoadReport;
  try {
    for (let turn = 0; turn < SCALINGS; turn += 1) {
      for (const size of [3, 2]) {
        place.say(`scaling to ${size} under load, ${turn + 1} of ${SCALINGS}`);
        await place.finish(await place.begin('POST', '/v1/pools/plain/scale', { size }));
        await place.clock.wait(1_000);
      }
    }
  } finally {
    report = await load.stop();
    for (const [what, times] of Object.entries(report.failures)) place.say(`failed ${times} times: ${what}`);
  }
  const sinceReady = (first: ReadonlyMap<string, number>) =>
    Promise.all(
      [...first]
        .filter(([node]) => !before.has(node))
        .map(async ([node, atMs]) => Math.max(0, atMs - (await readEventMs(place, 'node.ready', `node:${node}`)))),
    );
  const nodesMs = await sinceReady(filesMs);
  if (nodesMs.length !== SCALINGS) throw new Error(`${nodesMs.length} of ${SCALINGS} new nodes served`);
  return { nodesMs, phpMs: await sinceReady(pagesMs), ...report };
}
