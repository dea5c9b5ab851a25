// The verbs by which a site leaves as a file and comes from one: their arguments and options.
import { type Command, Option } from 'commander';
import type { AdoptionOptions } from '../commands/adopt.ts';
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
    .description(
      'make a site from the file of an exported one, or (--app, --dump, --files) of an installation from elsewhere; its mail is held back',
    )
    .argument('[file]', 'that `site export` wrote')
    .requiredOption('--name <name>', 'of the new site')
    .addOption(
      new Option('--host <host>', 'a host name, the first is the primary one; may be repeated')
        .argParser(collect)
        .makeOptionMandatory(),
    )
    .option('--pool <pool>', 'on this pool (default: the emptiest one of the app)')
    .option('--title <title>', 'its title (default: as it was)')
    .option('--app <app>', 'from elsewhere: which app it is')
    .option('--dump <file>', 'from elsewhere: a dump of its database, plain or packed by gzip or zstd')
    .option('--files <path>', 'from elsewhere: its folder, or a tar archive of it (plain, gzip, zstd)')
    .option('--old-url <url>', 'from elsewhere: an address of it that its data do not tell; may be repeated', collect)
    .option('--accept-missing', 'from elsewhere: also when the image lacks its theme, so that its pages are empty')
    .option('--email <address>', "from elsewhere: the administrator's mail address")
    .action(
      run<ImportOptions & AdoptionOptions>(async (cli, options, [file]) =>
        options.app === undefined && options.dump === undefined && options.files === undefined
          ? (await load()).runSiteImport(cli, file, options)
          : (await import('../commands/adopt.ts')).runSiteAdopt(cli, file, options),
      ),
    );
}
