// The verbs of servers, and of the cluster that they are.
import { type Command, Option } from 'commander';
import { assertConfirmed, renderDocument, runChange, say, toEarnest } from '../cli.ts';
import { renderJson } from '../output.ts';
import { exitCodes } from '../problems.ts';
import { collect, enc, positive, type Run, seconds } from './arguments.ts';

interface DrainOptions {
  patience?: number;
  leaveBehind?: true;
}

const toDrainBody = ({ patience, leaveBehind }: DrainOptions) => ({ patienceS: patience, leaveBehind });

/** Letting a machine in, joining, emptying, updating. */
export function addServerVerbs(server: Command, run: Run): void {
  server
    .command('add')
    .description('print a token with which one machine joins: on it, espalier server join TOKEN')
    .option('--expires <time>', 'how long it is good, a day at most: 90s, 5m, 1h', seconds, 3600)
    .action(
      run<{ expires: number }>(async (cli, { expires: expiresInS }) => {
        const { client, terminal, options, signal } = cli;
        const [path, body] = ['/v1/join-tokens', { expiresInS }];
        if (options.dryRun === true) return await runChange(cli, { method: 'POST', path, body });
        const made = await client.request<{ token: string; expiresAt: string }>('POST', path, { body, signal });
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
        runChange(cli, {
          ...{ method: 'PATCH', path: `/v1/servers/${enc(name)}` },
          body: { domain: domain === 'none' ? null : domain },
        }),
      ),
    );
  const addDrainOptions = (command: Command): Command =>
    command
      .option('--patience <time>', 'how long runs of tasks may go on: 10m, 2h (default: 1h)', seconds)
      .option('--leave-behind', 'what cannot go elsewhere stays, and is away while the server is');
  addDrainOptions(
    server
      .command('drain')
      .description('empty it: what it carries goes elsewhere; no request fails, runs of tasks have their time')
      .argument('<server>'),
  ).action(
    run<DrainOptions>((cli, options, [name = '']) =>
      runChange(cli, {
        ...{ method: 'POST', path: `/v1/servers/${enc(name)}/drain`, body: toDrainBody(options) },
        done: async ({ steps }) => {
          const { output } = steps.find((step) => step.name === 'note') ?? {};
          const { left = [] } = (output ?? {}) as { left?: string[] };
          const stays = left.length === 0 ? 'is empty' : `is empty but for ${left.join(', ')}`;
          return `${name} ${stays}. Use it again: espalier server undrain ${name}\n`;
        },
      }),
    ),
  );
  server
    .command('undrain')
    .description('let it take new things again; an emptying that is under way is cancelled')
    .argument('<server>')
    .action(run((cli, _, [name = '']) => runChange(cli, { method: 'POST', path: `/v1/servers/${enc(name)}/undrain` })));
  addDrainOptions(
    server
      .command('update')
      .description(
        'upgrade the packages of servers, one after another: emptied, upgraded, rebooted, checked, used again',
      )
      .argument('[server...]'),
  )
    .addOption(
      new Option('--reboot <when>', 'after the packages (default: if-needed)').choices([
        'never',
        'if-needed',
        'always',
      ]),
    )
    .action(
      run<DrainOptions & { reboot?: string }>((cli, { reboot, ...options }, servers) => {
        const body = { ...toDrainBody(options), servers: servers.filter((name) => name !== ''), reboot };
        return runChange(cli, { method: 'POST', path: '/v1/servers/update', body });
      }),
    );
  server
    .command('fence')
    .description('say that a lost server is gone, when nobody else can tell; asks for its name')
    .argument('<server>')
    .action(
      run(async (cli, _, [name = '']) => {
        await assertConfirmed(cli, `This keeps ${name} from the databases; its nodes are made anew elsewhere.`, name);
        return await runChange(cli, { method: 'POST', path: `/v1/servers/${enc(name)}/fence` });
      }),
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
    .option(
      '--allow <port>',
      'in strict mode, also this: tcp/9100 (more than once; replaces what was allowed)',
      collect,
    )
    .action(
      run<{ mode?: string; allow?: string[] }>(async (cli, { mode, allow }, [name = '']) => {
        const path = `/v1/servers/${enc(name)}/firewall`;
        if (mode !== undefined) return await runChange(cli, { method: 'PUT', path, body: { mode, allow } });
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
        return await runChange(cli, { method: 'DELETE', path: `/v1/servers/${enc(name)}` });
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
        runChange(cli, {
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
