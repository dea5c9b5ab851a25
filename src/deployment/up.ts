// Brings the deployment up: its place in Incus, its containers, and the first time images, services, pools and sites.
// Everything finds out what is there already, so it goes on where it was interrupted.
import { z } from 'zod';
import { NEW_CACHE } from '../caches/routes.ts';
import { NEW_DATABASE } from '../databases/routes.ts';
import { startEdgeCreate } from '../edge/create.ts';
import { listEdges } from '../edge/store.ts';
import { ensureFresh } from '../images/bake.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type StepContext,
} from '../platform/operations/operation.ts';
import { askerOf, runChild } from '../platform/operations/run-child.ts';
import type { Sql } from '../platform/store.ts';
import { newPoolSchema, startPoolCreate } from '../pools/create.ts';
import { poolLock } from '../pools/parts.ts';
import { listNodes, listPools, type NodeRow, readPool } from '../pools/store.ts';
import { waitUntilServing } from '../pools/wait.ts';
import { chooseCidr } from '../servers/addresses.ts';
import { newSiteSchema, startSiteCreate } from '../sites/admit.ts';
import { siteLock, urlOf } from '../sites/parts.ts';
import { siteProblems } from '../sites/problems.ts';
import { listSites, readSite } from '../sites/store.ts';
import { startContainers } from './containers.ts';
import { DEPLOYMENT_LOCK, type DeploymentParts, FIRST_APPS, FIRST_POOL_SIZE } from './parts.ts';
import { deploymentProblems } from './problems.ts';
import { readDeployment, storeGreeted, storeHttpPort, storeWanted } from './store.ts';

const paramsSchema = z.object({ httpPort: z.int() });
type Params = z.infer<typeof paramsSchema>;

const FIRST_PORT = 8080;
const PORTS_TRIED = 20;
const BUILD_MS = 3_600_000;
const PROBE_MS = 15_000;
/** A node boots in one to three seconds; a busy machine gets ten times that. */
const BOOT_MS = 30_000;
const BOOT_POLL_MS = 250;

/** Chooses the port for visitors and begins `deployment.up`. */
export async function startUp(parts: DeploymentParts, asked: number | undefined, who: Asker): Promise<Operation> {
  const httpPort = await choosePort(parts, asked);
  return parts.store.transaction((sql) => parts.operations.start(sql, 'deployment.up', { httpPort }, who));
}

/** The port that sites have already; before there is an edge, the one asked for or the first that is free. */
async function choosePort(parts: DeploymentParts, asked: number | undefined): Promise<number> {
  const { httpPort: kept } = await readDeployment(parts.store);
  const [edge] = await listEdges(parts.store);
  if (kept !== null && edge !== undefined) {
    if (asked !== undefined && asked !== kept) throw deploymentProblems.make('port-fixed', { port: kept, asked });
    const held = (await parts.fleet.instances.read(edge.name))?.status !== 'running' && !(await parts.isPortFree(kept));
    if (held) throw deploymentProblems.make('port-held', { port: kept });
    return kept;
  }
  const first = kept === null ? [] : [kept];
  const candidates =
    asked === undefined ? [...first, ...Array.from({ length: PORTS_TRIED }, (_, n) => FIRST_PORT + n)] : [asked];
  for (const port of candidates) if (await parts.isPortFree(port)) return port;
  throw deploymentProblems.make('port-taken', { port: asked ?? FIRST_PORT });
}

/** The operation `deployment.up`. */
export function makeDeploymentUp(parts: DeploymentParts): OperationKind<Params> {
  const { store, fleet } = parts;
  return makeOperation<Params>({
    kind: 'deployment.up',
    params: paramsSchema,
    locks: () => [DEPLOYMENT_LOCK],
    title: () => `Bring ${parts.name} up`,
    steps: ({ httpPort }) => [
      {
        name: 'place',
        timeoutMs: 120_000,
        async do({ signal }) {
          const cidr = (await fleet.usage({ signal }))?.cidr ?? chooseCidr(parts.name, parts.readTakenNetworks());
          const usage = await fleet.setUp({ driver: parts.storageDriver, cidr }, { signal });
          await storeHttpPort(store, httpPort);
          await parts.onChange();
          return { network: usage.cidr, storage: usage.driver };
        },
      },
      {
        name: 'start',
        timeoutMs: 300_000,
        async do({ signal }) {
          const started = await startContainers(fleet, signal);
          await waitForNodes(parts, started, signal);
          await storeWanted(store, 'up');
          await parts.onChange();
          return { started };
        },
      },
      {
        name: 'build',
        timeoutMs: BUILD_MS,
        async do(ctx) {
          const { greeted } = await readDeployment(store);
          const apps = greeted ? [] : FIRST_APPS;
          await allOf([
            ensureService(parts, 'database', ctx),
            ensureService(parts, 'cache', ctx),
            ensureEdge(parts, httpPort, ctx),
            ...apps.map((app) => ensurePool(parts, app, ctx)),
          ]);
        },
      },
      {
        name: 'sites',
        timeoutMs: BUILD_MS,
        async do(ctx) {
          if ((await readDeployment(store)).greeted) return;
          await allOf(FIRST_APPS.map((app) => ensureSite(parts, app, ctx)));
          await storeGreeted(store);
        },
      },
      {
        name: 'ready',
        timeoutMs: 180_000,
        async do({ signal }) {
          parts.pools.wakeHeal();
          for (const pool of await listPools(store)) {
            if (pool.state === 'ready') await waitUntilServing(parts.pools, pool.name, signal);
          }
          await parts.pools.syncEdges(signal);
          await checkThroughEdges(parts, signal);
        },
      },
    ],
  });
}

/** Waits for all, so that nothing goes on unseen, then throws the first failure. */
async function allOf(work: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(work);
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

async function ensureService(parts: DeploymentParts, noun: 'database' | 'cache', ctx: StepContext): Promise<void> {
  const room = noun === 'database' ? parts.databases : parts.caches;
  const name = noun === 'database' ? 'db1' : 'cache1';
  const existing = await room.list(parts.store);
  if (existing.some((service) => service.state !== 'creating')) return;
  await ensureFresh(parts.images, noun, ctx);
  const begin = (sql: Sql) =>
    room.startCreate(sql, { name, ...(noun === 'database' ? NEW_DATABASE : NEW_CACHE) }, askerOf(ctx));
  await runChild(parts, { kind: `${noun}.create`, lock: `${noun}:${name}`, begin }, ctx.signal);
}

async function ensureEdge(parts: DeploymentParts, httpPort: number, ctx: StepContext): Promise<void> {
  const name = 'edge1';
  if ((await listEdges(parts.store)).some((edge) => edge.state !== 'creating')) return;
  await ensureFresh(parts.images, 'edge', ctx);
  const listen = `127.0.0.1:${httpPort}`;
  const begin = (sql: Sql) => startEdgeCreate(parts.edge, sql, { name, listen }, askerOf(ctx));
  await runChild(parts, { kind: 'edge.create', lock: `edge:${name}`, begin }, ctx.signal);
}

async function ensurePool(parts: DeploymentParts, app: string, ctx: StepContext): Promise<void> {
  const existing = await readPool(parts.store, app);
  if (existing?.state === 'ready') return;
  await ensureFresh(parts.images, app, ctx);
  const wish = newPoolSchema.parse({ name: app, app, size: FIRST_POOL_SIZE });
  const begin = (sql: Sql) => startPoolCreate(parts.pools, sql, wish, askerOf(ctx));
  await runChild(parts, { kind: 'pool.create', lock: poolLock(app), begin }, ctx.signal);
}

async function ensureSite(parts: DeploymentParts, app: string, ctx: StepContext): Promise<void> {
  const existing = await readSite(parts.store, app);
  if (existing !== undefined && existing.state !== 'creating') return;
  const title = parts.sites.readRecipe(app)?.title ?? app;
  const wish = newSiteSchema.parse({ name: app, app, hosts: [`${app}.localhost`], pool: app, title: `My ${title}` });
  const begin = (sql: Sql) => startSiteCreate(parts.sites, sql, wish, askerOf(ctx));
  await runChild(parts, { kind: 'site.create', lock: siteLock(existing?.id ?? 'none'), begin }, ctx.signal);
}

/** One site of each pool must answer through every edge: an edge that has just begun still waits for its own checks. */
async function checkThroughEdges(parts: DeploymentParts, signal: AbortSignal): Promise<void> {
  const sites = (await listSites(parts.store)).filter((site) => site.state === 'ready');
  const firsts = sites.filter((site, at) => sites.findIndex((other) => other.pool === site.pool) === at);
  for (const edge of await listEdges(parts.store)) {
    if (edge.server === null || edge.address === null) continue;
    for (const site of firsts) {
      const check = parts.sites.readRecipe(site.app)?.site?.check;
      const host = new URL(urlOf(parts.sites.publicAddress, site.hosts[0] ?? '')).host;
      const target = { address: edge.address, host, path: check?.path ?? '/' };
      const answer = await parts.pools.agents.call(edge.server, 'node.probe', target, { timeoutMs: PROBE_MS, signal });
      if (!answer.ok) throw siteProblems.make('check-failed', { site: site.name, node: edge.name, why: answer.detail });
    }
  }
}

/** Lets nodes that were started answer before healing begins, which would replace them; those that do not are its work. */
async function waitForNodes(parts: DeploymentParts, started: readonly string[], signal: AbortSignal): Promise<void> {
  const untilMs = parts.clock.monotonicMs() + BOOT_MS;
  while (parts.clock.monotonicMs() < untilMs) {
    const nodes = (await listNodes(parts.store)).filter((node) => started.includes(node.name));
    const answers = await Promise.all(nodes.map((node) => answersHealth(parts, node, signal)));
    if (answers.every((answer, at) => answer && nodes[at]?.state === 'ready')) return;
    await parts.clock.wait(BOOT_POLL_MS, signal);
  }
}

async function answersHealth(parts: DeploymentParts, node: NodeRow, signal: AbortSignal): Promise<boolean> {
  if (node.server === null || node.address === null) return false;
  const target = { address: node.address, host: 'health.invalid', path: '/.espalier/health', contains: 'ok' };
  const asked = parts.pools.agents.call(node.server, 'node.probe', target, { timeoutMs: PROBE_MS, signal });
  return asked.then(
    (answer) => answer.ok,
    () => false,
  );
}
