// Visitors of a lab's sites while something is done to its servers. Apart because tests and a benchmark use it.
import type { LoadReport } from '../../bench/load.ts';
import type { Lab } from './open-lab.ts';

const NODE = 'node_modules/.bin/node';
const STOP = '/root/stop-visits';
const PAGES = ['wordpress.localhost/wp-login.php', 'mediawiki.localhost/wiki/Special:BlankPage'];

/** Visits the lab's first two sites through the door of s1 while the work is done; what visitors met. */
export async function underVisits<T>(lab: Lab, work: () => Promise<T>): Promise<{ result: T; report: LoadReport }> {
  await lab.exec('s1', ['rm', '-f', STOP]);
  const visits = lab.exec('s1', [NODE, 'test/cluster/visit.ts', STOP, ...PAGES]);
  try {
    const result = await work();
    await lab.exec('s1', ['touch', STOP]);
    const { stdout, stderr } = await visits;
    if (stdout === '') throw new Error(`nobody visited: ${stderr}`);
    return { result, report: JSON.parse(stdout) as LoadReport };
  } finally {
    await lab.exec('s1', ['touch', STOP]);
  }
}
