// The verbs by which a site leaves as a file and comes from one: their arguments and options.
import { type Command, Option } from 'commander';
import type { ImportOptions } from '../commands/transfer.ts';
import { collect, type Run } from './arguments.ts';

/** export, import. */
export function addTransferVerbs(site: Command, run: Run): void {
  const load = () => import('../commands/transfer.ts');
  site
    .command('export')
    .description('write it into one file: database, files, configuration, tasks; it serves on')
    .argument('<site>')
    .requiredOption('--to <file>', 'which must not be there yet; it holds secrets and gets the mode 0600')
    .action(run<{ to: string }>(async (cli, { to }, [name = '']) => (await load()).runSiteExport(cli, name, to)));
  site
    .command('import')
    .description('make a site from the file of an exported one; its mail is held back')
    .argument('<file>')
    .requiredOption('--name <name>', 'of the new site')
    .addOption(
      new Option('--host <host>', 'a host name, the first is the primary one; may be repeated')
        .argParser(collect)
        .makeOptionMandatory(),
    )
    .option('--pool <pool>', 'on this pool (default: the emptiest one of the app)')
    .option('--title <title>', 'its title (default: as it was)')
    .action(run<ImportOptions>(async (cli, options, [file = '']) => (await load()).runSiteImport(cli, file, options)));
}
