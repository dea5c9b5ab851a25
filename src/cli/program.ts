// The tree of commands: nouns, verbs, their arguments and options. What a command does is in a file of its own,
// loaded when it is run, so that help and completion stay quick.
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Cli, type GlobalOptions, makeCli, runChange, runFollow, type Surroundings } from './cli.ts';
import type { NewSiteOptions } from './commands/site.ts';
import { type Noun, nouns } from './nouns.ts';
import type { ExitCode } from './problems.ts';
import type { UpOptions } from './up/up.ts';

/** The program, and the exit code of the command that ran. */
export interface Program {
  command: Command;
  exitCode(): ExitCode;
}

const positive = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number from 1 on.');
  return value;
};
const natural = (text: string): number => (text === '0' ? 0 : positive(text));
const collect = (value: string, before: string[] = []): string[] => [...before, value];
const enc = encodeURIComponent;

/** Makes the tree. Argument names that are nouns (`<site>`) are completed with live names. */
export function makeProgram(version: string, surroundings: Surroundings): Program {
  const { terminal } = surroundings;
  let exitCode: ExitCode = 0;
  const root = new Command('espalier');
  /** An action: `work` gets the Cli, the command's own options and its arguments. */
  const run =
    <O extends object>(work: (cli: Cli, options: O, args: string[]) => Promise<ExitCode>) =>
    async (...given: unknown[]) => {
      const command = given.at(-1) as Command;
      const cli = await makeCli(surroundings, command.optsWithGlobals<GlobalOptions>());
      exitCode = await work(cli, command.opts<O>(), command.processedArgs.flat() as string[]);
    };

  root
    .description('Runs hundreds of PHP web sites over a handful of servers as one system.')
    .version(version, '-V, --version', 'print the version')
    .option('--json', 'data as JSON on standard output')
    .option('--no-wait', 'print the operation and return, do not wait for its end')
    .option('--timeout <seconds>', 'wait at most this long (exit code 3); the operation goes on', positive)
    .option('--dry-run', 'say what would happen, change nothing')
    .option('--reason <text>', 'why, for the journal')
    .option('--yes', 'answer yes where a question is asked; never enough to destroy')
    .option('--confirm <name>', 'confirm that what is named may be destroyed')
    .option('--deployment <name>', 'which deployment on this machine (default: espalier)')
    .option('--data-dir <path>', 'its data directory (default: /var/lib/espalier)')
    .option('--url <url>', 'a controller elsewhere: https://HOST:PORT')
    .option('--token <token>', 'the token for it (better: ESPALIER_TOKEN or the context file)')
    .exitOverride()
    .configureHelp({ showGlobalOptions: false, sortSubcommands: false })
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err })
    .showHelpAfterError('(add --help for what the command takes)')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failed or rolled back, 2 usage, 3 timed out, 4 not allowed, 130 interrupted.',
    );

  addDeploymentCommands(root, run);
  const groups = new Map(nouns.map((noun) => [noun.noun, addNoun(root, noun, run)]));
  const group = (noun: string): Command => groups.get(noun) ?? root;
  addSiteVerbs(group('site'), run);
  addPoolVerbs(group('pool'), group('node'), group('image'), run);
  addOperationVerbs(group('operation'), group('event'), run);
  addTokenVerbs(group('token'), run);
  addHelpers(root, run);
  return { command: root, exitCode: () => exitCode };
}

type Run = <O extends object>(
  work: (cli: Cli, options: O, args: string[]) => Promise<ExitCode>,
) => (...given: unknown[]) => Promise<void>;

function addDeploymentCommands(root: Command, run: Run): void {
  root
    .command('up')
    .description('prepare this machine, start everything, end with sites that a browser can open')
    .option('--simulated', 'the same controller over a simulated fleet: no root, no Incus, to look around')
    .option('--api-port <port>', 'serve the API by TLS to tokens on this port', positive)
    .option('--http-port <port>', "the edge's port for HTTP", positive)
    .action(run<UpOptions>(async (cli, options) => (await import('./up/up.ts')).runUp(cli, options)));
  root
    .command('down')
    .description('stop containers, agent and controller; all data stays')
    .action(run(async (cli) => (await import('./up/down.ts')).runDown(cli)));
  root
    .command('destroy')
    .description('remove the deployment with all its sites; asks for its name')
    .action(run(async (cli) => (await import('./up/down.ts')).runDestroy(cli)));
  root
    .command('doctor')
    .description('check machine, engines, clocks, disk, versions and orphans; say what to do')
    .action(run(async (cli) => (await import('./doctor.ts')).runDoctor(cli)));
  root
    .command('why')
    .description('why a thing is as it is: espalier why site NAME')
    .argument('<noun>')
    .argument('<name>')
    .action(run(async (cli, _, [noun = '', name = '']) => (await import('./commands/why.ts')).runWhy(cli, noun, name)));
}

function addNoun(root: Command, noun: Noun, run: Run): Command {
  const group = root.command(noun.noun).description(noun.summary);
  const list = group.command('list').description(`list ${noun.noun}s`);
  list.option('--filter <terms>', 'for example "state=ready app!=mautic"');
  list.option('--limit <n>', 'the first n only', positive);
  const defaultLimit = noun.noun === 'operation' || noun.noun === 'event' ? 30 : undefined;
  list.action(
    run<{ filter?: string; limit?: number }>(async (cli, { filter, limit }) =>
      (await import('./commands/list-show.ts')).runList(cli, noun, filter, limit ?? defaultLimit),
    ),
  );
  if (noun.listOnly !== true) {
    group
      .command('show')
      .description(`show one ${noun.noun}`)
      .argument(`<${noun.noun}>`)
      .action(run(async (cli, _, [name = '']) => (await import('./commands/list-show.ts')).runShow(cli, noun, name)));
  }
  return group;
}

function addSiteVerbs(site: Command, run: Run): void {
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

function addPoolVerbs(pool: Command, node: Command, image: Command, run: Run): void {
  pool
    .command('create')
    .description('create a pool from the newest image of an app')
    .argument('<name>')
    .requiredOption('--app <app>', 'which app')
    .option('--size <nodes>', 'how many nodes', positive)
    .option('--max-sites <n>', 'how many sites may live on it', positive)
    .option('--node-memory <MiB>', 'what a node is expected to use, for placement', positive)
    .action(
      run<{ app: string; size?: number; maxSites?: number; nodeMemory?: number }>((cli, options, [name]) => {
        const { app, size, maxSites, nodeMemory } = options;
        const body = { name, app, size, maxSites, nodeMemoryMb: nodeMemory };
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
    .command('delete')
    .description('delete a pool that has no sites')
    .argument('<pool>')
    .action(
      run(async (cli, _, [name = '']) => {
        const { assertConfirmed } = await import('./cli.ts');
        await assertConfirmed(cli, `This removes the pool ${name} with its nodes.`, name);
        return await runChange(cli, { method: 'DELETE', path: `/v1/pools/${enc(name)}` });
      }),
    );
  node
    .command('replace')
    .description('drain a node and remove it; its pool makes another')
    .argument('<node>')
    .action(run((cli, _, [name = '']) => runChange(cli, { method: 'POST', path: `/v1/nodes/${enc(name)}/replace` })));
  image
    .command('build')
    .description('bake a new image of an app')
    .argument('<app>')
    .action(run((cli, _, [recipe]) => runChange(cli, { method: 'POST', path: '/v1/images', body: { recipe } })));
}

function addOperationVerbs(operation: Command, event: Command, run: Run): void {
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
          return await runOperationVerb(cli, id, verb);
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

function addTokenVerbs(token: Command, run: Run): void {
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
    .action(run((cli, _, [name = '']) => runChange(cli, { method: 'DELETE', path: `/v1/tokens/${enc(name)}` })));
}

function addHelpers(root: Command, run: Run): void {
  const context = root.command('context').description('where this command line finds its controller');
  context
    .command('show')
    .description('what is in force')
    .action(run(async (cli) => (await import('./commands/context.ts')).runContextShow(cli)));
  context
    .command('set')
    .description('store --url, --token, --deployment, --data-dir of this call in the context file')
    .option('--ca <file>', 'the certificate of the controller (its data directory: tls/server.crt)')
    .action(
      run<{ ca?: string }>(async (cli, { ca }) => (await import('./commands/context.ts')).runContextSet(cli, ca)),
    );
  root
    .command('completion')
    .description('print the completion script: source <(espalier completion bash)')
    .argument('[shell]', 'bash', 'bash')
    .action(run(async (cli) => (await import('./commands/completion.ts')).runCompletionScript(cli)));
  root
    .command('complete', { hidden: true })
    .argument('[words...]')
    .allowUnknownOption()
    .helpOption(false)
    .action(run(async (cli, _, words) => (await import('./commands/completion.ts')).runComplete(cli, root, words)));
}
