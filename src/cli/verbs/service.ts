// The verbs of database servers and cache servers, which are alike.
import type { Command } from 'commander';
import { assertConfirmed, runChange } from '../cli.ts';
import { enc, positive, type Run } from './arguments.ts';

/** Database servers and cache servers: create, set-max-sites, renew, move, delete. */
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
    .command('move')
    .description('move it with its data to another server; visitors of its sites wait for some seconds')
    .argument(`<${noun}>`)
    .option('--to <server>', 'which (default: the best of the others)')
    .action(
      run<{ to?: string }>((cli, { to }, [name = '']) =>
        runChange(cli, {
          ...{ method: 'POST', path: `${path}/${enc(name)}/move`, body: { to } },
          done: async ({ steps }) => {
            const { output } = steps.find((step) => step.name === 'switch') ?? {};
            const pauseS = (output as { pauseS?: number } | null | undefined)?.pauseS ?? 0;
            return `${name} has moved. The visitors of its sites waited ${pauseS.toFixed(1)} s.\n`;
          },
        }),
      ),
    );
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
