// The verbs of operations, events and tokens: the journal and who may write it.
import { type Command, Option } from 'commander';
import { runChange, runFollow } from '../cli.ts';
import { enc, positive, type Run } from './arguments.ts';

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
          const { runOperationVerb } = await import('../commands/operation.ts');
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
        const { runWatchEvents } = await import('../commands/watch-events.ts');
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
