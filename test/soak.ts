// `npm run soak -- sequencer --minutes 60`: the simulation with seeds that nobody has seen yet, for as long as one likes.
import { parseArgs } from 'node:util';
import { countFrom, runSeeds } from './simulation/seeds.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '60' }, first: { type: 'string' } },
});
if (positionals[0] !== 'sequencer') {
  process.stderr.write('usage: npm run soak -- sequencer [--minutes N] [--first SEED]\n');
  process.exit(2);
}
// From a place of its own each time; the first seed is said, so that all can be replayed.
const first = Number(values.first ?? Math.floor(Math.random() * 2 ** 31));
const untilMs = Date.now() + Number(values.minutes) * 60_000;
process.stdout.write(`seeds from ${first} on, for ${values.minutes} min\n`);
const { failed, ...counts } = await runSeeds(countFrom(first, Number.MAX_SAFE_INTEGER), () => Date.now() > untilMs);
for (const { seed, faults } of failed)
  process.stdout.write(`seed ${seed}:\n${faults.map((fault) => `  ${fault}\n`).join('')}`);
process.stdout.write(`${JSON.stringify({ ...counts, failed: failed.length })}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;
