// Espalier on a lab's servers: brought up on the first, made a cluster, joined by the others; the very commands that a
// person gives on machines. Apart from making the machines.
import { runCommand, runToSuccess } from '../run-command.ts';
import type { HostStep } from '../up/run-steps.ts';
import { CONTENT_PATH, type LabPlan, PROJECT_PATH, renderIncus, serverNames } from './lab.ts';
import { listLabServers } from './state.ts';

/** Images are baked: three and a half minutes on two cores. */
const UP_TIMEOUT_MS = 1_800_000;
const COMMAND_TIMEOUT_MS = 120_000;

/** Each finds out by itself what is done already. */
export function makeClusterSteps({ name, servers }: LabPlan): HostStep[] {
  const [first = '', ...others] = serverNames(servers);
  const render = (server: string, ...argv: string[]) =>
    renderIncus(name, 'exec', server, '--cwd', PROJECT_PATH, '--', './espalier', ...argv);
  return [
    {
      // The pools that it makes in minutes shall find a cluster.
      name: `Start Espalier on ${first}`,
      async run(say, signal) {
        await runToSuccess(render(first, 'up', '--no-wait'), { timeoutMs: COMMAND_TIMEOUT_MS, signal, onLine: say });
        return undefined;
      },
    },
    {
      name: `Make ${first} the first of a cluster`,
      async run(say, signal) {
        const options = { timeoutMs: COMMAND_TIMEOUT_MS, signal };
        if ((await runCommand(render(first, 'cluster', 'show'), options)).code === 0) return 'made already';
        const address = (await listLabServers({ signal }, name)).find((one) => one.name === first)?.address ?? '';
        const argv = render(first, 'cluster', 'make', '--address', address, '--content', CONTENT_PATH);
        await runToSuccess(argv, { ...options, onLine: say });
        return address;
      },
    },
    ...others.map((server) => ({
      name: `Let ${server} join`,
      async run(say: (line: string) => void, signal: AbortSignal) {
        const options = { timeoutMs: COMMAND_TIMEOUT_MS, signal };
        const list = await runToSuccess(render(first, 'server', 'list', '--json'), options);
        const known = (JSON.parse(list) as { items?: { name: string; state: string }[] }).items ?? [];
        if (known.some((one) => one.name === server && one.state === 'ready')) return 'joined already';
        const token = (await runToSuccess(render(first, 'server', 'add'), options)).trim();
        await runToSuccess(render(server, 'server', 'join', token), { ...options, onLine: say });
        return undefined;
      },
    })),
    {
      name: 'Bake images, make pools and sites',
      async run(say, signal) {
        await runToSuccess(render(first, 'up'), { timeoutMs: UP_TIMEOUT_MS, signal, onLine: say });
        return undefined;
      },
    },
  ];
}
