// Visitors of a lab's sites while something is done to its servers. Apart because tests and a benchmark use it.
import type { LoadReport } from '../../bench/load.ts';
import { makeCommands } from './open-cluster.ts';
import type { Lab } from './open-lab.ts';

const NODE = 'node_modules/.bin/node';
const STOP = '/root/stop-visits';
const PAGES = { wordpress: '/wp-login.php', mediawiki: '/wiki/Special:BlankPage' };
/** Where they are: with the address that edges share nowhere near. */
const FROM = 's3';

/** Visits both sites while the work is done, at the address that edges share, else at the first edge; what visitors met. */
export async function underVisits<T>(lab: Lab, work: () => Promise<T>): Promise<{ result: T; report: LoadReport }> {
  const { list, done } = makeCommands(lab);
  const edges = await list<{ address: string; holds: string | null }>('edge');
  const address = edges.find(({ holds }) => holds !== null)?.holds ?? edges[0]?.address ?? '';
  const pages: string[] = [];
  for (const [site, path] of Object.entries(PAGES)) {
    const { url } = JSON.parse(await done('s1', 'site', 'show', site, '--json')) as { url: string };
    pages.push(`${new URL(url).host}${path}`);
  }
  await lab.exec(FROM, ['rm', '-f', STOP]);
  const visits = lab.exec(FROM, [NODE, 'test/cluster/visit.ts', STOP, `http://${address}`, ...pages]);
  try {
    const result = await work();
    await lab.exec(FROM, ['touch', STOP]);
    const { stdout, stderr } = await visits;
    if (stdout === '') throw new Error(`nobody visited: ${stderr}`);
    return { result, report: JSON.parse(stdout) as LoadReport };
  } finally {
    await lab.exec(FROM, ['touch', STOP]);
  }
}
