// The controller's program: the only place that constructs things. Reads its arguments, opens the store, puts the rooms
// together, serves the API, and ends in order.
//   node src/main.ts --deployment NAME --data-dir DIR [--api-port PORT] [--simulated]
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeApi } from './api/api.ts';
import { serveApi } from './api/server.ts';
import { makeTokenRoutes } from './api/token-routes.ts';
import { listRecipes, readBase, readLayer } from './apps/read-recipe.ts';
import { makeSystemClock } from './lib/clock.ts';
import { DEFAULT_DEPLOYMENT, defaultDataDir } from './lib/deployment.ts';
import { makeLogger } from './lib/log.ts';
import { VERSION } from './lib/version.ts';
import { makeEngines } from './make-engines.ts';
import { makeRooms } from './make-rooms.ts';
import { openPlatform } from './open-platform.ts';

async function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

async function run(): Promise<void> {
  const { values } = parseArgs({
    options: {
      deployment: { type: 'string', default: DEFAULT_DEPLOYMENT },
      'data-dir': { type: 'string' },
      'api-port': { type: 'string' },
      simulated: { type: 'boolean', default: false },
    },
  });
  const { deployment, simulated } = values;
  const dataDir = values['data-dir'] ?? defaultDataDir(deployment);
  const log = makeLogger('controller', process.env.ESPALIER_LOG_LEVEL ?? 'info');
  const clock = makeSystemClock();
  const closing = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve());
  });

  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const root = join(import.meta.dirname, '..');
  const platform = await openPlatform({
    dataDir,
    url: process.env.ESPALIER_DATABASE_URL,
    clock,
    log,
    fault: process.env.ESPALIER_FAULT,
  });
  const { recipes, problems } = await listRecipes([
    join(root, 'apps'),
    join(root, 'services'),
    ...(process.env.ESPALIER_APPS_DIR ?? '').split(':').filter((folder) => folder !== ''),
  ]);
  for (const problem of problems) log.error({ code: problem.code }, problem.message);
  const shelf = {
    base: await readBase(join(root, 'apps/base')),
    node: await readLayer(join(root, 'apps/node')),
    recipes,
  };

  const engines = makeEngines({ deployment, dataDir, simulated, clock });
  const rooms = await makeRooms({
    deployment,
    dataDir,
    platform,
    engines,
    shelf,
    clock,
    log,
    isPortFree,
    environment: process.env,
  });
  const api = makeApi({
    about: {
      version: VERSION,
      ...(process.env.ESPALIER_BUILD === undefined ? {} : { build: process.env.ESPALIER_BUILD }),
      deployment,
      simulated,
      store: platform.store.engine,
      startedAt: new Date(clock.nowMs()).toISOString(),
    },
    rooms: [...rooms.routes, makeTokenRoutes({ store: platform.store })],
    operations: platform.operations,
    events: platform.events,
    loops: platform.loops,
    checks: rooms.checks,
    subjectOf: rooms.subjectOf,
    authenticate: platform.authenticate,
    idempotency: platform.idempotency,
    closing: closing.signal,
    clock,
    log,
  });
  const apiPort = values['api-port'];
  const server = await serveApi({
    api: { fetch: (request, bindings) => api.fetch(request, bindings) },
    acceptAgent: (socket) => rooms.acceptAgent(socket),
    options: {
      socketPath: join(dataDir, 'controller.sock'),
      ...(apiPort === undefined
        ? {}
        : {
            tls: {
              host: '::',
              port: Number(apiPort),
              dir: join(dataDir, 'tls'),
              names: [...new Set(['localhost', hostname()])],
            },
          }),
    },
    log,
  });
  await rooms.openDoor();
  await platform.operations.driver.start();
  platform.loops.start();
  const twins = rooms.simulatedAgents?.run(closing.signal);
  log.info({ deployment, dataDir, instance: randomUUID() }, 'the controller runs');

  await stopped;
  closing.abort(new Error('the controller stops'));
  await twins;
  await server.close();
  await platform.loops.stop();
  await platform.operations.driver.stop();
  await rooms.close();
  await platform.store.close();
  log.info({}, 'the controller has stopped');
}

await run();
