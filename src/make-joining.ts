// How other servers come in: the parts of joining and the door for agents. Part of the composition root; apart from
// make-rooms.ts, whose rooms need neither.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { WebSocket } from 'ws';
import { type AgentsDoor, makeAgentsDoor } from './api/agents-door.ts';
import { type ControllersParts, equipController } from './controllers/join.ts';
import { readLeadingServer } from './controllers/store.ts';
import type { Fleet } from './engines/fleet.ts';
import type { Clock } from './lib/clock.ts';
import { writeContentMark } from './lib/content-path.ts';
import { commonProblems } from './lib/errors.ts';
import { readAddresses } from './lib/ipv4.ts';
import type { Logger } from './lib/log.ts';
import { VERSION } from './lib/version.ts';
import type { Platform } from './open-platform.ts';
import { makeControllerIdentity } from './servers/authority.ts';
import { readCertified } from './servers/cluster-store.ts';
import { admitServer } from './servers/join.ts';
import type { RemoveParts } from './servers/remove.ts';
import { readServer } from './servers/store.ts';

/** This controller among those of its database. */
export interface ControllerSelf extends Pick<ControllersParts, 'id' | 'databaseUrl' | 'readKeys'> {
  /** Answers what another controller was asked and handed on. */
  forwarded(request: IncomingMessage, response: ServerResponse): void;
}

/** The parts of joining, and the door, which opens when there is a cluster. */
export function makeJoining(
  options: Pick<Platform, 'store' | 'secrets' | 'events' | 'operations'> & {
    deployment: string;
    self: ControllerSelf;
    /** Then nothing is listened on and no folder is touched. */
    simulated: boolean;
    fleet: Fleet;
    clock: Clock;
    log: Logger;
    accept(socket: WebSocket, server: string): void;
    listTenants: RemoveParts['listTenants'];
    dropAgent: RemoveParts['dropAgent'];
    /** All servers hear of one that was let in. */
    tellServers(): Promise<void>;
  },
): { joining: RemoveParts; controllers: ControllersParts; door: AgentsDoor } {
  const {
    deployment,
    self,
    simulated,
    store,
    secrets,
    events,
    operations,
    fleet,
    clock,
    log,
    accept,
    listTenants,
    dropAgent,
    tellServers,
  } = options;
  const joining: RemoveParts = {
    ...{ deployment, version: VERSION, store, secrets, fleet, events, operations, listTenants, dropAgent },
    readLeadingServer,
    nowMs: () => clock.nowMs(),
    readAddresses,
    writeMark: simulated ? async (_, id) => id : writeContentMark,
    async openDoor({ port }) {
      const identity = await makeControllerIdentity(joining);
      if (!simulated) await door.open({ port, ...identity });
    },
  };
  const controllers: ControllersParts = {
    ...{ deployment, store, secrets, events, nowMs: joining.nowMs },
    ...{ id: self.id, databaseUrl: self.databaseUrl, readKeys: self.readKeys },
  };
  const door = makeAgentsDoor({
    equip: (asked) => equipController(controllers, asked),
    forwarded: (request, response) => self.forwarded(request, response),
    async admit(request) {
      const answer = await admitServer(joining, request);
      await tellServers();
      return answer;
    },
    readCertified: (fingerprint) => readCertified(store, fingerprint),
    async readState(name) {
      const server = await readServer(store, name);
      if (server === undefined) throw commonProblems.make('not-found', { noun: 'server', name });
      return { state: server.state, reason: server.reason };
    },
    ...{ accept, clock, log },
  });
  return { joining, controllers, door };
}
