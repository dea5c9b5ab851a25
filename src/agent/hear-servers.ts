// Listens to other servers, so that the controller has a second word on one that is silent: the engine there is asked for what
// it tells everybody. Not the agent, which may be away while its server is well; and over the servers' own network. That
// something answers is all that counts, so nothing is proved to anybody.
import { Agent, request } from 'node:https';
import type { Clock } from '../lib/clock.ts';

/** Where the members of the engine's cluster reach each other. */
const ENGINE_PORT = 8443;
const ANSWER_MS = 1_500;

export interface Hearing {
  /** Replaces the list of servers to listen to. */
  setServers(servers: readonly { server: string; address: string }[]): void;
  /** Asks each once. */
  listen(signal: AbortSignal): Promise<void>;
  /** For how long each has not answered; 0: it answered last. One that was not asked yet is left out. */
  heard(): { server: string; silentMs: number }[];
}

/** Makes it; `ask` resolves when the server at an address answers, and rejects when it does not. */
export function makeHearing(clock: Clock, ask: (address: string, signal: AbortSignal) => Promise<void>): Hearing {
  let servers: readonly { server: string; address: string }[] = [];
  // By the end of the first attempt in vain, so that one who was frozen himself does not call others silent for that.
  const deafSinceMs = new Map<string, number | undefined>();

  return {
    setServers(next) {
      servers = next;
      const names = new Set(next.map(({ server }) => server));
      for (const name of deafSinceMs.keys()) if (!names.has(name)) deafSinceMs.delete(name);
    },
    async listen(signal) {
      await Promise.all(
        servers.map(async ({ server, address }) => {
          const answered = await ask(address, signal).then(
            () => true,
            () => false,
          );
          if (signal.aborted) return;
          deafSinceMs.set(server, answered ? undefined : (deafSinceMs.get(server) ?? clock.monotonicMs()));
        }),
      );
    },
    heard: () =>
      [...deafSinceMs].map(([server, sinceMs]) => ({
        server,
        // Once in vain is more than nothing, also in the moment in which it is told.
        silentMs: sinceMs === undefined ? 0 : Math.max(1, clock.monotonicMs() - sinceMs),
      })),
  };
}

/** Asks the engine of a server; connections are kept, since this is done every second. */
export function makeEngineAsker(): (address: string, signal: AbortSignal) => Promise<void> {
  const kept = new Agent({ keepAlive: true, maxSockets: 4, rejectUnauthorized: false });
  return (address, signal) =>
    new Promise((resolve, reject) => {
      const bound = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
      const asked = request(
        { agent: kept, host: address, port: ENGINE_PORT, path: '/1.0', signal: bound },
        (incoming) => {
          incoming.resume();
          incoming.once('end', resolve);
          incoming.once('error', reject);
        },
      );
      asked.once('error', reject);
      asked.end();
    });
}
