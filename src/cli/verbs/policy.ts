// The verbs of a pool's policy, by which it grows and shrinks by itself.
import { type Command, Option } from 'commander';
import { runChange } from '../cli.ts';
import type { PolicyOptions } from '../commands/policy.ts';
import { collect, enc, natural, positive, type Run } from './arguments.ts';

/** policy set, show, remove; pause, resume. */
export function addPolicyVerbs(pool: Command, run: Run): void {
  const load = () => import('../commands/policy.ts');
  const policy = pool.command('policy').description('how it grows and shrinks by itself');
  policy
    .command('set')
    .description('set it; what is not named keeps its value')
    .argument('<pool>')
    .option('--min <nodes>', 'nodes at least; 0 with --idle', natural)
    .option('--max <nodes>', 'nodes at most', positive)
    .option('--grow <alert>', 'a node votes grow: "cpu > 80 for 60s"; may be repeated', collect)
    .option('--shrink <alert>', 'a node votes shrink: "cpu < 30 for 5m"; may be repeated', collect)
    .option('--decision <percent>', 'of the voters that must agree (default: 51)', positive)
    .option('--grow-by <n>', 'nodes, or a share such as 50% (default: 2)')
    .option('--calm <duration>', 'no resize for so long after one (default: 15m, of workers 5m)')
    .option('--stabilise <duration>', 'votes to shrink must hold for so long (default: 5m)')
    .option('--interval <duration>', 'votes are kept at least so often (default: 10s)')
    .option('--jitter <duration>', 'growth waits up to this while other pools grow too (default: 20s)')
    .addOption(new Option('--leaves <which>', 'goes first (default: oldest)').choices(['oldest', 'emptiest-server']))
    .option('--idle <duration>', 'with --min 0: without a visitor for so long the last node goes')
    .option('--window <window>', '"mon-fri 08:00-18:00 min=4 max=8"; may be repeated', collect)
    .option('--zone <zone>', 'time zone of the windows (default: UTC)')
    .addOption(new Option('--ahead <what>', 'grow ahead of need, from last week (default: off)').choices(['on', 'off']))
    .option('--site-number <url>', 'where the metric site-number is read')
    .action(run<PolicyOptions>(async (cli, options, [name = '']) => (await load()).runPolicySet(cli, name, options)));
  policy
    .command('show')
    .description('show it, and what was decided last')
    .argument('<pool>')
    .action(run(async (cli, _, [name = '']) => (await load()).runPolicyShow(cli, name)));
  policy
    .command('remove')
    .description('let the pool keep the size that people give it')
    .argument('<pool>')
    .action(run((cli, _, [name = '']) => runChange(cli, { method: 'DELETE', path: `/v1/pools/${enc(name)}/policy` })));
  for (const [verb, description] of [
    ['pause', 'hold it at its size; votes are cast and kept all the same'],
    ['resume', 'let votes resize it again'],
  ] as const) {
    pool
      .command(verb)
      .description(description)
      .argument('<pool>')
      .action(
        run((cli, _, [name = '']) => runChange(cli, { method: 'POST', path: `/v1/pools/${enc(name)}/policy/${verb}` })),
      );
  }
}
