// Passes the shared address on before a server with an edge is switched off: its agent lets visitors end what they began and gives
// the address up, and another server takes it. Apart from sharing, which changes what the address is.
import type { Clock } from '../lib/clock.ts';
import type { Store } from '../platform/store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { listHeirs } from './address.ts';
import { edgeProblems } from './problems.ts';
import { listEdges, readEdgeAddress, storeYields } from './store.ts';

export interface PassOnParts {
  store: Store;
  agents: AgentPort;
  clock: Clock;
}

const CALL_MS = 20_000;
/** An edge that came back a moment ago counts after three answers, one a second (agent/shared-address.ts). */
const COUNTS_AFTER_MS = 6_000;
/** Visitors have ten seconds to end what they began, and who has it is told each second. */
const PASSED_MS = 25_000;
const LOOK_EVERY_MS = 100;

/**
 * Gives the edge of another server that has the address then; undefined where none is shared or nobody else could have it. Throws
 * `edge.nobody-holds` when it is not taken in time.
 */
export async function passAddressOn(
  { store, agents, clock }: PassOnParts,
  server: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const shared = await readEdgeAddress(store);
  const mine = (await listEdges(store)).filter((edge) => edge.server === server);
  if (shared === undefined || mine.length === 0 || (await listHeirs(store, server)).length === 0) return undefined;
  if (mine.some(({ holds }) => holds)) await clock.wait(COUNTS_AFTER_MS, signal);
  await storeYields(store, server, true);
  await agents.call(server, 'server.sync', {}, { timeoutMs: CALL_MS, signal });
  const untilMs = clock.monotonicMs() + PASSED_MS;
  for (;;) {
    const holders = (await listEdges(store)).filter(({ holds }) => holds);
    const heir = holders.find((edge) => edge.server !== server);
    if (heir !== undefined && holders.every((edge) => edge.server !== server)) return heir.name;
    if (clock.monotonicMs() > untilMs) throw edgeProblems.make('nobody-holds', { address: shared.address });
    await clock.wait(LOOK_EVERY_MS, signal);
  }
}

/** Its edges stand by for the address again. */
export async function standByAgain(
  { store, agents }: Pick<PassOnParts, 'store' | 'agents'>,
  server: string,
): Promise<void> {
  if (!(await storeYields(store, server, false))) return;
  // An agent that is away hears it when it is back.
  await agents.call(server, 'server.sync', {}, { timeoutMs: CALL_MS }).catch(() => undefined);
}
