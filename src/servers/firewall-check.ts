// What `espalier doctor` asks of the firewalls: whether each server's stands as it was chosen. The agents are asked, since only
// the kernel knows.
import { toProblem } from '../lib/errors.ts';
import type { CheckFinding, DoctorCheck } from '../platform/doctor-check.ts';
import type { Store } from '../platform/store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { readCluster } from './cluster-store.ts';
import { type FirewallMode, readFirewallChoice } from './firewall.ts';
import { listServers } from './store.ts';

const SHOW_MS = 8_000;

export interface SeenFirewall {
  server: string;
  mode: FirewallMode;
  state: 'on' | 'off' | 'failed';
  detail: string;
}

/** Pure, so that every sentence is tested. */
export function judgeFirewalls(seen: readonly SeenFirewall[]): CheckFinding {
  const wrong = seen.filter(({ mode, state }) => (mode === 'off' ? state !== 'off' : state !== 'on'));
  if (wrong.length > 0)
    return {
      status: 'fail',
      detail: wrong
        .map(({ server, mode, state, detail }) => `on ${server} it should be ${mode} and is ${state}: ${detail}`)
        .join('; '),
      todo: 'Look at it with `espalier server firewall SERVER`, and at the log of the agent there.',
    };
  const off = seen.filter(({ mode }) => mode === 'off').map(({ server }) => server);
  if (off.length > 0)
    return {
      status: 'warn',
      detail: `switched off on ${off.join(', ')}`,
      todo: 'Switch it on with `espalier server firewall SERVER --mode ours`, or see to it that another one does its work.',
    };
  const modes = seen.map(({ server, mode }) => `${server} ${mode}`).join(', ');
  return { status: 'ok', detail: modes };
}

export function makeFirewallCheck(store: Store, agents: AgentPort): DoctorCheck {
  return {
    name: 'firewall',
    async run(signal) {
      if ((await readCluster(store)) === undefined)
        return { status: 'ok', detail: 'one server alone: nothing of it is open to others' };
      const connected = new Set(agents.connected());
      const servers = (await listServers(store)).filter(({ name }) => connected.has(name));
      const seen = await Promise.all(
        servers.map(async ({ name }) => {
          const { mode } = await readFirewallChoice(store, name);
          const shown = await agents
            .call(name, 'firewall.show', {}, { timeoutMs: SHOW_MS, signal })
            .catch((thrown: unknown) => ({ state: 'failed' as const, detail: toProblem(thrown).document.detail }));
          return { server: name, mode, state: shown.state, detail: shown.detail };
        }),
      );
      return judgeFirewalls(seen);
    },
  };
}
