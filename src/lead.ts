// One term of a controller that leads: everything is built over the store as it is now, works until the term ends, and is taken
// down. Part of the composition root; apart from main.ts, which waits for the terms.
import { readFile } from 'node:fs/promises';
import { makeApi } from './api/api.ts';
import { makeForwardedListener, type Reception } from './api/reception.ts';
import type { About } from './api/state-routes.ts';
import { makeTokenRoutes } from './api/token-routes.ts';
import type { RecipeShelf } from './images/recipes.ts';
import type { Clock } from './lib/clock.ts';
import type { Logger } from './lib/log.ts';
import type { Engines } from './make-engines.ts';
import { makeRooms } from './make-rooms.ts';
import { openPlatform } from './open-platform.ts';
import type { Term } from './platform/leadership.ts';
import { keyFileOf } from './platform/secret-keys.ts';
import type { Store } from './platform/store.ts';

export interface LeadParts {
  deployment: string;
  dataDir: string;
  /** Of this controller. */
  id: string;
  databaseUrl: string | undefined;
  store: Store;
  engines: Engines;
  shelf: RecipeShelf;
  about: About;
  reception: Reception;
  clock: Clock;
  log: Logger;
  environment: Readonly<Record<string, string | undefined>>;
  isPortFree(port: number): Promise<boolean>;
}

/** Leads until the term ends; rejects when it cannot begin. */
export async function lead(parts: LeadParts, term: Term): Promise<void> {
  const { deployment, dataDir, id, databaseUrl, store, engines, reception, clock, log, environment } = parts;
  const closing = new AbortController();
  const platform = await openPlatform({
    ...{ dataDir, store, clock, log, fault: environment.ESPALIER_FAULT },
    // Whoever led before has given up.
    driver: { alone: true },
  });
  const rooms = await makeRooms({
    ...{ deployment, dataDir, platform, engines, shelf: parts.shelf, clock, log, environment },
    isPortFree: parts.isPortFree,
    self: {
      ...{ id, databaseUrl },
      readKeys: () => readFile(keyFileOf(dataDir), 'utf8'),
      forwarded: makeForwardedListener((request, bindings) => api.fetch(request, bindings)),
    },
  });
  const api = makeApi({
    about: { ...parts.about, leads: true },
    rooms: [...rooms.routes, makeTokenRoutes({ store })],
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
  let twins: Promise<void> | undefined;
  try {
    await rooms.openDoor();
    await platform.operations.driver.start();
    platform.loops.start();
    twins = rooms.simulatedAgents?.run(closing.signal);
    reception.lead({
      fetch: (request, bindings) => api.fetch(request, bindings),
      acceptAgent: (socket) => rooms.acceptAgent(socket),
    });
    log.info({ deployment, dataDir, term: term.number }, 'the controller leads');
    await untilAborted(term.ends);
  } finally {
    // First of all: another may write now.
    if (term.isLost()) platform.operations.driver.abandon();
    reception.standBy();
    closing.abort(new Error('the controller stops'));
    await twins;
    await platform.loops.stop();
    await platform.operations.driver.stop();
    await rooms.close();
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
