// The verbs of edges: one more, one less, and the address that they share.
import type { Command } from 'commander';
import { assertConfirmed, runChange } from '../cli.ts';
import { enc, positive, type Run } from './arguments.ts';

interface ShareOptions {
  httpPort?: number;
  httpsPort?: number;
  routerId?: number;
}

/** create, delete, share, unshare. */
export function addEdgeVerbs(edge: Command, run: Run): void {
  edge
    .command('create')
    .description('make one more edge, on a server that has none')
    .argument('[name]', 'default: edge and the next number')
    .option('--server <server>', 'on which server (default: the best of those without one)')
    .option('--listen <address:port>', 'where it can be asked on its server (default: as the first)')
    .action(
      run<{ server?: string; listen?: string }>((cli, { server, listen }, [name]) =>
        runChange(cli, { method: 'POST', path: '/v1/edges', body: { name, server, listen } }),
      ),
    );
  edge
    .command('delete')
    .description('take an edge away, when another one serves; asks for its name')
    .argument('<edge>')
    .action(
      run(async (cli, _, [name = '']) => {
        await assertConfirmed(cli, `This removes the edge ${name}.`, name);
        return await runChange(cli, { method: 'DELETE', path: `/v1/edges/${enc(name)}` });
      }),
    );
  edge
    .command('share')
    .description('give the edges an address that one of them holds, and another takes when that one does not answer')
    .argument('<address>', "in the servers' network, and nobody's yet")
    .option('--http-port <port>', "default: that of the sites' addresses", positive)
    .option('--https-port <port>', 'default: 443', positive)
    .option('--router-id <n>', 'of VRRP, 1 to 255 (default: follows from the address)', positive)
    .action(
      run<ShareOptions>((cli, { httpPort, httpsPort, routerId }, [address]) =>
        runChange(cli, {
          ...{ method: 'PUT', path: '/v1/edge-address' },
          body: { address, httpPort, httpsPort, routerId },
        }),
      ),
    );
  edge
    .command('unshare')
    .description('take the shared address away')
    .action(run((cli) => runChange(cli, { method: 'DELETE', path: '/v1/edge-address' })));
}
