// The verbs of servers, and of the cluster that they are.
import { type Command, Option } from 'commander';
import { assertConfirmed, renderDocument, runChange, say, toEarnest } from '../cli.ts';
import { renderJson } from '../output.ts';
import { exitCodes } from '../problems.ts';
import { collect, enc, positive, type Run, seconds } from './arguments.ts';

/** Letting a machine in, and joining. */
export function addServerVerbs(server: Command, run: Run): void {
  server
    .command('add')
    .description('print a token with which one machine joins: on it, espalier server join TOKEN')
    .option('--expires <time>', 'how long it is good: 90s, 5m, 1h', seconds, 3600)
    .action(
      run<{ expires: number }>(async (cli, { expires }) => {
        const { client, terminal, options, signal } = toEarnest(cli);
        const body = { minutes: Math.max(1, Math.round(expires / 60)) };
        const made = await client.request<{ token: string; expiresAt: string }>('POST', '/v1/join-tokens', {
          body,
          signal,
        });
        terminal.out(options.json === true ? renderJson(made.body) : `${made.body.token}\n`);
        say(cli, `Good for one machine until ${made.body.expiresAt}. On it, from a checkout of this version, as root:`);
        say(cli, `  ./espalier server join ${made.body.token}`);
        return exitCodes.done;
      }),
    );
  server
    .command('join')
    .description('make this machine a server of the cluster that the token is of')
    .argument('<token>')
    .option(
      '--address <address>',
      'where the other servers reach this one (default: its address towards the controller)',
    )
    .action(
      run<{ address?: string }>(async (cli, options, [token = '']) =>
        (await import('../join/join.ts')).runJoin(toEarnest(cli), token, options),
      ),
    );
  server
    .command('set')
    .description('say with which other servers it fails together: one domain for each rack or zone')
    .argument('<server>')
    .requiredOption('--domain <name>', 'the failure domain; none: it fails alone')
    .action(
      run<{ domain: string }>((cli, { domain }, [name = '']) =>
        runChange(toEarnest(cli), {
          ...{ method: 'PATCH', path: `/v1/servers/${enc(name)}` },
          body: { domain: domain === 'none' ? null : domain },
        }),
      ),
    );
  server
    .command('firewall')
    .description('the firewall of a server with its rules; with --mode, what it does from now on')
    .argument('<server>')
    .addOption(
      new Option(
        '--mode <mode>',
        'ours: our own ports and containers; strict: nothing else is reachable either, but ssh; off: no rule of ours',
      ).choices(['off', 'ours', 'strict']),
    )
    .option('--allow <port>', 'in strict mode, also this: tcp/9100 (more than once; replaces what was allowed)', collect)
    .action(
      run<{ mode?: string; allow?: string[] }>(async (cli, { mode, allow }, [name = '']) => {
        const path = `/v1/servers/${enc(name)}/firewall`;
        if (mode !== undefined)
          return await runChange(toEarnest(cli), { method: 'PUT', path, body: { mode, allow } });
        const { body } = await cli.client.request<{ rules: string }>('GET', path, { signal: cli.signal });
        const { rules, ...about } = body;
        cli.terminal.out(cli.options.json === true ? renderJson(body) : `${await renderDocument(about)}\n${rules}`);
        return exitCodes.done;
      }),
    );
  server
    .command('remove')
    .description('take an empty server out of the cluster; asks for its name')
    .argument('<server>')
    .action(
      run(async (cli, _, [name = '']) => {
        await assertConfirmed(cli, `This takes the server ${name} out of the cluster.`, name);
        return await runChange(toEarnest(cli), { method: 'DELETE', path: `/v1/servers/${enc(name)}` });
      }),
    );
}

/** Making the cluster. */
export function addClusterVerbs(root: Command, run: Run): void {
  const cluster = root.command('cluster').description('several servers as one deployment');
  cluster
    .command('make')
    .description('make this deployment the first server of a cluster')
    .requiredOption('--address <address>', 'where the other servers reach this one')
    .option('--port <port>', 'for agents and joining machines (default: 7443)', positive)
    .option('--content <path>', 'a folder that every server sees under this path, for the uploads of sites')
    .action(
      run<{ address: string; port?: number; content?: string }>((cli, { address, port, content }) =>
        runChange(toEarnest(cli), {
          ...{ method: 'POST', path: '/v1/cluster' },
          body: { address, port, contentPath: content },
        }),
      ),
    );
  cluster
    .command('show')
    .description('how the servers reach each other, and what they share')
    .action(
      run(async (cli) => {
        const { body } = await cli.client.request('GET', '/v1/cluster', { signal: cli.signal });
        cli.terminal.out(cli.options.json === true ? renderJson(body) : await renderDocument(body));
        return exitCodes.done;
      }),
    );
}
