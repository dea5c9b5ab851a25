// `servers`: three servers of one lab that join, are emptied, and lose an edge and a controller; each by a part of its own.
import { makeCluster, makeCommands } from '../../test/cluster/open-cluster.ts';
import { openLab, SHARED_LAB } from '../../test/cluster/open-lab.ts';
import type { Benchmark, Measured } from '../bench.ts';
import { controllerTakeover } from './controller-takeover.ts';
import { drain } from './drain.ts';
import { edgeTakeover } from './edge-takeover.ts';
import { join } from './join.ts';
import type { Part } from './part.ts';

/** In this order: the last ones kill. */
const PARTS: readonly Part[] = [join, drain, edgeTakeover, controllerTakeover];

export const servers: Benchmark = {
  name: 'servers',
  needsPlace: false,
  async run(place, { quick, only }) {
    const lab = await openLab(SHARED_LAB, 3);
    try {
      const { joinS } = await makeCluster(lab);
      const stage = { lab, commands: makeCommands(lab), joinS, quick, say: place.say };
      const all: Measured = { figures: {}, peers: {}, rows: [], details: [] };
      for (const part of PARTS.filter(({ name }) => only.length === 0 || only.includes(name))) {
        place.say(part.name);
        const { figures, peers, rows, details } = await part.measure(stage);
        Object.assign(all.figures, figures);
        Object.assign(all.peers, peers);
        all.rows.push(...rows);
        all.details.push(...details);
      }
      return all;
    } finally {
      await lab.close();
    }
  },
};
