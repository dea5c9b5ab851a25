// The verbs of controllers: inviting another, being one, leaving, forgetting one that is gone.
import type { Command } from 'commander';
import { assertConfirmed, runChange, say, toEarnest, toLocal } from '../cli.ts';
import { renderJson } from '../output.ts';
import { exitCodes } from '../problems.ts';
import { enc, type Run } from './arguments.ts';

/** add, join, leave, remove. */
export function addControllerVerbs(controller: Command, run: Run): void {
  controller
    .command('add')
    .description('print a token with which a server gets a controller of its own, which stands by')
    .argument('<server>')
    .action(
      run(async (cli, _, [server = '']) => {
        const { client, terminal, options, signal } = cli;
        const path = '/v1/controller-tokens';
        if (options.dryRun === true) return await runChange(cli, { method: 'POST', path, body: { server } });
        const asked = { body: { server }, signal };
        const { body } = await client.request<{ token: string; expiresAt: string }>('POST', path, asked);
        terminal.out(options.json === true ? renderJson(body) : `${body.token}\n`);
        say(cli, `Good for ${server} until ${body.expiresAt}: it gives all secrets away. On ${server}, as root:`);
        say(cli, `  ./espalier controller join ${body.token}`);
        return exitCodes.done;
      }),
    );
  controller
    .command('join')
    .description('start a controller on this server, which takes over when the one that leads is gone')
    .argument('<token>')
    .action(
      run(async (cli, _, [token = '']) =>
        (await import('../join/controller.ts')).runControllerJoin(toEarnest(toLocal(cli)), token),
      ),
    );
  controller
    .command('leave')
    .description('end the controller of this server and remove the keys that it was given')
    .action(run(async (cli) => (await import('../join/controller.ts')).runControllerLeave(toEarnest(toLocal(cli)))));
  controller
    .command('remove')
    .description('forget a controller that is gone; asks for the name of its server')
    .argument('<controller>')
    .action(
      run(async (cli, _, [name = '']) => {
        await assertConfirmed(cli, `This forgets the controller on ${name}.`, name);
        const path = `/v1/controllers/${enc(name)}`;
        if (cli.options.dryRun === true) return await runChange(cli, { method: 'DELETE', path });
        await cli.client.request('DELETE', path, { signal: cli.signal });
        say(cli, `Forgotten. What it knew it still knows: see docs/how-to/add-a-controller.md.`);
        return exitCodes.done;
      }),
    );
}
