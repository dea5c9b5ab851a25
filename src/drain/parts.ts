// What every file of this room is given. It stands above the rooms whose things live on servers.

import type { Caches } from '../caches/caches.ts';
import type { Databases } from '../databases/databases.ts';
import type { Fleet } from '../engines/fleet.ts';
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../platform/events.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Store } from '../platform/store.ts';
import type { PoolParts } from '../pools/parts.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import type { ServiceNoun } from '../services/noun.ts';
import type { SiteParts } from '../sites/parts.ts';

export interface DrainParts {
  store: Store;
  operations: Operations;
  events: Events;
  fleet: Fleet;
  agents: AgentPort;
  clock: Clock;
  pools: PoolParts;
  sites: SiteParts;
  services: Record<ServiceNoun, Pick<Databases | Caches, 'homes'>>;
}

/** The lock of whatever is done to a whole server; its removal takes it too. */
export const serverLock = (server: string): string => `server:${server}`;
