// `servers-scale`: the loss of a tenth of a thousand simulated servers at once. How soon all their nodes are made anew, what the
// controller needs for it, and whether any server is stormed.

import { MOST_STARTING } from '../../src/servers/place.ts';
import { type Benchmark, toRow } from '../bench.ts';
import { startChild } from '../sequencer/child.ts';
import { round } from '../statistics.ts';
import type { Settled, SettleOrder } from './settle.ts';

const WHOLE: SettleOrder = { servers: 1_000, nodes: 20_000, pools: 200, lost: 100, timeoutS: 3_000 };
const QUICK: SettleOrder = { servers: 60, nodes: 600, pools: 10, lost: 6, timeoutS: 300 };
/** A controller of this size has a machine for itself. */
const MOST_RSS_MB = 2_048;

export const serversScale: Benchmark = {
  name: 'servers-scale',
  needsPlace: false,
  async run(place, { quick }) {
    const order = quick ? QUICK : WHOLE;
    const child = startChild('../servers-scale/settle.ts', order);
    try {
      place.say(`${order.lost} of ${order.servers} servers are lost, with ${order.nodes} nodes in all`);
      const settled = await child.next<Settled>((order.timeoutS + 600) * 1_000);
      const figures = {
        scale_settle_s: round(settled.settleS, 1),
        scale_rss_mb: Math.round(settled.rssMb),
        scale_starts_per_server_max: settled.startsPerServerMost,
      };
      return {
        figures,
        peers: {
          ...{ servers: order.servers, nodes: order.nodes, lost: order.lost, made: settled.made },
          ...{ fenced_s: round(settled.fencedS, 1), rss_before_mb: Math.round(settled.rssBeforeMb) },
        },
        rows: [
          toRow(`all ${settled.made} nodes of ${order.lost} lost servers serve again`, figures.scale_settle_s, 's'),
          toRow('until the last of these servers was fenced', round(settled.fencedS, 1), 's'),
          toRow('the controller at its largest, store and simulated engines included', figures.scale_rss_mb, 'MB', {
            is: '<=',
            value: MOST_RSS_MB,
          }),
          toRow('before the loss', Math.round(settled.rssBeforeMb), 'MB'),
          toRow('containers that started on one server at once, at most', figures.scale_starts_per_server_max, '', {
            is: '<=',
            value: MOST_STARTING,
          }),
        ],
        details: [],
      };
    } finally {
      await child.kill();
    }
  },
};
