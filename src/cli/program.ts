// The tree of commands: nouns, verbs, their arguments and options. What a command does is in a file of its own,
// loaded when it is run, so that help and completion stay quick.
import { Command } from 'commander';
import { type Cli, type GlobalOptions, makeCli, type Surroundings, toEarnest, toLocal, toWaiting } from './cli.ts';
import type { ListOptions } from './commands/list-show.ts';
import type { VotesOptions } from './commands/votes.ts';
import { type Noun, nouns } from './nouns.ts';
import type { ExitCode } from './problems.ts';
import type { UpOptions } from './up/up.ts';
import { positive, type Run } from './verbs/arguments.ts';
import { addControllerVerbs } from './verbs/controller.ts';
import { addEdgeVerbs } from './verbs/edge.ts';
import { addImageVerbs, addSeedVerbs } from './verbs/image.ts';
import { addLabVerbs } from './verbs/lab.ts';
import { addOperationVerbs, addTokenVerbs } from './verbs/operation.ts';
import { addPoolVerbs } from './verbs/pool.ts';
import { addRollVerbs } from './verbs/roll.ts';
import { addClusterVerbs, addServerVerbs } from './verbs/server.ts';
import { addServiceVerbs } from './verbs/service.ts';
import { addSiteVerbs } from './verbs/site.ts';
import { addSnapshotVerbs } from './verbs/site-snapshot.ts';
import { addTransferVerbs } from './verbs/site-transfer.ts';
import { addShareVerbs, addTaskVerbs } from './verbs/task.ts';
import { addWaveVerbs } from './verbs/wave.ts';

/** The program, and the exit code of the command that ran. */
export interface Program {
  command: Command;
  exitCode(): ExitCode;
}

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
  addSnapshotVerbs(group('site'), run);
  addTransferVerbs(group('site'), run);
  addPoolVerbs(group('pool'), group('node'), run);
  addRollVerbs(group('pool'), group('roll'), run);
  addWaveVerbs(group('wave'), run);
  addImageVerbs(group('image'), run);
  addSeedVerbs(group('seed'), run);
  addEdgeVerbs(group('edge'), run);
  addServiceVerbs(group('database'), run);
  addServiceVerbs(group('cache'), run);
  addTaskVerbs(group('task'), run);
  addShareVerbs(group('share'), run);
  addOperationVerbs(group('operation'), group('event'), run);
  addTokenVerbs(group('token'), run);
  addServerVerbs(group('server'), run);
  addControllerVerbs(group('controller'), run);
  addClusterVerbs(root, run);
  addPlan(root, run);
  addVotes(root, run);
  addLabVerbs(root, run);
  addHelpers(root, run);
  return { command: root, exitCode: () => exitCode };
}

function addDeploymentCommands(root: Command, run: Run): void {
  root
    .command('up')
    .description('prepare this machine, start everything, end with sites that a browser can open')
    .option('--simulated', 'the same controller over a simulated fleet: no root, no Incus, to look around')
    .option('--api-port <port>', 'serve the API by TLS to tokens on this port', positive)
    .option('--http-port <port>', "the edge's port for HTTP", positive)
    .action(
      run<UpOptions>(async (cli, options) => (await import('./up/up.ts')).runUp(toEarnest(toLocal(cli)), options)),
    );
  root
    .command('down')
    .description('stop containers, agent and controller; all data stays')
    .action(run(async (cli) => (await import('./up/down.ts')).runDown(toEarnest(toWaiting(toLocal(cli))))));
  root
    .command('destroy')
    .description('remove the deployment with all its sites; asks for its name')
    .action(run(async (cli) => (await import('./up/down.ts')).runDestroy(toWaiting(toLocal(cli)))));
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

/** Its words are read before the tree is (main.ts): whoever comes here has put something before it, or nothing after. */
function addPlan(root: Command, run: Run): void {
  root
    .command('plan')
    .description('say what a command would do, and change nothing: espalier plan server drain s2')
    .argument('<command...>', 'any command that has --dry-run')
    .allowUnknownOption()
    .action(
      run(async () => {
        const { cliProblems } = await import('./problems.ts');
        throw cliProblems.make('usage', { why: '`plan` comes first: espalier plan server drain s2' });
      }),
    );
}

function addVotes(root: Command, run: Run): void {
  root
    .command('votes')
    .description('the history of a pool that grows and shrinks by itself: sizes, votes, decisions with their reasons')
    .argument('<pool>')
    .option('--limit <n>', 'rounds to look back', positive, 200)
    .option('--all', 'every round, also those in which nothing changed')
    .option('--nodes', "each node's vote with its reason")
    .action(
      run<VotesOptions>(async (cli, options, [name = '']) =>
        (await import('./commands/votes.ts')).runVotes(cli, name, options),
      ),
    );
}

function addNoun(root: Command, noun: Noun, run: Run): Command {
  const group = root.command(noun.noun).description(noun.summary);
  const list = group.command('list').description(`list ${noun.noun}s`);
  if (noun.filters !== undefined)
    list.option('--filter <terms>', `of ${noun.filters.join(', ')}: "state=ready app!=mautic"`);
  for (const [name, about] of Object.entries(noun.queries ?? {})) list.option(`--${name} <${name}>`, about);
  if (noun.detailKinds !== undefined) list.option('--all', `also ${noun.detailKinds.join(', ')}`);
  list.option('--limit <n>', 'the first n only', positive);
  const defaultLimit = noun.noun === 'operation' || noun.noun === 'event' ? 30 : undefined;
  list.action(
    run<ListOptions>(async (cli, { limit = defaultLimit, all, ...query }) =>
      (await import('./commands/list-show.ts')).runList(cli, noun, query, { limit, all }),
    ),
  );
  if (noun.listOnly !== true && noun.showsItself !== true) {
    group
      .command('show')
      .description(`show one ${noun.noun}`)
      .argument(`<${noun.noun}>`)
      .action(run(async (cli, _, [name = '']) => (await import('./commands/list-show.ts')).runShow(cli, noun, name)));
  }
  return group;
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
      run<{ ca?: string }>(async (cli, { ca }) =>
        (await import('./commands/context.ts')).runContextSet(toEarnest(cli), ca),
      ),
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
