// The verbs of a site's snapshots: their arguments and options.
import type { Command } from 'commander';
import { assertConfirmed, runChange } from '../cli.ts';
import type { RestoreOptions } from '../commands/snapshot.ts';
import { collect, enc, positive, type Run } from './arguments.ts';

/** snapshot, snapshots, delete-snapshot, restore. */
export function addSnapshotVerbs(site: Command, run: Run): void {
  const load = () => import('../commands/snapshot.ts');
  site
    .command('snapshot')
    .description('keep what it holds at this moment, database and files; it serves on')
    .argument('<site>')
    .action(run(async (cli, _, [name = '']) => (await load()).runSnapshot(cli, name)));
  site
    .command('snapshots')
    .description('list its snapshots')
    .argument('<site>')
    .action(run(async (cli, _, [name = '']) => (await load()).runSnapshots(cli, name)));
  site
    .command('delete-snapshot')
    .description('delete one of its snapshots')
    .argument('<site>')
    .argument('<number>', 'of the snapshot', positive)
    .action(
      run(async (cli, _, [name = '', number]) => {
        await assertConfirmed(cli, `This deletes snapshot ${number} of ${name}.`, name);
        return await runChange(cli, { method: 'DELETE', path: `/v1/sites/${enc(name)}/snapshots/${number}` });
      }),
    );
  site
    .command('restore')
    .description('put it back to a snapshot; what it holds now is kept as another one')
    .argument('<site>')
    .requiredOption('--snapshot <number>', 'which one', positive)
    .option('--beside <name>', 'leave the site as it is, and make a site of this name from the snapshot')
    .option('--host <host>', 'with --beside: a host name, the first is the primary one; may be repeated', collect)
    .option('--title <title>', 'with --beside: its title')
    .action(
      run<RestoreOptions>(async (cli, options, [name = '']) => (await load()).runSiteRestore(cli, name, options)),
    );
}
