// The part `join`: how long `server join` took for each server that came into the cluster, from the command to its end, when the
// controller counts on it. What the machine lacks is installed in that time.
import { toRow } from '../bench.ts';
import { round } from '../statistics.ts';
import type { Part } from './part.ts';

const TARGET_S = 60;

export const join: Part = {
  name: 'join',
  async measure({ joinS }) {
    if (joinS.length === 0) throw new Error('a lab that was kept has no server that joins: take it down first');
    const longestS = round(Math.max(...joinS), 1);
    return {
      figures: { join_s: longestS },
      peers: {},
      rows: [
        toRow(`one command until it counts, the longest of ${joinS.length}`, longestS, 's', {
          is: '<=',
          value: TARGET_S,
        }),
      ],
      details: [],
    };
  },
};
