// What tests and the benchmark of lost servers ask of a lab with Espalier on it: its servers and nodes, a page, a writer that
// never stops by itself, and what it has written.
import assert from 'node:assert/strict';
import { makeCommands, moveServices } from './open-cluster.ts';
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
  stateSince: string;
}

const SITE = 'wordpress';
/** Of the edge, as `up` chooses it; without it the site answers with its whole address. */
const PORT = 8080;
const TABLE = 'espalier_writes';
/** As a person looks; a command takes half a second. */
const LOOK_PAUSE_MS = 200;
/** A new node goes where there is none of its kind yet, of two servers to one. */
const MOST_TURNS = 6;

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

/** Prints the status of a site's page. */
const LOOK = `
const [, host, Host] = process.argv;
const asked = require('node:http').get({ host, path: '/', headers: { Host }, timeout: 10_000 }, ({ statusCode }) => {
  process.stdout.write(String(statusCode), () => process.exit());
});
asked.on('timeout', () => asked.destroy());
asked.on('error', ({ message }) => process.stdout.write(message, () => process.exit()));`;

export interface Losing {
  /** Where the edge is, in the deployment's network. */
  readonly edgeAddress: string;
  /** Servers with the controller, an edge, a database or a cache. */
  readonly bound: ReadonlySet<string>;
  servers(): Promise<ServerDocument[]>;
  nodes(): Promise<NodeDocument[]>;
  /** Waits until it is so; gives the seconds that took. */
  until(what: string, isSo: () => Promise<boolean>, timeoutS?: number): Promise<number>;
  state(server: string): Promise<ServerDocument>;
  /** The status of the site's page by the edge. */
  visit(): Promise<string>;
  /** A server without the controller and without anything that cannot be made anew; the site has a node there from now on. */
  chooseVictim(): Promise<string>;
  /** Starts a writer in a node of the server; its name in the table. */
  startWriter(server: string): Promise<string>;
  /** What the site's database answers, without headings. */
  sql(text: string): Promise<string>;
  /** Containers of nodes that Incus has and the controller does not know. */
  leftovers(): Promise<string[]>;
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
  await moveServices(makeCommands(lab));
  const [database] = await list<{ server: string }>('database');
  const [cache] = await list<{ server: string }>('cache');
  const [edge] = await list<{ server: string; address: string }>('edge');
  const listContainers = async (kind: string): Promise<string[]> => {
    const all = JSON.parse(await incus('list', '--format', 'json')) as {
      name: string;
      config: Record<string, string> | null;
    }[];
    return all.filter(({ config }) => config?.['user.espalier.kind'] === kind).map(({ name }) => name);
  };
  const [mariadb = ''] = await listContainers('database');
  const sql = async (text: string) =>
    (await incus('exec', mariadb, '--', 'mariadb', '--skip-column-names', '--batch', '-e', text, site)).trim();
  await sql(
    `CREATE TABLE IF NOT EXISTS ${TABLE} (who varchar(64) NOT NULL, at timestamp(6) NOT NULL DEFAULT current_timestamp(6))`,
  );
  const losing: Losing = {
    sql,
    edgeAddress: edge?.address ?? '',
    bound: new Set(['s1', database?.server ?? '', cache?.server ?? '', edge?.server ?? '']),
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
      const argv = ['node_modules/.bin/node', '--eval', LOOK, edge?.address ?? '', `${SITE}.localhost:${PORT}`];
      return (await lab.exec('s1', argv)).stdout.trim();
    },
    async chooseVictim() {
      const free = (await losing.servers()).map(({ name }) => name).find((name) => !losing.bound.has(name));
      if (free === undefined) return assert.fail('every server carries what cannot be made anew');
      for (let turn = 0; turn < MOST_TURNS; turn += 1) {
        const nodes = (await losing.nodes()).filter(({ pool }) => pool === SITE);
        if (nodes.some(({ server }) => server === free)) return free;
        await run(['./espalier', 'node', 'replace', nodes[turn % nodes.length]?.name ?? '']);
      }
      return assert.fail(`no node of ${SITE} comes to ${free}`);
    },
    async startWriter(server) {
      const node = (await losing.nodes()).find((one) => one.pool === SITE && one.server === server);
      if (node === undefined) return assert.fail(`${server} has no node of ${SITE}`);
      const argv = ['/usr/lib/espalier/site-exec', site, '--', 'php', '-r', WRITER, '--', node.name];
      await incus('exec', node.name, '--', 'systemd-run', '--quiet', '--collect', ...argv);
      await losing.until('the writer writes', async () => (await losing.writesSince(node.name, '2000-01-01')) > 0);
      return node.name;
    },
    async leftovers() {
      const known = new Set((await losing.nodes()).map(({ name }) => name));
      return (await listContainers('node')).filter((name) => !known.has(name));
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
