// What every file of this room is given. It stands above the rooms whose things live on servers.
import type { Fleet } from '../engines/fleet.ts';
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../platform/events.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Store } from '../platform/store.ts';
import type { PoolParts } from '../pools/parts.ts';
import type { AgentPort } from '../protocol/agent-port.ts';

export interface DrainParts {
  store: Store;
  operations: Operations;
  events: Events;
  fleet: Fleet;
  agents: AgentPort;
  clock: Clock;
  pools: PoolParts;
}

/** The lock of whatever is done to a whole server; its removal takes it too. */
export const serverLock = (server: string): string => `server:${server}`;
