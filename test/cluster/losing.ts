// What tests and the benchmark of lost servers ask of a lab with Espalier on it: its servers and nodes, a page, a writer that
// never stops by itself, and what it has written.
import assert from 'node:assert/strict';
import type { Lab } from './open-lab.ts';

export interface ServerDocument {
  name: string;
  state: string;
  reason: string;
  isFenceUp: boolean;
  left: string[];
}

export interface NodeDocument {
  name: string;
  pool: string;
  server: string | null;
  state: string;
}

const SITE = 'wordpress';
const TABLE = 'espalier_writes';
/** As a person looks; a command takes half a second. */
const LOOK_PAUSE_MS = 200;

/** Writes a row into the site's database again and again, and logs in anew for as long as it lives. */
const WRITER = `
$d = json_decode(file_get_contents(getenv("ESPALIER_SITE_FILE")), true)["database"];
$who = $argv[1];
for (;;) {
  try {
    $c = new mysqli($d["host"], $d["user"], $d["password"], $d["name"], $d["port"]);
    for (;;) { $c->query("INSERT INTO ${TABLE} (who) VALUES ('$who')"); usleep(50000); }
  } catch (Throwable $e) { usleep(50000); }
}`;

export interface Losing {
  servers(): Promise<ServerDocument[]>;
  nodes(): Promise<NodeDocument[]>;
  /** Waits until it is so; gives the seconds that took. */
  until(what: string, isSo: () => Promise<boolean>, timeoutS?: number): Promise<number>;
  state(server: string): Promise<ServerDocument>;
  /** The status of the site's page by the edge. */
  visit(): Promise<string>;
  /** A server without the controller and without anything that cannot be made anew, that carries nodes of the site. */
  chooseVictim(): Promise<string>;
  /** Starts a writer in a node of the server; its name in the table. */
  startWriter(server: string): Promise<string>;
  /** Since when its fence stands, as the controller stored it, for `writesSince`: the servers of a lab have one clock. */
  fencedSince(server: string): Promise<string>;
  /** Rows of a writer that came after a time of the database. */
  writesSince(who: string, at: string): Promise<number>;
}

/** `lab`: with Espalier on it. */
export async function makeLosing(lab: Lab): Promise<Losing> {
  const run = async (argv: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await lab.exec('s1', argv);
    assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`);
    return stdout;
  };
  const read = async <T>(...argv: string[]): Promise<T> =>
    JSON.parse(await run(['./espalier', ...argv, '--json'])) as T;
  const list = async <T>(noun: string): Promise<T[]> => (await read<{ items: T[] }>(noun, 'list')).items;
  const incus = (...argv: string[]) => run(['incus', '--project', 'espalier', ...argv]);
  const { id: site } = await read<{ id: string }>('site', 'show', SITE);
  const [database] = await list<{ server: string }>('database');
  const [cache] = await list<{ server: string }>('cache');
  const [edge] = await list<{ server: string; address: string }>('edge');
  const sql = async (text: string) =>
    (await incus('exec', 'database-db1', '--', 'mariadb', '--skip-column-names', '--batch', '-e', text, site)).trim();
  await sql(
    `CREATE TABLE IF NOT EXISTS ${TABLE} (who varchar(64) NOT NULL, at timestamp(6) NOT NULL DEFAULT current_timestamp(6))`,
  );
  const losing: Losing = {
    servers: () => list('server'),
    nodes: () => list('node'),
    async until(what, isSo, timeoutS = 90) {
      const startedMs = performance.now();
      const seconds = () => (performance.now() - startedMs) / 1_000;
      while (!(await isSo())) {
        assert.ok(seconds() < timeoutS, `${what}: not after ${timeoutS} s: ${JSON.stringify(await losing.servers())}`);
        await new Promise((resolve) => setTimeout(resolve, LOOK_PAUSE_MS));
      }
      return seconds();
    },
    async state(server) {
      const found = (await losing.servers()).find(({ name }) => name === server);
      return found ?? assert.fail(`there is no server ${server}`);
    },
    async visit() {
      const page = `http://${edge?.address ?? ''}/`;
      const argv = ['curl', '--silent', '--output', '/dev/null', '--max-time', '10', '--write-out', '%{http_code}'];
      return (await lab.exec('s1', [...argv, '--header', `Host: ${SITE}.localhost`, page])).stdout;
    },
    async chooseVictim() {
      const bound = new Set(['s1', database?.server, cache?.server, edge?.server]);
      const node = (await losing.nodes()).find(({ pool, server }) => pool === SITE && !bound.has(server ?? ''));
      return node?.server ?? assert.fail('every server carries what cannot be made anew');
    },
    async startWriter(server) {
      const node = (await losing.nodes()).find((one) => one.pool === SITE && one.server === server);
      if (node === undefined) return assert.fail(`${server} has no node of ${SITE}`);
      const argv = ['/usr/lib/espalier/site-exec', site, '--', 'php', '-r', WRITER, '--', node.name];
      await incus('exec', node.name, '--', 'systemd-run', '--quiet', '--collect', ...argv);
      await losing.until('the writer writes', async () => (await losing.writesSince(node.name, '2000-01-01')) > 0);
      return node.name;
    },
    async fencedSince(server) {
      const { items } = await read<{ items: { subject: string; at: string }[] }>(
        'event',
        'list',
        '--kind',
        'server.fenced',
      );
      const times = items.filter(({ subject }) => subject === `server:${server}`).map(({ at }) => at);
      const last = times.sort().at(-1) ?? assert.fail(`${server} was not fenced`);
      return last.replace('T', ' ').replace('Z', '');
    },
    writesSince: async (who, at) =>
      Number(await sql(`SELECT count(*) FROM ${TABLE} WHERE who = '${who}' AND at > '${at}'`)),
  };
  return losing;
}
