// The verbs of rolls: what begins one stands with its pool, what is done to one under way with itself.
import { type Command, Option } from 'commander';
import { runChange } from '../cli.ts';
import { enc, positive, type Run, seconds } from './arguments.ts';

const loadRoll = () => import('../commands/roll.ts');

/** `pool roll`, and of a roll under way: pause, resume, abort. `pool pause` is another thing: it holds a pool's size. */
export function addRollVerbs(pool: Command, roll: Command, run: Run): void {
  pool
    .command('roll')
    .description('bring its nodes to another image; by itself back when they serve worse')
    .argument('<pool>')
    .option('--image <n>', "the image's number (default: the newest)", positive)
    .addOption(
      new Option('--strategy <strategy>', 'default: canary').choices([
        ...['canary', 'rolling', 'additional-batch', 'immutable'],
      ]),
    )
    .option('--batch <nodes>', 'so many at once (default: a quarter)', positive)
    .option('--bake-time <duration>', 'how long the first new nodes are watched: 60s, 5m (default: 90s)', seconds)
    .action(
      run<{ image?: number; strategy?: string; batch?: number; bakeTime?: number }>((cli, options, [name = '']) => {
        const { image, strategy, batch, bakeTime } = options;
        const body = { image, strategy, batch, bakeTimeS: bakeTime };
        return runChange(cli, { method: 'POST', path: `/v1/pools/${enc(name)}/roll`, body });
      }),
    );
  for (const [verb, description] of [
    ['pause', 'hold a pool’s roll before the next batch; the new nodes are watched meanwhile'],
    ['resume', 'let it go on'],
  ] as const) {
    roll
      .command(verb)
      .description(description)
      .argument('<pool>')
      .action(
        run((cli, _, [name = '']) => runChange(cli, { method: 'POST', path: `/v1/pools/${enc(name)}/roll/${verb}` })),
      );
  }
  roll
    .command('abort')
    .description('end a pool’s roll and bring the pool back to the old image')
    .argument('<pool>')
    .action(run(async (cli, _, [name = '']) => (await loadRoll()).runRollAbort(cli, name)));
}
