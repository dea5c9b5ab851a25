// What the servers room answers to agents' hello, which makes a server ready.
// Apart from the channel that carries them.
import { PROTOCOL_VERSION } from '../lib/version.ts';
import type { Events } from '../platform/events.ts';
import type { Store } from '../platform/store.ts';
import { serverLock } from './locks.ts';
import { serverProblems } from './problems.ts';
import { readServer, type ServerRow, type ServerState, storeServer, toWell } from './store.ts';

/** A server whose agent says hello becomes ready, unless a person is draining it. */
export async function welcomeAgent(
  store: Store,
  events: Events,
  hello: { server: string; protocol: number; version: string; address: string },
): Promise<void> {
  if (hello.protocol !== PROTOCOL_VERSION) {
    const about = { server: hello.server, agent: hello.protocol, controller: PROTOCOL_VERSION };
    throw serverProblems.make('agent-other-version', about);
  }
  await store.transaction(async (sql) => {
    const before = await readServer(sql, hello.server);
    // What it had under way must be over before it is spoken with again.
    if (before?.state === 'fenced' && !before.isFenceUp) throw serverProblems.make('being-fenced', hello);
    const state = toWelcomed(before);
    const reason = before === undefined ? 'its agent said hello for the first time' : 'its agent said hello';
    await storeServer(sql, { name: hello.server, state, reason, address: hello.address, version: hello.version });
    if (before?.state === state) return;
    await events.append(sql, { kind: `server.${state}`, subject: serverLock(hello.server), by: 'agent', reason });
  });
}

/** What a server is when its agent says hello: one that was fenced is cleaned first, one that was lost is what it was. */
export function toWelcomed(before: Pick<ServerRow, 'state' | 'drainReason'> | undefined): ServerState {
  if (before === undefined) return 'ready';
  switch (before.state) {
    case 'fenced':
    case 'back':
      return 'back';
    default:
      return toWell(before);
  }
}
