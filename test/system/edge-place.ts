// An edge container made by its recipe and a few nodes that answer with what they were asked, in an Incus project of
// their own. Apart so that edge.test.ts reads as what the edge does.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { type EdgeApplier, makeEdgeApplier } from '../../src/agent/edge.ts';
import { renderBaseBuild, renderTar } from '../../src/apps/bake.ts';
import { readBase, readRecipe } from '../../src/apps/read-recipe.ts';
import type { Fleet } from '../../src/engines/fleet.ts';
import { makeIncusFleet } from '../../src/engines/incus/fleet.ts';
import { renderMetadata } from '../../src/images/make-base.ts';
import { type Clock, makeSystemClock } from '../../src/lib/clock.ts';
import { makeSilentLogger } from '../../src/lib/log.ts';
import { holdPlace } from './hold-place.ts';
import { until } from './live-http.ts';

const NAME = 'esp-test-edge';
const ROOT = join(import.meta.dirname, '../..');
const run = promisify(execFile);

export const EDGE = '10.87.114.10';
/** Where the proxy device on the host brings visitors in with the PROXY protocol. */
export const DOOR_PORT = 18_114;
export const nodeAddress = (name: string) => `10.87.114.2${name.slice(1)}`;
/** Where a node in the test's hand listens: this machine, as the edge sees it. */
export const HAND = { address: '10.87.114.1', port: 18_115 };

export interface EdgePlace {
  fleet: Fleet;
  /** The host directory that is /etc/espalier-edge in the container. */
  dir: string;
  applier: EdgeApplier;
  /** As an agent that was started anew: it knows nothing but the directory. */
  makeApplier(clock?: Clock): EdgeApplier;
  /** Runs a command in a container; throws unless it exits with 0. */
  exec(container: string, ...argv: string[]): Promise<string>;
  close(): Promise<void>;
}

/** Debian, HAProxy and the recipe's files in one go: what the images room bakes in layers. */
async function makeImage(fleet: Fleet, folder: string): Promise<void> {
  const base = await readBase(join(ROOT, 'apps/base'));
  const edge = await readRecipe(join(ROOT, 'services/edge'));
  const writeTar = async (name: string, from: string) => {
    const [tar = '', ...args] = renderTar(from);
    const { stdout } = await run(tar, args, { encoding: 'buffer', maxBuffer: 2 ** 26 });
    await writeFile(join(folder, name), stdout);
    return join(folder, name);
  };
  const rootfs = join(folder, 'rootfs.tar');
  const edgeTar = await writeTar('edge.tar', join(edge.folder, 'files'));
  const argv = renderBaseBuild({
    base: { ...base.value, packages: [...base.value.packages, ...edge.value.packages] },
    suite: 'trixie',
    filesTar: await writeTar('base.tar', join(base.folder, 'files')),
    prepareScript: join(base.folder, 'prepare.sh'),
    out: rootfs,
  });
  const hooks = [`tar-in ${edgeTar} /`, `chroot "$1" /bin/bash -s <${join(edge.folder, 'prepare.sh')}`];
  argv.splice(-2, 0, ...hooks.map((hook) => `--customize-hook=${hook}`));
  const [mmdebstrap = '', ...args] = argv;
  await run(mmdebstrap, args, { timeout: 300_000, maxBuffer: 2 ** 26 });
  await writeFile(join(folder, 'metadata.yaml'), renderMetadata('edge', 1));
  const metadata = join(folder, 'metadata.tar');
  await run('tar', ['-C', folder, '-cf', metadata, 'metadata.yaml']);
  await fleet.images.import({ metadata, rootfs }, { alias: 'edge', labels: { kind: 'image' } });
}

/** A node: HAProxy as a web server that tells what it was asked. `/broken` hangs up without a word on `n1` and answers elsewhere. */
function renderNode(name: string): string {
  return `global
    user haproxy
    group haproxy
defaults
    mode http
    timeout client 60s
    timeout http-keep-alive 60s
    timeout connect 1s
    timeout server 1s
frontend node
    bind :80
    http-request return status 200 content-type text/plain string ok if { path /.espalier/health }
${name === 'n1' ? '    http-request reject if { path /broken }\n' : ''}\
    http-request return status 200 content-type text/plain lf-string "${name} for=%[req.fhdr(x-forwarded-for)] proto=%[req.fhdr(x-forwarded-proto)] host=%[req.fhdr(x-forwarded-host)] real=%[req.fhdr(x-real-ip)] fwd=%[req.fhdr(forwarded)] ssl=%[req.fhdr(x-forwarded-ssl)]"
`;
}

/** Makes the place anew: what an earlier, killed run left behind is removed first. Takes about 40 s. */
export async function makeEdgePlace(nodes: readonly string[]): Promise<EdgePlace> {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-edge-'));
  const dir = join(folder, 'edge');
  const fleet = makeIncusFleet({ place: { project: NAME, network: NAME, storagePool: NAME } });
  await holdPlace(NAME);
  await fleet.tearDown();
  await fleet.setUp({ driver: 'btrfs', sizeGib: 4, cidr: '10.87.114.1/24' });
  await makeImage(fleet, folder);

  const makeApplier = (clock = makeSystemClock()) => makeEdgeApplier({ dir, log: makeSilentLogger(), clock });
  const applier = makeApplier();
  await applier.prepare();
  const config = { 'security.idmap.isolated': 'true' };
  const source = { image: 'edge' };
  for (const name of nodes) {
    const devices = { eth0: { kind: 'nic' as const, ipv4Address: nodeAddress(name) } };
    await fleet.instances.create({ name, source, labels: { kind: 'node' }, config, devices });
    await fleet.files.write(name, '/etc/espalier-edge/haproxy.cfg', renderNode(name));
    await fleet.instances.start(name);
  }
  await fleet.instances.create({
    name: 'edge',
    source,
    labels: { kind: 'edge' },
    config,
    devices: {
      eth0: { kind: 'nic', ipv4Address: EDGE },
      config: { kind: 'disk', source: dir, path: '/etc/espalier-edge', shift: true },
      door: {
        kind: 'proxy',
        listen: `tcp:127.0.0.1:${DOOR_PORT}`,
        connect: 'tcp:127.0.0.1:81',
        proxyProtocol: true,
      },
    },
    start: true,
  });
  return {
    ...{ fleet, dir, applier, makeApplier },
    async exec(container, ...argv) {
      const { code, stdout, stderr } = await fleet.exec(container, argv);
      if (code !== 0) throw new Error(`${argv.join(' ')} in ${container} exited with ${code}: ${stderr}`);
      return stdout;
    },
    async close() {
      await fleet.tearDown();
      await fleet.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A node in the test's hand. */
export interface Hand {
  /** Waits until so many requests have come. */
  has(count: number): Promise<void>;
  /** Answers them, and from now on whatever comes. */
  answer(): void;
}

/** Opens the hand until the end of the test: what it is asked waits there. */
export async function openHand(t: TestContext): Promise<Hand> {
  const told = Promise.withResolvers<void>();
  let came = 0;
  const server = http.createServer(({ url }, response) => {
    const answer = () => response.end('hand');
    if (url === '/.espalier/health') answer();
    else {
      came++;
      void told.promise.then(answer);
    }
  });
  server.listen(HAND.port, HAND.address);
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    async has(count) {
      await until(
        `${count} requests at the node`,
        20_000,
        async () => (came === count ? true : undefined),
        () => `${came}`,
      );
    },
    answer: () => told.resolve(),
  };
}

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: string;
}

export interface Ask {
  host?: string;
  path?: string;
  method?: string;
  headers?: Record<string, string>;
  address?: string;
  port?: number;
  agent?: http.Agent;
}

/** One request to the edge; rejects when there is no whole answer within 30 s. */
export function ask(what: Ask = {}): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const request = http.request(
    {
      host: what.address ?? EDGE,
      port: what.port ?? 80,
      path: what.path ?? '/',
      method: what.method ?? 'GET',
      agent: what.agent ?? false,
      headers: { host: what.host ?? 'acme.test', ...what.headers },
      timeout: 30_000,
    },
    (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (data: string) => {
        body += data;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      response.on('error', reject);
    },
  );
  request.on('timeout', () => request.destroy(new Error('no answer within 30 s')));
  request.on('error', reject);
  request.end();
  return promise;
}

/** Asks again and again until the answer is as wanted; returns how long that took. */
export async function askUntil(
  isWanted: (answer: Answer) => boolean,
  what: Ask = {},
  withinMs = 30_000,
): Promise<number> {
  const startedMs = performance.now();
  for (;;) {
    const answer = await ask(what).catch(() => undefined);
    const tookMs = performance.now() - startedMs;
    if (answer !== undefined && isWanted(answer)) return tookMs;
    if (tookMs > withinMs) throw new Error(`still ${answer?.status ?? 'no answer'} after ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export interface Load {
  /** Lets every request end, and says how it went. */
  stop(): Promise<{ requests: number; failures: string[]; nodes: string[] }>;
}

/** Asks without a pause: eight visitors on kept connections, two that connect anew each time. Ends with the test. */
export function startLoad(t: TestContext): Load {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const failures: string[] = [];
  const nodes = new Set<string>();
  let requests = 0;
  let stopping = false;
  const visit = async (kept: boolean) => {
    while (!stopping) {
      requests++;
      try {
        const answer = await ask(kept ? { agent } : {});
        if (answer.status === 200) nodes.add(answer.body.slice(0, 2));
        else failures.push(`status ${answer.status}`);
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }
  };
  const visitors = Array.from({ length: 10 }, (_, index) => visit(index < 8));
  t.after(() => {
    stopping = true;
  });
  return {
    async stop() {
      stopping = true;
      await Promise.all(visitors);
      agent.destroy();
      return { requests, failures, nodes: [...nodes].sort() };
    },
  };
}
