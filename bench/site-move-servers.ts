// `site-move-servers`: `site-move` on two servers of a lab. Its two pools lie on volumes of two servers, and every move crosses the
// network between them.
import { makeCluster, makeCommands } from '../test/cluster/open-cluster.ts';
import { openLab } from '../test/cluster/open-lab.ts';
import type { Benchmark, Measured } from './bench.ts';

const LAB = 'espsitemove';
const NODE = 'node_modules/.bin/node';

export const siteMoveServers: Benchmark = {
  name: 'site-move-servers',
  needsPlace: false,
  async run(place, { quick }): Promise<Measured> {
    // One that is kept may be another's (ESPALIER_BENCH_LAB).
    const lab = await openLab(process.env.ESPALIER_BENCH_LAB ?? LAB, 2);
    try {
      await makeCluster(lab, { postgres: false, content: false });
      place.say('the cluster is up');
      const program = [NODE, 'bench/site-move-here.ts', ...(quick ? ['--quick'] : [])];
      const { url } = JSON.parse(await makeCommands(lab).done('s1', 'site', 'show', 'wordpress', '--json')) as {
        url: string;
      };
      const about = ['ESPALIER_BENCH_DEPLOYMENT=espalier', `ESPALIER_BENCH_PORT=${new URL(url).port || '80'}`];
      const argv = ['env', ...about, ...program];
      const { code, stdout, stderr } = await lab.exec('s1', argv);
      if (code !== 0) throw new Error(stderr);
      place.say(stderr);
      const measured = JSON.parse(stdout) as Measured;
      if (!stderr.includes('its pools lie on s1 and s2')) throw new Error('its pools lie on one server');
      return measured;
    } finally {
      await lab.close();
    }
  },
};
