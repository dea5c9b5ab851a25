// The deployment in which everything is measured: one of its own, with its own port, made by the command that people use
// and removed at the end. Apart from what is measured.
import { spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ApiClient, makeClient } from '../src/cli/client.ts';
import type { AcceptedDocument, OperationDocument, PageDocument } from '../src/cli/documents.ts';
import { hasEnded } from '../src/cli/documents.ts';
import type { Fleet } from '../src/engines/fleet.ts';
import { INCUS_SOCKET, makeIncusFleet } from '../src/engines/incus/fleet.ts';
import { type Clock, makeSystemClock } from '../src/lib/clock.ts';
import { defaultDataDir, toFleetPlace } from '../src/lib/deployment.ts';

export const DEPLOYMENT = process.env.ESPALIER_BENCH_DEPLOYMENT ?? 'espbench';
/** The edge's door on this machine. */
export const HTTP_PORT = Number(process.env.ESPALIER_BENCH_PORT ?? 18_480);
export const PROJECT_DIR = join(import.meta.dirname, '..');

const UP_MS = 1_800_000;
const UNDER_WAY: readonly OperationDocument['state'][] = ['pending', 'running', 'recovering'];
/** An operation's page is no light reading for the controller: it must not be kept from its work. */
const POLL_MS = 250;

export interface EdgeView {
  name: string;
  address: string;
}
export interface NodeView {
  name: string;
  pool: string;
  address: string;
  state: string;
}

export interface Place {
  readonly clock: Clock;
  readonly fleet: Fleet;
  readonly client: ApiClient;
  /** `http://127.0.0.1:PORT`: where visitors knock. */
  readonly door: string;
  /** The host name with the door's port, as a browser says it. */
  hostOf(site: string): string;
  /** Runs `./espalier --deployment espbench …`; gives its wall time. Fails with the end of what it said. */
  runEspalier(...argv: string[]): Promise<{ seconds: number }>;
  isUp(): Promise<boolean>;
  /** Brings it up where it is not. */
  ensureUp(): Promise<void>;
  /** Removes it with everything in it; nothing happens where there is none. */
  destroy(): Promise<void>;
  /** Begins an operation; gives its id. */
  begin(method: string, path: string, body?: unknown, query?: Record<string, string | number>): Promise<string>;
  /** Waits for an operation's end; throws when it did not succeed. */
  finish(id: string, timeoutMs?: number): Promise<OperationDocument>;
  /** The same for many at once, with few questions; what did not succeed is told and left out. */
  finishAll(ids: readonly string[]): Promise<OperationDocument[]>;
  listNodes(pool: string): Promise<NodeView[]>;
  readEdge(): Promise<EdgeView>;
  /** Makes a pool of the bench's own app `plain`, with as many nodes, unless it is there. */
  ensurePlainPool(size: number): Promise<void>;
  say(line: string): void;
  close(): Promise<void>;
}

/** Makes the place; nothing is begun. */
export function makePlace(): Place {
  const clock = makeSystemClock();
  const dataDir = defaultDataDir(DEPLOYMENT);
  const client = makeClient({ deployment: DEPLOYMENT, dataDir });
  const fleet = makeIncusFleet({ place: toFleetPlace(DEPLOYMENT), socketPath: INCUS_SOCKET, clock });
  const say = (line: string) => process.stderr.write(`${line}\n`);

  async function runEspalier(...argv: string[]): Promise<{ seconds: number }> {
    const folder = await mkdtemp(join(tmpdir(), 'espalier-bench-'));
    const path = join(folder, 'log');
    const log = await open(path, 'w');
    try {
      const startedMs = clock.monotonicMs();
      const child = spawn(join(PROJECT_DIR, 'espalier'), ['--deployment', DEPLOYMENT, ...argv], {
        stdio: ['ignore', log.fd, log.fd],
        timeout: UP_MS,
        env: { ...process.env, ESPALIER_APPS_DIR: join(import.meta.dirname, 'apps') },
      });
      const code = await new Promise<number | null>((resolve, reject) => {
        child.once('error', reject);
        child.once('close', resolve);
      });
      const seconds = (clock.monotonicMs() - startedMs) / 1000;
      if (code === 0) return { seconds };
      const said = (await readFile(path, 'utf8')).split('\n').slice(-40).join('\n');
      throw new Error(`espalier ${argv.join(' ')} ended with ${code}:\n${said}`);
    } finally {
      await log.close();
      await rm(folder, { recursive: true, force: true });
    }
  }

  const list = async <T>(path: string, query: Record<string, string | number> = {}): Promise<T[]> =>
    (await client.request<PageDocument<T>>('GET', path, { query: { pageSize: 500, ...query } })).body.items;

  const place: Place = {
    clock,
    fleet,
    client,
    door: `http://127.0.0.1:${HTTP_PORT}`,
    hostOf: (site) => `${site}.localhost:${HTTP_PORT}`,
    runEspalier,
    async isUp() {
      const answer = client.request<{ wanted: string; httpPort: number | null }>('GET', '/v1/deployment');
      return await answer.then(({ body }) => body.wanted === 'up' && body.httpPort === HTTP_PORT).catch(() => false);
    },
    async ensureUp() {
      say(`bringing ${DEPLOYMENT} up`);
      await runEspalier('up', '--http-port', String(HTTP_PORT));
    },
    async destroy() {
      const there = await readFile(join(dataDir, 'deployment.json')).catch(() => undefined);
      if (there !== undefined) await runEspalier('destroy', '--confirm', DEPLOYMENT);
    },
    async begin(method, path, body, query) {
      const request = { ...(body === undefined ? {} : { body }), ...(query === undefined ? {} : { query }) };
      return (await client.request<AcceptedDocument>(method, path, request)).body.operation.id;
    },
    async finish(id, timeoutMs = 600_000) {
      const bound = AbortSignal.timeout(timeoutMs);
      for (;;) {
        const { body } = await client.request<OperationDocument>('GET', `/v1/operations/${id}`, { signal: bound });
        if (body.state === 'succeeded') return body;
        if (hasEnded(body))
          throw new Error(`${body.title} ${body.state}: ${body.problem?.detail ?? 'no reason given'}`);
        await clock.wait(POLL_MS, bound);
      }
    },
    async finishAll(ids) {
      const filter = UNDER_WAY.map((state) => `state=${state}`).join(' ');
      const bound = AbortSignal.timeout(UP_MS);
      let left = new Set(ids);
      while (left.size > 0) {
        await clock.wait(POLL_MS, bound);
        const underWay = await list<{ id: string }>('/v1/operations', { filter });
        left = new Set(underWay.map(({ id }) => id).filter((id) => left.has(id)));
      }
      const ended = await Promise.allSettled(ids.map((id) => place.finish(id)));
      for (const one of ended) if (one.status === 'rejected') say(String(one.reason));
      return ended.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    },
    listNodes: (pool) => list<NodeView>('/v1/nodes', { pool }),
    async readEdge() {
      const [edge] = await list<EdgeView>('/v1/edges');
      if (edge === undefined) throw new Error('the deployment has no edge');
      return edge;
    },
    async ensurePlainPool(size) {
      const pools = await list<{ name: string; wanted: number }>('/v1/pools');
      const pool = pools.find((one) => one.name === 'plain');
      if (pool?.wanted === size) return;
      if (pool !== undefined)
        return void (await place.finish(await place.begin('POST', '/v1/pools/plain/scale', { size })));
      say('baking the image of the app plain');
      await place.finish(await place.begin('POST', '/v1/images', { recipe: 'plain' }));
      await place.finish(await place.begin('POST', '/v1/pools', { name: 'plain', app: 'plain', size }));
    },
    say,
    close: () => fleet.close(),
  };
  return place;
}
