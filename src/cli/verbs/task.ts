// The verbs of sites' tasks, and of the shares that sites have of the workers.
import { type Command, Option } from 'commander';
import { runChange } from '../cli.ts';
import { aboveZero, enc, natural, positive, type Run } from './arguments.ts';

interface NewTaskOptions {
  every?: string;
  cron?: string;
  zone?: string;
  class?: string;
  overlapKey?: string;
  whenDueRunning?: string;
  whenLost?: string;
  missed?: string;
  retries?: number;
  overdueAfter?: number;
  cpu?: number;
  memory?: number;
}

/** add, pause, resume, run, cancel, remove, history, logs. */
export function addTaskVerbs(task: Command, run: Run): void {
  const load = () => import('../commands/task.ts');
  task
    .command('add')
    .description('add a task to a site: espalier task add SITE/NAME --every 5m -- php cron.php')
    .argument('<task>', 'SITE/NAME')
    .argument('<command...>', 'program and arguments, after --; no shell')
    .option('--every <interval>', '30s, 5m, 1h, 1d')
    .option('--cron <fields>', 'minute hour day month weekday; without both it runs by hand only')
    .option('--zone <zone>', 'time zone of --cron (default: UTC)')
    .option('--time-limit <seconds>', 'it is killed after this (default: 3600)', positive)
    .addOption(new Option('--class <class>', 'default: normal').choices(['urgent', 'normal', 'bulk']))
    .option('--overlap-key <key>', "of the site's tasks with one key one runs at a time (default: the task itself)")
    .addOption(new Option('--when-due-running <what>', 'default: skip').choices(['skip', 'queue']))
    .addOption(new Option('--when-lost <what>', 'default: fail').choices(['retry', 'fail']))
    .addOption(
      new Option('--missed <what>', 'ticks that nobody made; default: latest').choices(['latest', 'none', 'all']),
    )
    .option('--retries <n>', 'after a failure (default: 2)', natural)
    .option(
      '--overdue-after <seconds>',
      'tell people when a due time is older (default: 600, and its interval)',
      positive,
    )
    .option('--cpu <percent>', 'of one core', positive)
    .option('--memory <MiB>', 'it is killed beyond this', positive)
    .action(
      run<NewTaskOptions & { timeLimit?: number }>((cli, options, [name = '', ...command]) => {
        const [site, own] = name.split('/', 2);
        const { every, cron, zone, timeLimit, overlapKey, whenDueRunning, whenLost, missed } = options;
        const { retries, overdueAfter, cpu, memory } = options;
        return runChange(cli, {
          method: 'POST',
          path: '/v1/tasks',
          body: {
            ...{ site, name: own, command, every, cron, zone, timeoutS: timeLimit, class: options.class, overlapKey },
            ...{ whenDueRunning, whenLost, missed, retryLimit: retries, overdueAfterS: overdueAfter },
            ...{ cpuPercent: cpu, memoryMb: memory },
          },
        });
      }),
    );
  for (const [verb, description] of [
    ['pause', 'start no run of it any more; what runs goes on'],
    ['resume', 'run it again from its next time on; forget its failures'],
    ['run', 'run it now'],
    ['cancel', 'end what waits and kill what runs of it; the schedule goes on'],
  ] as const) {
    task
      .command(verb)
      .description(description)
      .argument('<task>', 'SITE/NAME')
      .action(
        run(async (cli, _, [name = '']) =>
          runChange(cli, { method: 'POST', path: `${(await load()).taskPath(name)}/${verb}` }),
        ),
      );
  }
  task
    .command('remove')
    .description("remove a person's task; its history stays")
    .argument('<task>', 'SITE/NAME')
    .action(
      run(async (cli, _, [name = '']) => runChange(cli, { method: 'DELETE', path: (await load()).taskPath(name) })),
    );
  task
    .command('history')
    .description('its runs, the newest first')
    .argument('<task>', 'SITE/NAME')
    .option('--limit <n>', 'how many', positive, 20)
    .action(
      run<{ limit: number }>(async (cli, { limit }, [name = '']) => (await load()).runTaskHistory(cli, name, limit)),
    );
  task
    .command('logs')
    .description('the output of its last run, or of one run')
    .argument('<task>', 'SITE/NAME')
    .option('--run <id>', 'of this run', positive)
    .option('-f, --follow', 'go on until the run has ended')
    .action(
      run<{ run?: number; follow?: true }>(async (cli, options, [name = '']) =>
        (await load()).runTaskLogs(cli, name, options),
      ),
    );
}

/** set. */
export function addShareVerbs(share: Command, run: Run): void {
  share
    .command('set')
    .description("change how many runs a site's tasks may have at once, and their weight")
    .argument('<site>')
    .option('--runs <n>', 'at once; 0: as many as any site', natural)
    .option('--weight <n>', 'one with 2 gets twice what one with 1 gets, when both are busy', aboveZero)
    .action(
      run<{ runs?: number; weight?: number }>((cli, { runs, weight }, [site = '']) =>
        runChange(cli, {
          method: 'PATCH',
          path: `/v1/shares/${enc(site)}`,
          body: { mostRuns: runs === 0 ? null : runs, weight },
        }),
      ),
    );
}
