// The verbs that say where a site lives, what code it has and what mail of it is held.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { runChange } from '../cli.ts';
import { aboveZero, enc, type Run } from './arguments.ts';

const loadMail = () => import('../commands/held-mail.ts');

/** An address of a repository as it is, a folder as the controller finds it. */
export const toSource = (from: string): string => (/^[\w.+-]+(:\/\/|@)/.test(from) ? from : resolve(from));

/** move, code, held-mail. */
export function addMoveVerbs(site: Command, run: Run): void {
  site
    .command('move')
    .description('move it to another pool of its app; visitors wait for a moment, none is turned away')
    .argument('<site>')
    .requiredOption('--to <pool>', 'the pool to live on')
    .option('--max-pause <seconds>', 'when it would be longer it stays where it is (default: 15)', aboveZero)
    .action(
      run<{ to: string; maxPause?: number }>((cli, { to, maxPause }, [name = '']) =>
        runChange(cli, {
          method: 'POST',
          path: `/v1/sites/${enc(name)}/move`,
          body: { to, maxPauseS: maxPause },
          done: async ({ steps }) => {
            const { output } = steps.find((step) => step.name === 'switch') ?? {};
            const pauseS = (output as { pauseS?: number } | null | undefined)?.pauseS;
            return `${name} lives on ${to}.${pauseS === undefined ? '' : ` Its visitors waited ${pauseS.toFixed(2)} s.`}\n`;
          },
        }),
      ),
    );
  site
    .command('held-mail')
    .description('what it would have sent by mail and was put aside; with a message, that message')
    .argument('<site>')
    .argument('[message]')
    .action(run(async (cli, _, [name = '', message]) => (await loadMail()).runHeldMail(cli, name, message)));
  site
    .command('code')
    .description('bake an image with code of its own: the files of a repository or a folder over those of the app')
    .argument('<site>')
    .option('--from <repository>', 'address of a Git repository, or a folder here (default: where it came from last)')
    .option('--ref <ref>', 'a branch, a tag or a commit')
    .action(
      run<{ from?: string; ref?: string }>((cli, { from, ref }, [name = '']) =>
        runChange(cli, {
          method: 'POST',
          path: `/v1/sites/${enc(name)}/code`,
          body: { from: from === undefined ? undefined : toSource(from), ref },
          done: async ({ steps }) => {
            const { output } = steps.find((step) => step.name === 'publish') ?? {};
            const number = (output as { number?: number } | null | undefined)?.number;
            return `Image ${number ?? '?'} has its code. Bring it to its nodes: espalier pool roll POOL\n`;
          },
        }),
      ),
    );
}
