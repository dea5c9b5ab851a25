// The verbs of pools and their nodes.
import { type Command, Option } from 'commander';
import { assertConfirmed, runChange } from '../cli.ts';
import { aboveZero, collect, enc, positive, type Run } from './arguments.ts';
import { addPolicyVerbs } from './policy.ts';

interface NewPoolOptions {
  app?: string;
  role?: string;
  for?: string;
  size?: number;
  maxSites?: number;
  nodeMemory?: number;
  dedicatedTo?: string;
  server?: string;
}

interface LimitOptions {
  cpus?: number;
  memory?: number;
  processes?: number;
  disk?: number;
}

/** The options of what one node may use. */
function addLimitOptions(command: Command): Command {
  return command
    .option('--cpus <n>', 'processors that a node may use, also a fraction: 1.5', aboveZero)
    .option('--memory <MiB>', 'memory that a node may use', positive)
    .option('--processes <n>', 'processes that a node may have', positive)
    .option('--disk <GiB>', "of a node's own disk: code, logs, temporary files", positive);
}

const toLimits = ({ cpus, memory, processes, disk }: LimitOptions) => ({
  ...{ cpus, memoryMb: memory, processes, diskGib: disk },
});

/** Pools and their nodes. */
export function addPoolVerbs(pool: Command, node: Command, run: Run): void {
  const create = pool
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
    .option(
      '--server <server>',
      'its uploads lie on a volume there, and its nodes with them (default: the shared folder, or the best)',
    )
    .option('--dedicated-to <site>', 'for this site alone, which may have code of its own there');
  addLimitOptions(create).action(
    run<NewPoolOptions & LimitOptions>((cli, options, [name]) => {
      const { app, role, for: worksFor, size, maxSites, nodeMemory, dedicatedTo, server } = options;
      const body = { name, app, role, worksFor, size, maxSites, nodeMemoryMb: nodeMemory, dedicatedTo, server };
      return runChange(cli, { method: 'POST', path: '/v1/pools', body: { ...body, limits: toLimits(options) } });
    }),
  );
  addLimitOptions(pool.command('limit').description('change what one node of it may use, at once').argument('<pool>'))
    .option('--off <limit>', 'take a limit away: cpus, memory, processes, disk; may be repeated', collect)
    .action(
      run<LimitOptions & { off?: string[] }>((cli, { off = [], ...options }, [name = '']) => {
        const keys = { cpus: 'cpus', memory: 'memoryMb', processes: 'processes', disk: 'diskGib' };
        const gone = Object.entries(keys).filter(([word]) => off.includes(word));
        const body = { ...toLimits(options), ...Object.fromEntries(gone.map(([, key]) => [key, null])) };
        return runChange(cli, { method: 'PUT', path: `/v1/pools/${enc(name)}/limits`, body });
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
  pool
    .command('move-sites')
    .description('move all its sites to another pool of the app, one after another')
    .argument('<pool>')
    .requiredOption('--to <pool>', 'the pool to live on')
    .option('--max-pause <seconds>', 'of each site; when it would be longer that site stays (default: 15)', aboveZero)
    .action(
      run<{ to: string; maxPause?: number }>((cli, { to, maxPause }, [name = '']) =>
        runChange(cli, {
          method: 'POST',
          path: `/v1/pools/${enc(name)}/move-sites`,
          body: { to, maxPauseS: maxPause },
        }),
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
