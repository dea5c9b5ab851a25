// The verbs of waves.
import { type Command, InvalidArgumentError } from 'commander';
import { runChange } from '../cli.ts';
import type { NewWaveOptions } from '../commands/wave.ts';
import { collect, enc, positive, type Run } from './arguments.ts';

const load = () => import('../commands/wave.ts');

/** Parses `5,25,100`. */
function percents(text: string): number[] {
  const values = text.split(',').map(Number);
  if (values.some((value) => !(value > 0 && value <= 100))) throw new InvalidArgumentError('It must be like 5,25,100.');
  return values;
}

/** Parses `5%` or `5`. */
function percent(text: string): number {
  const value = Number(text.replace(/%$/, ''));
  if (text === '' || !(value >= 0 && value <= 100)) throw new InvalidArgumentError('It must be like 5%.');
  return value;
}

/** create, show, watch, pause, resume, abort. */
export function addWaveVerbs(wave: Command, run: Run): void {
  wave
    .command('create')
    .description('bring the sites of a pool to another image, one after the other, each with a way back')
    .requiredOption('--pool <pool>', 'whose sites')
    .option('--image <n>', "the image's number (default: the newest)", positive)
    .option('--canary <site>', 'this site first; may be repeated', collect)
    .option('--sites <key=value>', 'only sites with this label, a batch for each; may be repeated', collect)
    .option('--percent <shares>', 'how far each batch goes (default: 5,25,100)', percents)
    .option('--stop-at <percent>', 'stop when more of the sites so far failed (default: 5%)', percent)
    .option('--check-pages <paths>', 'pages that must be as before (default: /)', (text: string) => text.split(','))
    .option('--at-once <n>', 'so many sites at the same time (default: 3)', positive)
    .action(run<NewWaveOptions>(async (cli, options) => (await load()).runWaveCreate(cli, options)));
  wave
    .command('show')
    .description('show one wave with its batches and sites')
    .argument('<wave>')
    .action(run(async (cli, _, [id = '']) => (await load()).runWaveShow(cli, id)));
  wave
    .command('watch')
    .description('follow a wave until it is over')
    .argument('<wave>')
    .action(run(async (cli, _, [id = '']) => (await load()).runWaveWatch(cli, id)));
  wave
    .command('pause')
    .description('begin no other site; those under way are finished')
    .argument('<wave>')
    .action(run((cli, _, [id = '']) => runChange(cli, { method: 'POST', path: `/v1/waves/${enc(id)}/pause` })));
  wave
    .command('resume')
    .description('let it go on; sites that were brought back are tried again')
    .argument('<wave>')
    .action(run(async (cli, _, [id = '']) => (await load()).runWaveResume(cli, id)));
  wave
    .command('abort')
    .description('end it: upgraded sites stay on the new image')
    .argument('<wave>')
    .option('--back', 'bring them back to what they were before their upgrade')
    .option('--accept-loss', 'with --back: what was entered on them since may be lost')
    .action(
      run<{ back?: true; acceptLoss?: true }>(async (cli, options, [id = '']) =>
        (await load()).runWaveAbort(cli, id, options),
      ),
    );
}
