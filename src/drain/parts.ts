// What every file of this room is given. It stands above the rooms whose things live on servers.

import type { Caches } from '../caches/caches.ts';
import type { Databases } from '../databases/databases.ts';
import type { Fleet } from '../engines/fleet.ts';
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../platform/events.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Sql, Store } from '../platform/store.ts';
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
  /** The server whose controller decides now; undefined while there is one server alone. */
  readLeadingServer(sql: Sql): Promise<string | undefined>;
  controllers: {
    /** A controller of another server that could lead in place of this one's. */
    readHeir(server: string): Promise<{ id: string; name: string } | undefined>;
    /** Why a server's own controller is not there; undefined when it is, or when it has none. */
    findSilent(server: string): Promise<string | undefined>;
    /** Has the leader end its term for that one, which alone may lead within that time. */
    handOver(id: string, withinMs: number): Promise<void>;
  };
  services: Record<ServiceNoun, Pick<Databases | Caches, 'homes'>>;
}
