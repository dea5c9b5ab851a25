// The part `controller-takeover`: the controller that leads is killed, some times, while sites are visited. Counted: until the other
// has carried a change out to the edges; requests that failed meanwhile; and runs of a task that was under way, which is to be one.
import { makeTakeovers } from '../../test/cluster/takeover.ts';
import { underVisits } from '../../test/cluster/under-visits.ts';
import { toRow } from '../bench.ts';
import { round } from '../statistics.ts';
import type { Part } from './part.ts';

const TARGET_S = 15;
const ROUNDS = 3;
const QUICK_ROUNDS = 1;
const RUN_S = 20;

export const controllerTakeover: Part = {
  name: 'controller-takeover',
  async measure({ lab, commands, quick, say }) {
    const { done } = commands;
    const takeovers = makeTakeovers(lab, commands);
    await takeovers.prepare();
    await done('s1', 'task', 'add', 'wordpress/through', '--every', '1d', '--', 'sleep', String(RUN_S));
    const readRuns = async () => {
      const text = await done('s1', 'task', 'history', 'wordpress/through', '--json');
      return (JSON.parse(text) as { items: { state: string; endedAt: string | null }[] }).items;
    };
    const rounds = quick ? QUICK_ROUNDS : ROUNDS;
    const took: number[] = [];
    let [requests, failed] = [0, 0];
    for (let at = 0; at < rounds; at += 1) {
      say(`killing the controller that leads, the ${at + 1}. time`);
      await done('s1', 'task', 'run', 'wordpress/through', '--no-wait');
      const { report } = await underVisits(lab, async () => took.push(await takeovers.killController()));
      requests += report.requests;
      failed += report.failed;
      await takeovers.returnController();
      await takeovers.until('the run has ended', async () =>
        (await readRuns()).every(({ endedAt }) => endedAt !== null),
      );
    }
    const runs = await readRuns();
    const good = runs.filter(({ state }) => state === 'succeeded').length;
    await done('s1', 'task', 'remove', 'wordpress/through');
    const longestS = round(Math.max(...took), 1);
    return {
      figures: { controller_takeover_s: longestS },
      peers: { controller_failed: failed, controller_requests: requests, controller_runs: runs.length },
      rows: [
        toRow(`until the other acts, the longest of ${rounds}`, longestS, 's', { is: '<=', value: TARGET_S }),
        toRow(`failed of ${requests} requests meanwhile`, failed, '', { is: '<=', value: 0 }),
        toRow(`runs of ${rounds} that were under way, all of them whole`, good, '', { is: '>=', value: rounds }),
        toRow('of them done twice', runs.length - rounds, '', { is: '<=', value: 0 }),
      ],
      details: [`each: ${took.map((one) => `${round(one, 1)} s`).join(', ')}`],
    };
  },
};
