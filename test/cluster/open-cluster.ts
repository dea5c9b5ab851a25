// A lab whose servers are one cluster, made by the commands that people use: what tests of edges, controllers and emptied servers and
// benchmarks begin with. Apart from the lab, which knows nothing of Espalier.
import assert from 'node:assert/strict';
import type { Lab } from './open-lab.ts';

export interface ClusterCommands {
  /** Runs `./espalier …` on a server; gives what it printed, or fails with what it said. */
  done(server: string, ...argv: string[]): Promise<string>;
  /** The same with any other command. */
  run(server: string, ...argv: string[]): Promise<string>;
  /** What `espalier NOUN list` says, on s1 unless told. */
  list<T>(noun: string, server?: string): Promise<T[]>;
}

/** The commands of a lab with Espalier on it. */
export function makeCommands(lab: Lab): ClusterCommands {
  const run = async (server: string, ...argv: string[]): Promise<string> => {
    const { code, stdout, stderr } = await lab.exec(server, argv);
    assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`);
    return stdout.trim();
  };
  const done = (server: string, ...argv: string[]) => run(server, './espalier', ...argv);
  return {
    ...{ run, done },
    list: async <T>(noun: string, server = 's1') =>
      (JSON.parse(await done(server, noun, 'list', '--json')) as { items: T[] }).items,
  };
}

/** How a cluster is unlike another. */
export interface ClusterWish {
  /** The controllers' store is a PostgreSQL on s3, so that a second one can join. */
  postgres: boolean;
  /** Uploads lie in a folder that all servers share; else on a volume of one server each. */
  content: boolean;
}

/** Brings Espalier up on the bare lab's servers, unless it is kept; gives the seconds that each join took, token to ready. */
export async function makeCluster(
  lab: Lab,
  { postgres = true, content = true }: Partial<ClusterWish> = {},
): Promise<{ joinS: number[] }> {
  const { done, run } = makeCommands(lab);
  const isUp = (await lab.exec('s1', ['./espalier', 'site', 'show', 'mediawiki'])).code === 0;
  if (isUp) return { joinS: [] };
  const [first, ...others] = await lab.status();
  const up = ['./espalier', 'up', '--no-wait'];
  const operation = postgres
    ? await run('s1', 'env', `ESPALIER_DATABASE_URL=${await startPostgres(lab)}`, ...up)
    : await run('s1', ...up);
  const folder = content ? ['--content', '/srv/espalier'] : [];
  await done('s1', 'cluster', 'make', '--address', first?.address ?? '', ...folder);
  const joinS: number[] = [];
  for (const { name } of others) {
    const token = await done('s1', 'server', 'add');
    const startedMs = performance.now();
    await done(name, 'server', 'join', token);
    joinS.push((performance.now() - startedMs) / 1_000);
  }
  await done('s1', 'operation', 'wait', operation);
  return { joinS };
}

/** One edge on s1 and one on s2, wherever the first was placed; s3 has the visitors and the controllers' database. */
export async function placeEdges({ done, list }: ClusterCommands): Promise<void> {
  const edges = () => list<{ name: string; server: string | null }>('edge');
  for (const server of ['s1', 's2'])
    if ((await edges()).every((edge) => edge.server !== server)) await done('s1', 'edge', 'create', '--server', server);
  for (const { name, server } of await edges())
    if (server === 's3') await done('s1', 'edge', 'delete', name, '--confirm', name);
}

/** Database and cache to s1: where they were made is chance, and with the edges they may be on all servers. */
export async function moveServices({ done, list }: ClusterCommands): Promise<void> {
  for (const noun of ['database', 'cache'])
    for (const { name, server } of await list<{ name: string; server: string }>(noun))
      if (server !== 's1') await done('s1', noun, 'move', name, '--to', 's1');
}

type Until = (what: string, isSo: () => Promise<boolean>) => Promise<unknown>;

/** The controller on s1 leads and that on s2 stands by, whoever did before: a stall may have passed the lead on. */
export async function giveLead({ run, list }: ClusterCommands, until: Until): Promise<void> {
  const stateOf = async (name: string) =>
    (await list<{ name: string; state: string }>('controller')).find((one) => one.name === name)?.state;
  if ((await stateOf('s1').catch(() => undefined)) !== 'leading') {
    await run('s2', 'systemctl', 'stop', 'espalier-controller');
    await until('s1 leads', async () => (await stateOf('s1')) === 'leading');
    await run('s2', 'systemctl', 'start', 'espalier-controller');
  }
  await until('s2 stands by', async () => (await stateOf('s2')) === 'standing by');
}

/** The edge there gives the address that edges share up, and the other one has it. */
export async function passAddress({ run, list }: ClusterCommands, from: string, until: Until): Promise<void> {
  const holds = async () =>
    (await list<{ server: string; holds: string | null }>('edge')).some(
      ({ server, holds: address }) => server === from && address !== null,
    );
  if (!(await holds())) return;
  // keepalived gives it up; who has it then keeps it.
  await run(from, 'systemctl', 'restart', 'espalier-espalier-shared-address');
  await until('it has moved', async () => !(await holds()));
}

/** On s3, for all servers of the lab; gives ESPALIER_DATABASE_URL. */
async function startPostgres(lab: Lab): Promise<string> {
  const { run } = makeCommands(lab);
  const address = (await lab.status()).find(({ name }) => name === 's3')?.address ?? '';
  const shell = (script: string) => run('s3', 'bash', '-c', script);
  await shell('apt-get -qq update && apt-get -qq -y install postgresql curl bc >/dev/null');
  await shell(`sed -i "s/^#*listen_addresses.*/listen_addresses = '*'/" /etc/postgresql/*/main/postgresql.conf`);
  await shell(`echo 'host espalier espalier samenet scram-sha-256' >>/etc/postgresql/*/main/pg_hba.conf`);
  await shell('systemctl restart postgresql');
  const asPostgres = ['runuser', '-u', 'postgres', '--'];
  await run('s3', ...asPostgres, 'psql', '-qc', `create role espalier login password 'lab'`);
  await run('s3', ...asPostgres, 'createdb', '--owner=espalier', 'espalier');
  return `postgresql://espalier:lab@${address}/espalier`;
}
