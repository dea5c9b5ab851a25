// The part `edge-takeover`: two edges share an address, which is asked ten times a second from a third server. The edge that has it
// is stopped, some times; then the server with the address loses its power. Counted: the longest time without an answer.
import { makeTakeovers } from '../../test/cluster/takeover.ts';
import { toRow } from '../bench.ts';
import { round } from '../statistics.ts';
import type { Part } from './part.ts';

const TARGET = { is: '<=', value: 3 } as const;
const ROUNDS = 4;
const QUICK_ROUNDS = 1;

export const edgeTakeover: Part = {
  name: 'edge-takeover',
  async measure({ lab, commands, quick, say }) {
    const takeovers = makeTakeovers(lab, commands);
    await takeovers.prepare();
    const stopped: number[] = [];
    for (let at = 0; at < (quick ? QUICK_ROUNDS : ROUNDS); at += 1) {
      say(`stopping the edge that has the address, the ${at + 1}. time`);
      stopped.push(await takeovers.killEdge());
    }
    say('killing the server that has the address');
    const killedS = round(await takeovers.killHolder(), 1);
    const stoppedS = round(Math.max(...stopped), 1);
    return {
      figures: { edge_takeover_s: Math.max(stoppedS, killedS) },
      peers: { edge_stopped_s: stoppedS, edge_server_killed_s: killedS },
      rows: [
        toRow(`its edge stopped, the longest of ${stopped.length}: without an answer`, stoppedS, 's', TARGET),
        toRow('its server without power: without an answer', killedS, 's', TARGET),
      ],
      details: [],
    };
  },
};
