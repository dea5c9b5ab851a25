// A lab whose three servers are one cluster with the controllers' store in a PostgreSQL on s3, so that a second controller can
// join: what edges, controllers and the benchmark of servers begin with. Apart from the lab, which knows nothing of Espalier.
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

/** Brings Espalier up on the bare lab's servers s1 to s3; gives the seconds that each join took, token to ready. */
export async function makeCluster(lab: Lab): Promise<{ joinS: number[] }> {
  const { done, run } = makeCommands(lab);
  const addresses = new Map((await lab.status()).map(({ name, address }) => [name, address]));
  const shell = (script: string) => run('s3', 'bash', '-c', script);
  await shell('apt-get -qq update && apt-get -qq -y install postgresql curl bc >/dev/null');
  await shell(`sed -i "s/^#*listen_addresses.*/listen_addresses = '*'/" /etc/postgresql/*/main/postgresql.conf`);
  await shell(`echo 'host espalier espalier samenet scram-sha-256' >>/etc/postgresql/*/main/pg_hba.conf`);
  await shell('systemctl restart postgresql');
  await run('s3', 'runuser', '-u', 'postgres', '--', 'psql', '-qc', `create role espalier login password 'lab'`);
  await run('s3', 'runuser', '-u', 'postgres', '--', 'createdb', '--owner=espalier', 'espalier');
  const url = `postgresql://espalier:lab@${addresses.get('s3') ?? ''}/espalier`;
  const operation = await run('s1', 'env', `ESPALIER_DATABASE_URL=${url}`, './espalier', 'up', '--no-wait');
  await done('s1', 'cluster', 'make', '--address', addresses.get('s1') ?? '', '--content', '/srv/espalier');
  const joinS: number[] = [];
  for (const server of ['s2', 's3']) {
    const token = await done('s1', 'server', 'add');
    const startedMs = performance.now();
    await done(server, 'server', 'join', token);
    joinS.push((performance.now() - startedMs) / 1_000);
  }
  await done('s1', 'operation', 'wait', operation);
  return { joinS };
}
