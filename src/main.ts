// The controller's program: the only place that constructs things. Reads its arguments, opens the store, serves the API's
// sockets, waits for its turn to lead (lead.ts), and ends in order.
//   node src/main.ts --deployment NAME --data-dir DIR [--api-port PORT] [--simulated]
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeReception } from './api/reception.ts';
import { serveApi } from './api/server.ts';
import { listRecipes, readBase, readLayer } from './apps/read-recipe.ts';
import { keepNoted, noteSelf, readOrMakeId } from './controllers/self.ts';
import { listControllers } from './controllers/store.ts';
import type { RecipeShelf } from './images/recipes.ts';
import { lead } from './lead.ts';
import { makeSystemClock } from './lib/clock.ts';
import { DEFAULT_DEPLOYMENT, defaultDataDir } from './lib/deployment.ts';
import { type Logger, makeLogger } from './lib/log.ts';
import { VERSION } from './lib/version.ts';
import { makeEngines } from './make-engines.ts';
import { makeLeadership, readLeader } from './platform/leadership.ts';
import { runMigrations } from './platform/migrate.ts';
import { openLeaseStore, openStore } from './platform/open-store.ts';
import { keyFileOf } from './platform/secret-keys.ts';
import { openSecrets } from './platform/secrets.ts';
import { lockDataDir } from './platform/store/data-dir-lock.ts';
import type { Store } from './platform/store.ts';
import { makeControllerIdentity } from './servers/authority.ts';

/** Incus tells its own name at once, or is away. */
const NAME_MS = 3_000;

async function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

async function readShelf(log: Logger, appsDirs: string): Promise<RecipeShelf> {
  const root = join(import.meta.dirname, '..');
  const { recipes, problems } = await listRecipes([
    join(root, 'apps'),
    join(root, 'services'),
    ...appsDirs.split(':').filter((folder) => folder !== ''),
  ]);
  for (const problem of problems) log.error({ code: problem.code }, problem.message);
  return { base: await readBase(join(root, 'apps/base')), node: await readLayer(join(root, 'apps/node')), recipes };
}

async function readLeaderAddress(store: Store) {
  const leader = await readLeader(store);
  return (await listControllers(store)).find(({ id }) => id === leader?.id);
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
  const databaseUrl = process.env.ESPALIER_DATABASE_URL;
  const log = makeLogger('controller', process.env.ESPALIER_LOG_LEVEL ?? 'info');
  const clock = makeSystemClock();
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.once(name, () => stop.abort(new Error('the controller stops')));

  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  // With PGlite the store locks it; one process has a controller's id.
  const unlock = databaseUrl === undefined ? undefined : await lockDataDir(join(dataDir, 'controller'));
  const store = await openStore(databaseUrl === undefined ? { dataDir } : { url: databaseUrl });
  await runMigrations(store);
  const secrets = await openSecrets({ store, keyFile: keyFileOf(dataDir) });
  const shelf = await readShelf(log, process.env.ESPALIER_APPS_DIR ?? '');
  const engines = makeEngines({ deployment, dataDir, simulated, clock });

  const id = await readOrMakeId(dataDir);
  let name = hostname();
  const readName = async (): Promise<string> => {
    // Incus being away keeps no controller from starting.
    name = await engines.fleet.localServer({ signal: AbortSignal.timeout(NAME_MS) }).catch(() => name);
    return name;
  };
  await noteSelf(store, { id, name: await readName() });

  const about = {
    version: VERSION,
    ...(process.env.ESPALIER_BUILD === undefined ? {} : { build: process.env.ESPALIER_BUILD }),
    deployment,
    simulated,
    store: store.engine,
    startedAt: new Date(clock.nowMs()).toISOString(),
    controller: name,
  };
  const reception = makeReception({
    about: async () => ({ ...about, leads: false, leader: (await readLeaderAddress(store))?.name ?? null }),
    name,
    readLeader: () => readLeaderAddress(store),
    readIdentity: () => makeControllerIdentity({ store, secrets, nowMs: () => clock.nowMs() }, 'agent'),
    log,
  });
  const apiPort = values['api-port'];
  const server = await serveApi({
    api: reception,
    acceptAgent: (socket) => reception.acceptAgent(socket),
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

  const parts = {
    ...{ deployment, dataDir, id, databaseUrl, store, engines, shelf, about, reception, clock, log, isPortFree },
    environment: process.env,
  };
  if (databaseUrl === undefined) {
    // Nobody else can have its state.
    await lead(parts, { number: 0, ends: stop.signal, isLost: () => false });
  } else {
    const sql = openLeaseStore(databaseUrl);
    log.info({ deployment, dataDir, id, name }, 'the controller stands by');
    const noting = keepNoted({ store, id, readName, clock, log }, stop.signal);
    await makeLeadership({ sql, clock, log, id }).run((term) => lead(parts, term), stop.signal);
    await noting;
    await sql.close();
  }
  await server.close();
  await reception.close();
  await engines.fleet.close();
  await store.close();
  unlock?.();
  log.info({}, 'the controller has stopped');
}

await run();
