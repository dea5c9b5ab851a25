// The verbs of the nouns: their arguments and options, and what each asks of the API. Apart from the tree's root and
// from what is alike for all nouns (program.ts).
import { type Command, InvalidArgumentError, Option } from 'commander';
import { assertConfirmed, type Cli, runChange, runFollow, toEarnest } from './cli.ts';
import type { PolicyOptions } from './commands/policy.ts';
import type { NewSiteOptions } from './commands/site.ts';
import type { ExitCode } from './problems.ts';

/** Makes an action of a command: `work` gets the Cli, the command's own options and its arguments. */
export type Run = <O extends object>(
  work: (cli: Cli, options: O, args: string[]) => Promise<ExitCode>,
) => (...given: unknown[]) => Promise<void>;

/** Parses a whole number from 1 on. */
export function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number from 1 on.');
  return value;
}

/** Parses a number above 0. */
function aboveZero(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

/** Parses `90s`, `5m`, `1h` or a number of seconds. */
export function seconds(text: string): number {
  const [, count = '', unit = 's'] = /^(\d+)([smh]?)$/.exec(text) ?? [];
  if (count === '') throw new InvalidArgumentError('It must be like 90s, 5m or 1h.');
  return Number(count) * ({ s: 1, m: 60, h: 3600 }[unit] ?? 1);
}

const natural = (text: string): number => (text === '0' ? 0 : positive(text));
const collect = (value: string, before: string[] = []): string[] => [...before, value];
export const enc = encodeURIComponent;

/** create, suspend, resume, set-hosts, login, delete. */
export function addSiteVerbs(site: Command, run: Run): void {
  const load = () => import('./commands/site.ts');
  site
    .command('create')
    .description('create a site and wait for its first page')
    .argument('<name>')
    .requiredOption('--app <app>', 'which app')
    .addOption(
      new Option('--host <host>', 'a host name, the first is the primary one; may be repeated')
        .argParser(collect)
        .makeOptionMandatory(),
    )
    .option('--pool <pool>', 'on this pool (default: the emptiest one of the app)')
    .option('--title <title>', 'its title (default: its name)')
    .option('--email <address>', "the administrator's mail address")
    .option('--set <key=value>', 'a setting of the app; may be repeated', collect)
    .action(run<NewSiteOptions>(async (cli, options, [name = '']) => (await load()).runSiteCreate(cli, name, options)));
  for (const [verb, description] of [
    ['suspend', 'answer visitors with a page that says so; keep everything'],
    ['resume', 'bring a suspended or archived site back'],
  ] as const) {
    site
      .command(verb)
      .description(description)
      .argument('<site>')
      .action(run(async (cli, _, [name = '']) => (await load()).runSiteVerb(cli, name, verb)));
  }
  site
    .command('clone')
    .description('make a copy with its data under another name; its mail is held back')
    .argument('<site>')
    .argument('<name>', 'of the copy')
    .addOption(
      new Option('--host <host>', 'a host name, the first is the primary one; may be repeated')
        .argParser(collect)
        .makeOptionMandatory(),
    )
    .option('--title <title>', "its title (default: the source's)")
    .action(
      run<{ host: string[]; title?: string }>(async (cli, options, [source = '', name = '']) =>
        (await load()).runSiteClone(cli, source, name, options),
      ),
    );
  for (const [verb, description] of [
    ['hold-mail', 'put aside what it would send by mail'],
    ['release-mail', 'let it send mail again'],
  ] as const) {
    site
      .command(verb)
      .description(description)
      .argument('<site>')
      .action(
        run((cli, _, [name = '']) =>
          runChange(cli, { method: 'PUT', path: `/v1/sites/${enc(name)}/mail`, body: { held: verb === 'hold-mail' } }),
        ),
      );
  }
  site
    .command('set-hosts')
    .description('replace the host names, the primary one first')
    .argument('<site>')
    .argument('<host...>')
    .action(run(async (cli, _, [name = '', ...hosts]) => (await load()).runSiteSetHosts(cli, name, hosts)));
  site
    .command('login')
    .description('address, user and first password')
    .argument('<site>')
    .action(run(async (cli, _, [name = '']) => (await load()).runSiteLogin(cli, name)));
  site
    .command('delete')
    .description('back up, take off line, purge after the grace time')
    .argument('<site>')
    .option('--grace <seconds>', 'until it is purged', natural)
    .action(
      run<{ grace?: number }>(async (cli, { grace }, [name = '']) => (await load()).runSiteDelete(cli, name, grace)),
    );
}

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

const loadRoll = () => import('./commands/roll.ts');

const imagePath = (name: string): string => `/v1/images/${name.split('/').map(enc).join('/')}`;

/** Images: build, refresh, diff, keep, delete. */
export function addImageVerbs(image: Command, run: Run): void {
  const load = () => import('./commands/image.ts');
  image
    .command('build')
    .description('bake a new image of an app')
    .argument('<app>')
    .action(run((cli, _, [recipe]) => runChange(cli, { method: 'POST', path: '/v1/images', body: { recipe } })));
  image
    .command('refresh')
    .description('bake anew from the base up, with the newest packages: security updates')
    .argument('[app]', 'only this one (default: all that have an image)')
    .option('--from-recipe', 'also where the newest image was changed in a seed: without those changes')
    .action(
      run<{ fromRecipe?: true }>((cli, { fromRecipe }, [recipe]) =>
        runChange(cli, {
          method: 'POST',
          path: '/v1/images/refresh',
          body: { recipe, leaveOutSeeds: fromRecipe === true },
        }),
      ),
    );
  image
    .command('diff')
    .description('packages and files that differ between two images: espalier image diff wordpress/3 4')
    .argument('<image>')
    .argument('<number>', 'of the other one, of the same app', positive)
    .action(run(async (cli, _, [name = '', other]) => (await load()).runImageDiff(cli, name, Number(other))));
  image
    .command('keep')
    .description('keep an image, however old; the reason is that of --reason')
    .argument('<image>')
    .option('--off', 'leave it to the rule again')
    .action(
      run<{ off?: true }>((cli, { off }, [name = '']) =>
        runChange(cli, { method: 'PATCH', path: imagePath(name), body: { keep: off !== true } }),
      ),
    );
  image
    .command('delete')
    .description('delete an image that nothing uses')
    .argument('<image>')
    .action(
      run(async (cli, _, [name = '']) => {
        await assertConfirmed(cli, `This removes the image ${name}; nothing can go back to it then.`, name);
        return await runChange(cli, { method: 'DELETE', path: imagePath(name) });
      }),
    );
}

/** Seeds: create, enter, diff, bake, delete. */
export function addSeedVerbs(seed: Command, run: Run): void {
  const load = () => import('./commands/image.ts');
  seed
    .command('create')
    .description('make a container from an image, to change things in')
    .argument('<name>')
    .requiredOption('--app <app>', 'of which app')
    .option('--image <n>', "the image's number (default: the newest)", positive)
    .action(
      run<{ app: string; image?: number }>((cli, { app, image }, [name]) =>
        runChange(cli, { method: 'POST', path: '/v1/seeds', body: { name, app, image } }),
      ),
    );
  seed
    .command('enter')
    .description('open a shell in it, or run a command: espalier seed enter NAME -- apt-get install …')
    .argument('<seed>')
    .argument('[command...]', 'after --')
    .action(run(async (cli, _, [name = '', ...argv]) => (await load()).runSeedEnter(cli, name, argv)));
  seed
    .command('diff')
    .description('packages and files that were changed in it since its image')
    .argument('<seed>')
    .action(run(async (cli, _, [name = '']) => (await load()).runSeedDiff(cli, name)));
  seed
    .command('bake')
    .description('bake an image from it as it stands now')
    .argument('<seed>')
    .option('--upgrade', 'bring the newest packages into it first')
    .action(
      run<{ upgrade?: true }>((cli, { upgrade }, [name = '']) =>
        runChange(cli, {
          method: 'POST',
          path: `/v1/seeds/${enc(name)}/bake`,
          body: { upgrade: upgrade === true },
        }),
      ),
    );
  seed
    .command('delete')
    .description('delete it with what was changed in it; images baked from it stay')
    .argument('<seed>')
    .action(
      run(async (cli, _, [name = '']) => {
        await assertConfirmed(cli, `This removes the seed ${name} with all that was changed in it.`, name);
        return await runChange(cli, { method: 'DELETE', path: `/v1/seeds/${enc(name)}` });
      }),
    );
}

/** policy set, show, remove; pause, resume. */
function addPolicyVerbs(pool: Command, run: Run): void {
  const load = () => import('./commands/policy.ts');
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

/** Database servers and cache servers: create, set-max-sites, renew, delete. */
export function addServiceVerbs(service: Command, run: Run): void {
  const noun = service.name();
  const path = `/v1/${noun}s`;
  service
    .command('create')
    .description(`create a ${noun} server`)
    .argument('[name]', 'default: the next number')
    .option('--memory <MiB>', 'what it may use', positive)
    .option('--max-sites <n>', 'how many sites may live on it', positive)
    .action(
      run<{ memory?: number; maxSites?: number }>((cli, { memory, maxSites }, [name]) =>
        runChange(cli, { method: 'POST', path, body: { name, memoryMb: memory, maxSites } }),
      ),
    );
  service
    .command('set-max-sites')
    .description('change how many sites it may have')
    .argument(`<${noun}>`)
    .argument('<n>', 'how many', positive)
    .action(
      run((cli, _, [name = '', maxSites]) =>
        runChange(cli, { method: 'PATCH', path: `${path}/${enc(name)}`, body: { maxSites: Number(maxSites) } }),
      ),
    );
  service
    .command('renew')
    .description('make its container anew from the newest image; its data stays')
    .argument(`<${noun}>`)
    .action(run((cli, _, [name = '']) => runChange(cli, { method: 'POST', path: `${path}/${enc(name)}/renew` })));
  service
    .command('delete')
    .description('remove one that no site lives on, with all its data')
    .argument(`<${noun}>`)
    .option('--delete-backups', 'also when it holds backups')
    .action(
      run<{ deleteBackups?: true }>(async (cli, { deleteBackups }, [name = '']) => {
        await assertConfirmed(cli, `This removes the ${noun} server ${name} with all its data.`, name);
        const query = { deleteBackups: deleteBackups === true ? 'true' : undefined };
        return await runChange(cli, { method: 'DELETE', path: `${path}/${enc(name)}`, query });
      }),
    );
}

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
  cpu?: number;
  memory?: number;
}

/** add, pause, resume, run, cancel, remove, history, logs. */
export function addTaskVerbs(task: Command, run: Run): void {
  const load = () => import('./commands/task.ts');
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
    .option('--cpu <percent>', 'of one core', positive)
    .option('--memory <MiB>', 'it is killed beyond this', positive)
    .action(
      run<NewTaskOptions & { timeLimit?: number }>((cli, options, [name = '', ...command]) => {
        const [site, own] = name.split('/', 2);
        const { every, cron, zone, timeLimit, overlapKey, whenDueRunning, whenLost, missed, retries, cpu, memory } =
          options;
        return runChange(cli, {
          method: 'POST',
          path: '/v1/tasks',
          body: {
            ...{ site, name: own, command, every, cron, zone, timeoutS: timeLimit, class: options.class, overlapKey },
            ...{ whenDueRunning, whenLost, missed, retryLimit: retries, cpuPercent: cpu, memoryMb: memory },
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

/** Following and steering operations; watching events. */
export function addOperationVerbs(operation: Command, event: Command, run: Run): void {
  for (const [verb, description] of [
    ['cancel', 'ask it to stop and undo what it did'],
    ['resume', 'try the undo of a fatal one again, after the cause was removed'],
    ['release', 'drop the locks of a fatal one, after cleaning up by hand'],
  ] as const) {
    operation
      .command(verb)
      .description(description)
      .argument('<operation>')
      .action(
        run(async (cli, _, [id = '']) => {
          const { runOperationVerb } = await import('./commands/operation.ts');
          return await runOperationVerb(toEarnest(cli), id, verb);
        }),
      );
  }
  operation
    .command('wait')
    .description('show its steps until it has ended')
    .argument('<operation>')
    .action(run((cli, _, [id = '']) => runFollow(cli, id)));
  event
    .command('watch')
    .description('print events as they happen')
    .option('--kind <kind>', 'exact, or all of a noun: site.*')
    .option('--subject <subject>', 'exact: site:ID')
    .action(
      run<{ kind?: string; subject?: string }>(async (cli, { kind, subject }) => {
        const { runWatchEvents } = await import('./commands/watch-events.ts');
        const query = { ...(kind === undefined ? {} : { kind }), ...(subject === undefined ? {} : { subject }) };
        return await runWatchEvents(cli, query);
      }),
    );
}

/** create, delete. */
export function addTokenVerbs(token: Command, run: Run): void {
  token
    .command('create')
    .description('make a token; it is shown once')
    .argument('<name>')
    .addOption(new Option('--scope <scope>', 'what it may do').choices(['read', 'operate', 'admin']).default('read'))
    .option('--days <n>', 'until it expires', positive, 90)
    .action(
      run<{ scope: string; days: number }>((cli, { scope, days }, [name]) =>
        runChange(cli, { method: 'POST', path: '/v1/tokens', body: { name, scopes: [scope], days } }),
      ),
    );
  token
    .command('delete')
    .description('revoke a token')
    .argument('<token>')
    .action(run((cli, _, [id = '']) => runChange(cli, { method: 'DELETE', path: `/v1/tokens/${enc(id)}` })));
}
