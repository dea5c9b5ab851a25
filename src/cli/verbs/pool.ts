// The verbs of pools and their nodes.
import { type Command, Option } from 'commander';
import { assertConfirmed, runChange } from '../cli.ts';
import { enc, positive, type Run } from './arguments.ts';
import { addPolicyVerbs } from './policy.ts';

interface NewPoolOptions {
  app?: string;
  role?: string;
  for?: string;
  size?: number;
  maxSites?: number;
  nodeMemory?: number;
}

/** Pools and their nodes. */
export function addPoolVerbs(pool: Command, node: Command, run: Run): void {
  pool
    .command('create')
    .description('create a pool from the newest image of an app')
    .argument('<name>')
    .option('--app <app>', 'which app')
    .addOption(
      new Option(
        '--role <role>',
        'worker: runs the tasks of another pool and takes no visitors; default: serving',
      ).choices(['serving', 'worker']),
    )
    .option('--for <pool>', 'of workers: whose tasks (default: the only pool of the app)')
    .option('--size <nodes>', 'how many nodes', positive)
    .option('--max-sites <n>', 'how many sites may live on it', positive)
    .option('--node-memory <MiB>', 'what a node is expected to use, for placement', positive)
    .action(
      run<NewPoolOptions>((cli, options, [name]) => {
        const { app, role, for: worksFor, size, maxSites, nodeMemory } = options;
        const body = { name, app, role, worksFor, size, maxSites, nodeMemoryMb: nodeMemory };
        return runChange(cli, { method: 'POST', path: '/v1/pools', body });
      }),
    );
  pool
    .command('scale')
    .description('change how many nodes a pool wants')
    .argument('<pool>')
    .argument('<size>', 'how many', positive)
    .action(
      run((cli, _, [name = '', size]) =>
        runChange(cli, { method: 'POST', path: `/v1/pools/${enc(name)}/scale`, body: { size: Number(size) } }),
      ),
    );
  pool
    .command('set')
    .description('change how many sites it may have')
    .argument('<pool>')
    .requiredOption('--max-sites <n>', 'how many sites may live on it', positive)
    .action(
      run<{ maxSites: number }>((cli, { maxSites }, [name = '']) =>
        runChange(cli, { method: 'PATCH', path: `/v1/pools/${enc(name)}`, body: { maxSites } }),
      ),
    );
  addPolicyVerbs(pool, run);
  pool
    .command('delete')
    .description('delete a pool that has no sites')
    .argument('<pool>')
    .option('--delete-backups', 'also when it holds final backups of deleted sites')
    .action(
      run<{ deleteBackups?: true }>(async (cli, { deleteBackups }, [name = '']) => {
        await assertConfirmed(cli, `This removes the pool ${name} with its nodes.`, name);
        const query = { deleteBackups: deleteBackups === true ? 'true' : undefined };
        return await runChange(cli, { method: 'DELETE', path: `/v1/pools/${enc(name)}`, query });
      }),
    );
  node
    .command('logs')
    .description('the nodes that failed and whose logs are kept')
    .option('--pool <pool>', 'of this pool')
    .action(run<{ pool?: string }>(async (cli, { pool: of }) => (await loadRoll()).runNodeLogs(cli, of)));
  node
    .command('log')
    .description('the kept log of a node that failed')
    .argument('<node>')
    .action(run(async (cli, _, [name = '']) => (await loadRoll()).runNodeLog(cli, name)));
  node
    .command('replace')
    .description('drain a node and remove it; its pool makes another')
    .argument('<node>')
    .action(run((cli, _, [name = '']) => runChange(cli, { method: 'POST', path: `/v1/nodes/${enc(name)}/replace` })));
}

const loadRoll = () => import('../commands/roll.ts');
