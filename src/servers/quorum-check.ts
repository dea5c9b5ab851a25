// What `espalier doctor` says when so many servers are away that the engine's cluster decides nothing: it then answers late or
// not at all, which alone tells nobody why.
import type { CheckFinding, DoctorCheck } from '../platform/doctor-check.ts';
import type { Store } from '../platform/store.ts';
import { isAlone } from './cluster-store.ts';
import { listServers, type ServerRow } from './store.ts';

/** Whose Incus nobody hears; that of one whose agent is heard may be silent as well. */
const AWAY: ReadonlySet<ServerRow['state']> = new Set(['lost', 'fenced']);

/** Pure, so that every sentence is tested. */
export function judgeQuorum(servers: readonly Pick<ServerRow, 'name' | 'state' | 'isEngineSilent'>[]): CheckFinding {
  const members = servers.filter(({ state }) => state !== 'joining');
  const away = members.filter(({ state, isEngineSilent }) => AWAY.has(state) || isEngineSilent).map(({ name }) => name);
  const count = `${members.length - away.length} of ${members.length} servers are heard`;
  if (away.length * 2 < members.length) return { status: 'ok', detail: count };
  return {
    status: 'fail',
    detail: `${count}, and Incus decides by more than half: while ${away.join(', ')} are away no container is made, changed or removed`,
    todo: 'What runs serves on. Bring one of them back; what waits goes on by itself then.',
  };
}

export const makeQuorumCheck = (store: Store): DoctorCheck => ({
  name: 'quorum',
  run: async () =>
    (await isAlone(store)) ? { status: 'ok', detail: 'one server alone' } : judgeQuorum(await listServers(store)),
});
