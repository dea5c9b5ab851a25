// What the servers room answers to agents: their hello, which makes a server ready, and their heartbeats.
// Apart from the channel that carries them.
import { commonProblems } from '../lib/errors.ts';
import { PROTOCOL_VERSION } from '../lib/version.ts';
import type { Events } from '../platform/events.ts';
import type { Store } from '../platform/store.ts';
import type { ServerLoad } from '../protocol/contract.ts';
import { serverProblems } from './problems.ts';
import { readServer, storeHeartbeat, storeServer } from './store.ts';

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
    if (before?.state === 'fenced') {
      throw commonProblems.make('invalid-input', { where: hello.server, why: 'the server is fenced; clean it first' });
    }
    const state = before?.drainReason == null ? 'ready' : 'draining';
    const reason = before === undefined ? 'its agent said hello for the first time' : 'its agent said hello';
    await storeServer(sql, { name: hello.server, state, reason, address: hello.address, version: hello.version });
    if (before?.state === state) return;
    await events.append(sql, { kind: `server.${state}`, subject: `server:${hello.server}`, by: 'agent', reason });
  });
}

/** Keeps the load that a server reported. */
export async function noteHeartbeat(store: Store, server: string, load: ServerLoad): Promise<void> {
  await storeHeartbeat(store, server, load);
}
