// Opens what all rooms stand on: store with its migrations, events, operations, loops, secrets, tokens. Part of the
// composition root; apart from main.ts so that tests open the very same.
import type { MiddlewareHandler } from 'hono';
import type { Clock } from './lib/clock.ts';
import type { Logger } from './lib/log.ts';
import { type Events, makeEvents } from './platform/events.ts';
import type { ApiEnv, Who } from './platform/http.ts';
import { trimIdempotent } from './platform/idempotency.ts';
import { makeIdempotency } from './platform/idempotency-middleware.ts';
import { type Loops, makeLoop, makeLoops } from './platform/loops.ts';
import { runMigrations } from './platform/migrate.ts';
import { openStore } from './platform/open-store.ts';
import { parseFault } from './platform/operations/fault.ts';
import { type DrivenOperations, makeOperations, type OperationsOptions } from './platform/operations/operations.ts';
import { keyFileOf } from './platform/secret-keys.ts';
import { openSecrets, type Secrets } from './platform/secrets.ts';
import type { Store } from './platform/store.ts';
import { verifyToken } from './platform/tokens.ts';

export interface Platform {
  store: Store;
  events: Events;
  operations: DrivenOperations;
  loops: Loops;
  secrets: Secrets;
  authenticate(token: string): Promise<Who | undefined>;
  idempotency: MiddlewareHandler<ApiEnv>;
}

export interface PlatformOptions {
  dataDir: string;
  /** PostgreSQL instead of PGlite. */
  url?: string | undefined;
  /** For tests: points at which a step fails or the process kills itself, separated by commas (operations/fault.ts). */
  fault?: string | undefined;
  /** An open store instead of one in the data directory, for tests. */
  store?: Store;
  /** How operations are driven, for tests that have no time. */
  driver?: OperationsOptions['driver'];
  clock: Clock;
  log: Logger;
}

const DAY_MS = 86_400_000;
/** History is kept this long; what is under way or needs a person stays. */
const KEEP_EVENTS_MS = 90 * DAY_MS;
const KEEP_OPERATIONS_MS = 90 * DAY_MS;
const KEEP_REQUESTS_MS = DAY_MS;

/** Opens the platform; the driver and the loops are started by the caller. */
export async function openPlatform(options: PlatformOptions): Promise<Platform> {
  const { dataDir, url, clock, log } = options;
  const store = options.store ?? (await openStore(url === undefined ? { dataDir } : { url }));
  await runMigrations(store);
  const events = makeEvents({ store, clock });
  const faults = (options.fault ?? '')
    .split(',')
    .filter((text) => text !== '')
    .map((text) => parseFault(text, () => process.kill(process.pid, 'SIGKILL')));
  const operations = makeOperations({
    store,
    events,
    clock,
    log,
    driver: {
      fault(point) {
        for (const fault of faults) fault(point);
      },
      ...options.driver,
    },
  });
  const loops = makeLoops({ clock, log });
  const secrets = await openSecrets({ store, keyFile: keyFileOf(dataDir) });
  loops.add(
    makeLoop({
      name: 'history.trim',
      wrongWhen: 'events, ended operations or remembered requests are older than they are kept',
      everyMs: 3_600_000,
      timeoutMs: 120_000,
      runOnce: async (signal) => ({
        events: await events.trim(KEEP_EVENTS_MS, signal),
        operations: await operations.trim(KEEP_OPERATIONS_MS),
        requests: await trimIdempotent(store, KEEP_REQUESTS_MS),
      }),
    }),
  );
  return {
    store,
    events,
    operations,
    loops,
    secrets,
    idempotency: makeIdempotency(store),
    async authenticate(plaintext) {
      const token = await verifyToken(store, plaintext);
      return token === undefined ? undefined : { by: `token:${token.name}`, scopes: token.scopes };
    },
  };
}
