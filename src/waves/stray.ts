// Ends commands of a site that outlived whoever began them: a controller that is killed leaves its command to the agent, which
// lets it end. For a site that is closed: no visit and no task of it runs, so whatever runs as its user is such a command.
import { listNodes } from '../pools/store.ts';
import type { SiteRow } from '../sites/store.ts';
import type { WaveParts } from './parts.ts';
import { waveProblems } from './problems.ts';

const EXEC_MS = 20_000;
/** In PHP, which every app's image has; what is gone meanwhile is gone. */
const KILL =
  'foreach (glob("/proc/[0-9]*") as $path) if (@fileowner($path) === (int) $argv[1]) posix_kill((int) basename($path), 9);';

/** The command, run as root in a node. */
export const renderKill = (uid: number): string[] => ['php', '-r', KILL, '--', String(uid)];

/** Kills them in every node of the site's pool. */
export async function killCommands(parts: WaveParts, site: SiteRow, signal: AbortSignal): Promise<void> {
  const nodes = (await listNodes(parts.store, { pool: site.pool })).filter(({ state }) => state === 'ready');
  await Promise.all(
    nodes.map(async ({ name }) => {
      const { code, stderr } = await parts.pools.fleet.exec(name, renderKill(site.uid), { signal, timeoutMs: EXEC_MS });
      if (code !== 0)
        throw waveProblems.make('not-quiet', { site: site.name, node: name, why: stderr.trim().slice(-300) });
    }),
  );
}
