// The choice: takes the open runs in the order of service (admit.ts), puts each on a server and a node, and leases it: a new
// epoch from the sequence and an end by the database's clock. Which server is pick-server.ts's; telling the agents is
// dispatch.ts's.
import type { Clock } from '../lib/clock.ts';
import type { Sql } from '../platform/store.ts';
import { renderGenerationKey } from '../pools/generations.ts';
import { VIRTUAL_UNITS } from './admit.ts';
import { renderGiven, transactByIndex } from './by-index.ts';
import { type Definition, type Definitions, makeDefinitions } from './definitions.ts';
import type { Ledger } from './ledger.ts';
import type { SequencerParts } from './parts.ts';
import { listAble, pickServer, type RunServer, refuse } from './pick-server.ts';
import type { SequencerSettings, TaskClass } from './settings.ts';
import { LATE, NOW, type TimeSource } from './time.ts';

/** A place in a lane, the order of one class in one pool. */
interface Place {
  rank: number;
  entry: number;
}

/** Of one lane: the first so many beyond a place. */
interface Wish {
  lane: string;
  beyond: Place;
  most: number;
}

const BEGINNING: Place = { rank: -1, entry: 0 };

/** A run with its new lease, and all that its agent must know. */
export interface Lease extends LeasedRun, Definition {
  server: string;
  node: string;
  beat: string;
}

interface LeasedRun {
  id: number;
  epoch: number;
  task: string;
  site: string;
  uid: number;
  overlapKey: string;
}

interface OpenRun {
  id: number;
  entry: number;
  lane: string;
  tag: number;
  rank: number;
}

const CLASSES: readonly TaskClass[] = ['urgent', 'normal', 'bulk'];
/** Nodes change seldom; what leaves meanwhile waits for its runs anyway. */
const NODES_FOR_MS = 1_000;
/**
 * From the very beginning of the order, not only from where the last choice ended, this often; but for no more than this share of the
 * time, since an open transaction keeps the entries of all that is gone at the beginning.
 */
const WHOLE_ORDER_EVERY_MS = 1_000;
const WHOLE_ORDER_SHARE = 0.05;
export interface Chooser {
  /** One batch; an empty answer means that nothing can be given now. */
  choose(): Promise<Lease[]>;
  /** The time of runs has come that were open before: the next batch looks from the very beginning of the order. */
  lookWhole(): void;
}

export function makeChooser(parts: SequencerParts & { ledger: Ledger; clock: Clock }): Chooser {
  const { store, settings, ledger, clock, random } = parts;
  const definitions = makeDefinitions();
  let nodes: { atMs: number; bySite: Map<string, Map<string, string[]>> } | undefined;
  // How far each lane has been taken: whoever enters it later does so beyond, since virtual time is there.
  const taken = new Map<string, Place>();
  let wholeAgainAtMs = Number.NEGATIVE_INFINITY;
  // One batch after another looks at the ledger, takes the first of the order and reserves their slots: else a second one would
  // give the same slots to those that come after. Storing the leases may overlap.
  let reserving: Promise<void> = Promise.resolve();
  function enter(): Promise<() => void> {
    const before = reserving;
    const { promise, resolve } = Promise.withResolvers<void>();
    reserving = promise;
    return before.then(() => resolve);
  }

  async function readNodes(): Promise<Map<string, Map<string, string[]>>> {
    if (nodes !== undefined && clock.monotonicMs() - nodes.atMs < NODES_FOR_MS) return nodes.bySite;
    nodes = { atMs: clock.monotonicMs(), bySite: await listRunNodes(store) };
    return nodes.bySite;
  }

  function note(wishes: readonly Wish[], runs: readonly OpenRun[], placed: readonly Placed[]): void {
    const seen = Map.groupBy(runs, ({ lane }) => lane);
    for (const { lane, most } of wishes) {
      // All were seen: whoever comes now may be anywhere.
      if ((seen.get(lane)?.length ?? 0) < most && runs.length < settings.batch) taken.delete(lane);
    }
    for (const { run } of placed) taken.set(run.lane, run);
  }

  return {
    lookWhole() {
      wholeAgainAtMs = Number.NEGATIVE_INFINITY;
    },
    async choose() {
      const leave = await enter();
      return chooseBatch(leave).finally(leave);
    },
  };

  async function chooseBatch(leave: () => void): Promise<Lease[]> {
    const servers = new Map(ledger.fresh(settings.freshMs).map((one) => [one.server, one]));
    if (servers.size === 0) return [];
    const pools = await readNodes();
    const whole = clock.monotonicMs() >= wholeAgainAtMs;
    const wishes = [...pools].flatMap(([pool, byServer]): Wish[] => {
      const able = [...byServer.keys()].flatMap((name) => servers.get(name) ?? []);
      const most = Math.min(
        settings.batch,
        able.reduce((sum, server) => sum + Math.max(0, server.free), 0),
      );
      return CLASSES.flatMap((one) => {
        if (!able.some((server) => refuse(server, one, settings) === undefined)) return [];
        const lane = `${one}/${pool}`;
        return [{ lane, beyond: (whole ? undefined : taken.get(lane)) ?? BEGINNING, most }];
      });
    });
    if (wishes.length === 0) return [];

    // Taken from the ledger before the leases are stored: another batch may be under way.
    let reserved: readonly Placed[] = [];
    let claimMs = 0;
    const reserve = (placed: readonly Placed[]): void => {
      for (const { server } of reserved) ledger.gave(server, -1);
      for (const { server } of placed) ledger.gave(server, 1);
      reserved = placed;
    };
    const work = async (sql: Sql) => {
      reserve([]);
      const claimedMs = clock.monotonicMs();
      const runs = await claimOpen(sql, parts.time, wishes, settings.batch);
      claimMs = clock.monotonicMs() - claimedMs;
      const placed = place(runs, pools, servers, { settings, random });
      reserve(placed);
      // The next batch begins beyond these, before they are stored: it would try each and find it locked.
      note(wishes, runs, placed);
      leave();
      if (placed.length < runs.length) await putBack(sql, runs, placed);
      const leases = await lease(sql, parts, { placed, servers, definitions });
      await moveVirtualTime(sql, placed);
      return { runs, placed, leases };
    };
    const result = await transactByIndex(store, work).catch((thrown: unknown) => {
      reserve([]);
      taken.clear();
      throw thrown;
    });

    if (whole) wholeAgainAtMs = clock.monotonicMs() + Math.max(WHOLE_ORDER_EVERY_MS, claimMs / WHOLE_ORDER_SHARE);
    if (result.leases.length < result.placed.length) {
      const leased = new Set(result.leases.map(({ id }) => id));
      for (const { run, server } of result.placed) if (!leased.has(run.id)) ledger.gave(server, -1);
    }
    return result.leases;
  }
}

/** Ready nodes of ready servers by the key of their generation and server; of a pool with workers only the workers, ready or not. */
export async function listRunNodes(sql: Sql): Promise<Map<string, Map<string, string[]>>> {
  const rows = await sql.query<{ pool: string; server: string; names: string[] }>(
    `SELECT ${renderGenerationKey('coalesce(pool.works_for, pool.name)', 'node.generation')} AS pool, node.server, array_agg(node.name ORDER BY node.name) AS names
     FROM node JOIN pool ON pool.name = node.pool JOIN server ON server.name = node.server
     WHERE node.state = 'ready' AND server.state = 'ready'
       AND NOT EXISTS (SELECT FROM pool AS workers WHERE workers.works_for = pool.name AND workers.state = 'ready')
     GROUP BY 1, 2`,
  );
  const pools = new Map<string, Map<string, string[]>>();
  for (const { pool, server, names } of rows) {
    const byServer = pools.get(pool) ?? new Map<string, string[]>();
    pools.set(pool, byServer.set(server, names));
  }
  return pools;
}

/** Takes the first open runs out of the order, `most` of all wishes together. */
async function claimOpen(sql: Sql, time: TimeSource, wishes: readonly Wish[], most: number): Promise<OpenRun[]> {
  const [claimed] = await sql.query<{ [K in keyof OpenRun]: OpenRun[K][] | null }>(
    `WITH claimed AS (
       DELETE FROM run_next WHERE ctid = ANY(ARRAY(
         SELECT next.ctid FROM unnest($2::text[], $3::float8[], $4::bigint[], $5::int[]) AS wish (lane, rank, entry, most)
         CROSS JOIN LATERAL (
           SELECT ctid, rank FROM run_next
           WHERE lane = wish.lane AND (rank, entry) > (wish.rank, wish.entry) AND not_before <= ${NOW}
           ORDER BY rank, entry LIMIT wish.most FOR UPDATE SKIP LOCKED
         ) AS next ORDER BY next.rank LIMIT $6
       )) RETURNING run, entry, lane, tag, rank
     )
     SELECT array_agg(run) AS id, array_agg(entry) AS entry, array_agg(lane) AS lane, array_agg(tag) AS tag, array_agg(rank) AS rank
     FROM (SELECT * FROM claimed ORDER BY rank, entry) AS ordered`,
    [
      ...[time.at(), wishes.map(({ lane }) => lane)],
      ...[wishes.map(({ beyond }) => beyond.rank), wishes.map(({ beyond }) => beyond.entry)],
      ...[wishes.map((wish) => wish.most), most],
    ],
  );
  const { id, entry, lane, tag, rank } = claimed ?? {};
  return (id ?? []).map((one, index) => ({
    id: one,
    entry: entry?.[index] ?? 0,
    lane: lane?.[index] ?? '',
    tag: tag?.[index] ?? 0,
    rank: rank?.[index] ?? 0,
  }));
}

/** Virtual time has got to where the last of these began. */
async function moveVirtualTime(sql: Sql, placed: readonly Placed[]): Promise<void> {
  const reached = Math.ceil(placed.reduce((most, { run }) => Math.max(most, run.tag), 0) * VIRTUAL_UNITS);
  if (reached > 0)
    await sql.query(`SELECT setval('virtual_time', $1::bigint) FROM virtual_time WHERE last_value < $1::bigint`, [
      reached,
    ]);
}

/** Runs that found no server go back to where they were. */
async function putBack(sql: Sql, runs: readonly OpenRun[], placed: readonly Placed[]): Promise<void> {
  const ids = new Set(placed.map(({ run }) => run.id));
  const left = runs.filter(({ id }) => !ids.has(id));
  await sql.query(
    `INSERT INTO run_next (run, not_before, tag, rank, lane)
     SELECT run.id, run.not_before, back.tag, back.rank, back.lane
     FROM unnest($1::bigint[], $2::float8[], $3::float8[], $4::text[]) AS back (id, tag, rank, lane) JOIN run ON run.id = back.id`,
    [left.map(({ id }) => id), left.map(({ tag }) => tag), left.map(({ rank }) => rank), left.map(({ lane }) => lane)],
  );
}

interface Placed {
  run: OpenRun;
  server: string;
  node: string;
  placement: string;
}

/** Gives each run a server and a node while there is room; takes the slots from `servers`. */
function place(
  runs: readonly OpenRun[],
  pools: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>,
  servers: ReadonlyMap<string, RunServer>,
  by: { settings: SequencerSettings; random: () => number },
): Placed[] {
  const placed: Placed[] = [];
  const lanes = new Map<string, { nodes: ReadonlyMap<string, readonly string[]>; able: RunServer[] }>();
  function toLane(name: string) {
    const slash = name.indexOf('/');
    const nodes = pools.get(name.slice(slash + 1)) ?? new Map<string, string[]>();
    const all = [...nodes.keys()].flatMap((server) => servers.get(server) ?? []);
    const lane = { nodes, able: listAble(all, name.slice(0, slash) as TaskClass, by.settings) };
    lanes.set(name, lane);
    return lane;
  }
  for (const run of runs) {
    const { nodes, able } = lanes.get(run.lane) ?? toLane(run.lane);
    const choice = pickServer(able, by.random);
    if (choice === undefined) continue;
    const { server } = choice.server;
    const names = nodes.get(server) ?? [];
    const node = names[Math.floor(by.random() * names.length)];
    if (node === undefined) continue;
    choice.server.free -= 1;
    placed.push({ run, server, node, placement: choice.placement });
  }
  return placed;
}

const GIVEN_LEASES = renderGiven(
  ['$3::bigint[]', '$4::text[]', '$5::text[]', '$6::text[]'],
  'id, server, node, placement',
);

async function lease(
  sql: Sql,
  { time, settings }: SequencerParts,
  given: { placed: readonly Placed[]; servers: ReadonlyMap<string, RunServer>; definitions: Definitions },
): Promise<Lease[]> {
  const { placed, servers, definitions } = given;
  if (placed.length === 0) return [];
  const leased = await sql.query<LeasedRun>(
    `UPDATE run SET state = 'leased', epoch = nextval('run_epoch'), server = new.server, node = new.node, placement = new.placement,
       leased_at = ${LATE}, lease_until = ${LATE} + make_interval(secs => $2), started_at = NULL
     FROM ${GIVEN_LEASES} AS new
     WHERE run.id = new.id AND run.state = new.waiting AND run.open = (new.id IS NOT NULL)
     RETURNING run.id, run.epoch, run.task, run.site, run.uid, run.overlap_key AS "overlapKey"`,
    [
      ...[time.at(), settings.leaseMs / 1000, placed.map(({ run }) => run.id)],
      ...[placed.map(({ server }) => server), placed.map(({ node }) => node), placed.map(({ placement }) => placement)],
    ],
  );
  const places = new Map(placed.map((one) => [one.run.id, one]));
  const defined = await definitions.read(
    sql,
    leased.map(({ task }) => task),
  );
  return leased.flatMap((run) => {
    const definition = defined.get(run.task);
    // Its task was removed this very moment, and its lease ends by itself.
    if (definition === undefined) return [];
    const { server = '', node = '' } = places.get(run.id) ?? {};
    return [{ ...run, ...definition, server, node, beat: servers.get(server)?.beat ?? '' }];
  });
}
