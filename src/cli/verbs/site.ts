// The verbs of sites: their arguments and options, and what each asks of the API.
import { type Command, Option } from 'commander';
import { runChange } from '../cli.ts';
import type { NewSiteOptions } from '../commands/site.ts';
import { collect, enc, natural, type Run } from './arguments.ts';
import { addLimitVerb } from './site-limit.ts';
import { addMoveVerbs } from './site-move.ts';

/** create, clone, move, code, limit, label, suspend, resume, set-hosts, login, delete. */
export function addSiteVerbs(site: Command, run: Run): void {
  const load = () => import('../commands/site.ts');
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
    .option('--pool <pool>', 'on this pool (default: beside its source; from a dedicated pool the emptiest shared one)')
    .option('--hold-hooks', 'it calls nobody over HTTP either: payments, hooks, feeds')
    .action(
      run<{ host: string[]; title?: string; pool?: string; holdHooks?: true }>(
        async (cli, options, [source = '', name = '']) => (await load()).runSiteClone(cli, source, name, options),
      ),
    );
  for (const [verb, what, description] of [
    ['hold-mail', 'mail', 'put aside what it would send by mail'],
    ['release-mail', 'mail', 'let it send mail again'],
    ['hold-hooks', 'hooks', 'let it call nobody over HTTP: payments, hooks, feeds'],
    ['release-hooks', 'hooks', 'let it call others again'],
  ] as const) {
    site
      .command(verb)
      .description(description)
      .argument('<site>')
      .action(
        run((cli, _, [name = '']) =>
          runChange(cli, {
            method: 'PUT',
            path: `/v1/sites/${enc(name)}/${what}`,
            body: { held: verb.startsWith('hold') },
          }),
        ),
      );
  }
  addMoveVerbs(site, run);
  addLimitVerb(site, run);
  site
    .command('label')
    .description('give it labels, by which waves choose sites; `key=` takes one away')
    .argument('<site>')
    .argument('<key=value...>')
    .action(run(async (cli, _, [name = '', ...pairs]) => (await load()).runSiteLabel(cli, name, pairs)));
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
