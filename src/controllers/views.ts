// Controllers as people see them: which leads, which stands by, which is silent, and why. Apart from routes and doctor,
// which both tell it.
import { type Leader, readLeader } from '../platform/leadership.ts';
import type { Store } from '../platform/store.ts';
import { listServers } from '../servers/store.ts';
import { type ControllerRow, listControllers } from './store.ts';

/** Each says every five seconds that it is there. */
export const NOTE_MS = 5_000;
const SILENT_MS = 3 * NOTE_MS;

export interface ControllerView {
  id: string;
  /** Its server. */
  name: string;
  state: 'leading' | 'standing by' | 'silent';
  reason: string;
  address: string | null;
  port: number | null;
  version: string;
  startedAt: string;
}

/** Pure, so that every sentence is tested. */
export function toControllerView(row: ControllerRow, leader: Leader | undefined): ControllerView {
  const { silentMs, ...kept } = row;
  const seconds = (ms: number) => `${Math.round(ms / 1000)} s`;
  if (leader?.id === row.id)
    return { ...kept, state: 'leading', reason: `it leads since ${seconds(leader.sinceMs)} (term ${leader.term})` };
  if (silentMs > SILENT_MS)
    return { ...kept, state: 'silent', reason: `it has not been seen for ${seconds(silentMs)}` };
  return {
    ...kept,
    state: 'standing by',
    reason: leader === undefined ? 'none leads now; the first that asks will' : 'it takes over when the leader is gone',
  };
}

/** With PGlite nobody else can have the state, so there is no lease to look at. */
function toLonelyView({ silentMs: _, ...kept }: ControllerRow): ControllerView {
  return { ...kept, state: 'leading', reason: 'its state is in its own data directory: there can be no other' };
}

/** The controller of another server that is ready which could lead in place of this one's. */
export async function readHeir(store: Store, server: string): Promise<ControllerView | undefined> {
  const ready = new Set((await listServers(store)).filter(({ state }) => state === 'ready').map(({ name }) => name));
  return (await listControllerViews(store)).find(
    ({ name, state }) => name !== server && state === 'standing by' && ready.has(name),
  );
}

export async function listControllerViews(store: Store): Promise<ControllerView[]> {
  const rows = await listControllers(store);
  if (store.engine === 'pglite') return rows.slice(-1).map(toLonelyView);
  const leader = await readLeader(store);
  return rows.map((row) => toControllerView(row, leader));
}
