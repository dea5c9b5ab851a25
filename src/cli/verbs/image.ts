// The verbs of images and of the seeds that they are baked from.
import { type Command, Option } from 'commander';
import { assertConfirmed, runChange } from '../cli.ts';
import { collect, enc, positive, type Run } from './arguments.ts';

const imagePath = (name: string): string => `/v1/images/${name.split('/').map(enc).join('/')}`;

/** Images: build, refresh, diff, keep, delete. */
export function addImageVerbs(image: Command, run: Run): void {
  const load = () => import('../commands/image.ts');
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

/** Seeds: create, stage, unstage, rebuild, enter, diff, bake, delete. */
export function addSeedVerbs(seed: Command, run: Run): void {
  const load = () => import('../commands/image.ts');
  seed
    .command('create')
    .description('make a container from an image, to change things in')
    .argument('<name>')
    .requiredOption('--app <app>', 'of which app')
    .option('--image <n>', "the image's number (default: the newest)", positive)
    .option('--for <site>', 'what is baked from it is for this site alone, on a pool dedicated to it')
    .action(
      run<{ app: string; image?: number; for?: string }>((cli, { app, image, for: site }, [name]) =>
        runChange(cli, { method: 'POST', path: '/v1/seeds', body: { name, app, image, site } }),
      ),
    );
  seed
    .command('stage')
    .description('put a copy of a site on it, with its data; mail and hooks are held back')
    .argument('<seed>')
    .requiredOption('--site <site>', 'whose copy')
    .addOption(
      new Option('--host <host>', 'a host name of the copy, the first is the primary one; may be repeated')
        .argParser(collect)
        .makeOptionMandatory(),
    )
    .option('--name <name>', 'of the copy (default: SITE-SEED)')
    .action(
      run<{ site: string; host: string[]; name?: string }>((cli, { site, host, name }, [of = '']) =>
        runChange(cli, { method: 'PUT', path: `/v1/seeds/${enc(of)}/staging`, body: { site, hosts: host, name } }),
      ),
    );
  seed
    .command('unstage')
    .description('take the copy off it, with its data; what was changed in the seed stays')
    .argument('<seed>')
    .action(
      run(async (cli, _, [name = '']) => {
        await assertConfirmed(cli, `This removes the copy of a site on the seed ${name}, with its data.`, name);
        return await runChange(cli, { method: 'DELETE', path: `/v1/seeds/${enc(name)}/staging` });
      }),
    );
  seed
    .command('rebuild')
    .description('bake an app anew from its recipe alone, and say what differs from its image before')
    .argument('<app>')
    .option('--check', 'fail when anything differs')
    .action(
      run<{ check?: true }>(async (cli, { check }, [app = '']) =>
        (await import('../commands/rebuild.ts')).runRebuild(cli, app, check === true),
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
