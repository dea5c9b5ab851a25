// `sequencer`: ours beside graphile-worker, pg-boss and BullMQ (on Redis or Valkey, and on PostgreSQL), in one run on the same servers.
// What each figure means is in docs/benchmarks.md.

import { type Benchmark, type Measured, type Row, toRow } from '../bench.ts';
import { installPeers, readPeerVersion } from '../peers/load.ts';
import type { Place } from '../place.ts';
import { measureRealRuns } from '../real-runs.ts';
import { median, round } from '../statistics.ts';
import { type Burner, makeOurBurner, makePeerBurner, measureHeldOpen } from './burndown.ts';
import { measureOurBurst, measurePeerBurst } from './burst.ts';
import { PEERS, type PeerName } from './contestant.ts';
import { type Fault, type FaultResult, measureFault } from './faults.ts';
import { measureOurNoise, measurePeerNoise, QUANTUM_S } from './noisy.ts';
import { measureScale, measureTickCost, SCALE } from './scale.ts';
import { type Addresses, startServices } from './services.ts';

type Name = PeerName | 'ours';
const ALL: readonly Name[] = ['ours', ...PEERS];

/** How much of everything. */
interface Sizes {
  rounds: number;
  burndown: number;
  /** Of BullMQ on PostgreSQL, of which all would take an hour. */
  slowBurndown: number;
  burst: number;
  /** For so long a fault is looked after. */
  judgeMs: number;
  freezeMs: number;
  holdMs: number;
  heldCount: number;
  noiseMs: number;
  scaleMs: number;
}

const WHOLE: Sizes = {
  ...{ rounds: 5, burndown: 200_000, slowBurndown: 10_000, burst: 15_000 },
  ...{ judgeMs: 75_000, freezeMs: 70_000, holdMs: 600_000, heldCount: 50_000, noiseMs: 15_000, scaleMs: 60_000 },
};
/** To see whether it works at all. */
const QUICK: Sizes = {
  ...{ rounds: 1, burndown: 20_000, slowBurndown: 2_000, burst: 3_000 },
  ...{ judgeMs: 25_000, freezeMs: 22_000, holdMs: 5_000, heldCount: 10_000, noiseMs: 5_000, scaleMs: 10_000 },
};
/** BullMQ on PostgreSQL gets one of so many. */
const SLOWER = 20;
/** A stopped worker is looked after for so long once it goes on. */
const FREEZE_AFTER_MS = 45_000;
/** Default lease and grace. */
const RECOVERY_S = 15;

interface Context {
  addresses: Addresses;
  sizes: Sizes;
  say(line: string): void;
}

type Figures = Partial<Record<Name, Record<string, number>>>;

function put(into: Figures, name: Name, figures: Record<string, number>): void {
  into[name] = { ...into[name], ...figures };
}

async function burndown({ addresses, sizes, say }: Context, found: Figures): Promise<void> {
  const burners = new Map<Name, Burner>();
  try {
    for (const name of ALL)
      burners.set(
        name,
        name === 'ours' ? await makeOurBurner(addresses, sizes.burndown) : await makePeerBurner(name, addresses),
      );
    const rates = new Map<Name, number[]>(ALL.map((name) => [name, []]));
    for (let turn = 1; turn <= sizes.rounds; turn += 1) {
      for (const [name, burner] of burners) {
        const count = name === 'bullmq-postgres' ? sizes.slowBurndown : sizes.burndown;
        const rate = count / (await burner.burn(count));
        rates.get(name)?.push(rate);
        say(`burn-down ${turn} of ${sizes.rounds}: ${name} ${rate.toFixed(0)} runs/s`);
      }
    }
    for (const [name, own] of rates) put(found, name, { burndown_per_s: round(median(own), 0) });
  } finally {
    for (const burner of burners.values()) await burner.close();
  }
}

async function burst({ addresses, sizes, say }: Context, found: Figures): Promise<void> {
  for (const name of ALL) {
    const lags: number[] = [];
    for (let turn = 1; turn <= sizes.rounds; turn += 1) {
      const lag =
        name === 'ours'
          ? await measureOurBurst(addresses, sizes.burst)
          : await measurePeerBurst(name, addresses, sizes.burst);
      lags.push(lag);
      say(`burst ${turn} of ${sizes.rounds}: ${name} p99 ${lag.toFixed(2)} s`);
    }
    put(found, name, { burst_p99_s: round(median(lags), 2) });
  }
}

async function faults({ addresses, sizes, say }: Context, found: Figures): Promise<void> {
  for (const fault of ['kill', 'freeze'] as const satisfies Fault[]) {
    say(`a worker of each is ${fault === 'kill' ? 'killed' : 'stopped'}, all at once`);
    const judge = async (name: Name): Promise<[Name, FaultResult]> => [
      name,
      await measureFault(name, fault, addresses, {
        freezeMs: sizes.freezeMs,
        judgeMs: fault === 'kill' ? sizes.judgeMs : sizes.freezeMs + FREEZE_AFTER_MS,
      }),
    ];
    for (const [name, result] of await Promise.all(ALL.map(judge))) {
      say(`${fault} ${name}: ${JSON.stringify(result)}`);
      if (fault === 'kill')
        put(found, name, {
          // What is not there again by the bound is not lost for good: it is the time that is not known.
          kill_lost: name === 'ours' ? result.lost : 0,
          ...(name === 'ours' ? {} : { kill_not_back: result.lost }),
          kill_twice: result.twice,
          kill_recovery_s: round(result.recoveryS ?? sizes.judgeMs / 1000, 1),
        });
      else
        put(found, name, {
          freeze_overlaps: result.overlaps,
          freeze_stale_accepted: result.staleAccepted,
          freeze_twice: result.twice,
        });
    }
  }
}

async function heldOpen({ addresses, sizes, say }: Context, found: Figures): Promise<void> {
  const burners = new Map<Name, { burner: Burner; count: number }>();
  try {
    for (const name of ALL.filter((one) => one !== 'bullmq')) {
      const burner =
        name === 'ours' ? await makeOurBurner(addresses, sizes.heldCount) : await makePeerBurner(name, addresses);
      burners.set(name, {
        burner,
        count: name === 'bullmq-postgres' ? Math.ceil(sizes.heldCount / SLOWER) : sizes.heldCount,
      });
    }
    for (const [name, { before, during }] of await measureHeldOpen(burners, { holdMs: sizes.holdMs, say })) {
      say(`with a transaction held open: ${name} ${before.toFixed(0)} → ${during.toFixed(0)} runs/s`);
      put(found, name, { open_transaction_ratio: round(during / before, 2) });
    }
  } finally {
    for (const { burner } of burners.values()) await burner.close();
  }
}

async function noise({ addresses, sizes, say }: Context, found: Figures): Promise<void> {
  // Light enough to go on at the same time.
  await Promise.all(
    ALL.map(async (name) => {
      const { aloneS, besideS, growthS } =
        name === 'ours'
          ? await measureOurNoise(addresses, sizes.noiseMs)
          : await measurePeerNoise(name, addresses, sizes.noiseMs);
      say(`noise: ${name} p99 ${aloneS.toFixed(2)} s alone, ${besideS.toFixed(2)} s beside the noisy site`);
      put(found, name, { noisy_p99_growth_s: round(Math.max(0, growthS), 2) });
    }),
  );
}

async function scale({ addresses, sizes, say }: Context, found: Figures): Promise<void> {
  const { cpu, rssMb, runsPerS } = await measureScale(addresses, { ...SCALE, measureMs: sizes.scaleMs });
  say(`scale: ${cpu.toFixed(2)} cores, ${rssMb.toFixed(0)} MB, ${runsPerS.toFixed(0)} runs/s`);
  put(found, 'ours', { scale_cpu: round(cpu, 2), scale_rss_mb: round(rssMb, 0), scale_runs_per_s: round(runsPerS, 0) });
  for (const [due, ms] of await measureTickCost(addresses, [600, 6_000, 60_000])) {
    say(`tick: ${due} due, ${(ms * 1000).toFixed(0)} µs each`);
    put(found, 'ours', { [`tick_us_each_of_${due}`]: round(ms * 1000, 0) });
  }
}

const PARTS = { burndown, burst, faults, open: heldOpen, noisy: noise, scale } as const;

function toRows(found: Figures, sizes: Sizes): Row[] {
  const ours = found.ours ?? {};
  const of = (figure: string): number[] => PEERS.flatMap((name) => found[name]?.[figure] ?? []);
  const beside = (figure: string): string =>
    PEERS.flatMap((name) => {
      const value = found[name]?.[figure];
      const bound = figure === 'kill_recovery_s' && value === sizes.judgeMs / 1000 ? '> ' : '';
      return value === undefined ? [] : [`${name} ${bound}${value}`];
    }).join(', ');
  const row = (figure: string, what: string, unit: string, target?: { is: '<=' | '>='; value: number }): Row[] => {
    const measured = ours[figure];
    if (measured === undefined) return [];
    const others = beside(figure);
    return [toRow(`\`${figure}\`: ${what}${others === '' ? '' : ` (${others})`}`, measured, unit, target)];
  };
  const twice = round(2 * Math.max(...of('burndown_per_s')), 0);
  const soonest = Math.min(...of('burst_p99_s'));
  return [
    ...row('burndown_per_s', `${sizes.burndown} runs that do nothing`, '/s', { is: '>=', value: twice }),
    ...row('burst_p99_s', `${sizes.burst} due at one moment, p99 of the start`, 's', { is: '<=', value: soonest }),
    ...row('kill_lost', 'a worker killed: runs lost', '', { is: '<=', value: 0 }),
    ...row('kill_twice', 'a worker killed: runs that ended twice', '', { is: '<=', value: 0 }),
    ...row('kill_recovery_s', 'a worker killed: until all that it had in hand runs again', 's', {
      is: '<=',
      value: RECOVERY_S,
    }),
    ...row('freeze_overlaps', 'a worker stopped and continued: runs at work twice at a time', '', {
      is: '<=',
      value: 0,
    }),
    ...row('freeze_stale_accepted', 'a worker stopped and continued: ends by an old lease that counted', '', {
      is: '<=',
      value: 0,
    }),
    ...row('open_transaction_ratio', `throughput after ${sizes.holdMs / 1000} s of an open transaction`, '', {
      is: '>=',
      value: 0.5,
    }),
    ...row('noisy_p99_growth_s', 'one site asks for 10000: p99 of the others’ start grows by', 's', {
      is: '<=',
      value: QUANTUM_S,
    }),
    ...row('scale_cpu', '60000 tasks of 10000 sites on 1000 servers: the controller', 'cores', { is: '<=', value: 1 }),
    ...row('scale_rss_mb', 'the same: its memory', 'MB', { is: '<=', value: 1_000 }),
    ...row('scale_runs_per_s', 'the same: runs', '/s'),
    ...Object.keys(ours)
      .filter((figure) => figure.startsWith('tick_us'))
      .flatMap((figure) => row(figure, 'a tick for each due task', 'µs')),
  ];
}

/** Real runs need a deployment; the rest does not. */
async function measureReal(place: Place): Promise<Measured> {
  await place.ensureUp();
  return measureRealRuns(place);
}

export const sequencer: Benchmark = {
  name: 'sequencer',
  needsPlace: false,
  async run(place, options): Promise<Measured> {
    place.say('installing what it is measured beside');
    await installPeers();
    const services = await startServices();
    const sizes = options.quick ? QUICK : WHOLE;
    const context: Context = { addresses: services.addresses, sizes, say: (line) => place.say(line) };
    const found: Figures = {};
    try {
      for (const [name, measure] of Object.entries(PARTS))
        if (options.only.length === 0 || options.only.includes(name)) await measure(context, found);
    } finally {
      await services.stop();
    }
    const asked = options.only.includes('real') || (options.only.length === 0 && !options.quick);
    const real = asked ? await measureReal(place) : undefined;
    const versions = await Promise.all(
      ['graphile-worker', 'pg-boss', 'bullmq'].map(async (name) => `${name} ${await readPeerVersion(name)}`),
    );
    const peers = Object.fromEntries(
      PEERS.flatMap((name) => Object.entries(found[name] ?? {}).map(([figure, value]) => [`${name}.${figure}`, value])),
    );
    return {
      figures: { ...found.ours, ...real?.figures },
      peers: { ...peers, ...real?.peers },
      rows: [...toRows(found, sizes), ...(real?.rows ?? [])],
      details: [services.sentence, versions.join(', '), ...(real?.details ?? [])],
    };
  },
};
