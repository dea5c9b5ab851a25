// The choice: takes the open runs in the order of service (admit.ts), puts each on a server and a node, and leases it: a new
// epoch from the sequence and an end by the database's clock. Which server is pick-server.ts's; telling the agents is
// dispatch.ts's.
import type { Clock } from '../lib/clock.ts';
import { type Sql, toJsonValue } from '../platform/store.ts';
import type { Ledger } from './ledger.ts';
import type { SequencerParts } from './parts.ts';
import { pickServer, type RunServer, refuse } from './pick-server.ts';
import type { SequencerSettings, TaskClass } from './settings.ts';
import { LATE, NOW, type TimeSource } from './time.ts';

/** A run with its new lease, and all that its agent must know. */
export interface Lease {
  id: number;
  epoch: number;
  task: string;
  site: string;
  uid: number;
  server: string;
  node: string;
  beat: string;
  command: string[];
  timeoutS: number;
  cpuPercent: number | null;
  memoryMb: number | null;
  overlapKey: string;
}

interface OpenRun {
  id: number;
  /** Its place in the order's table. */
  at: string;
  pool: string;
  class: TaskClass;
  tag: number;
  rank: number;
}

const CLASSES: readonly TaskClass[] = ['urgent', 'normal', 'bulk'];
/** Nodes change seldom; what leaves meanwhile waits for its runs anyway. */
const NODES_FOR_MS = 1_000;
/** From the very beginning of the order, not only from where the last choice ended, at least this often. */
const WHOLE_ORDER_EVERY_MS = 1_000;

export interface Chooser {
  /** One batch; an empty answer means that nothing can be given now. */
  choose(): Promise<Lease[]>;
  /** The time of runs has come that were open before: the next batch looks from the very beginning of the order. */
  lookWhole(): void;
}

export function makeChooser(parts: SequencerParts & { ledger: Ledger; clock: Clock }): Chooser {
  const { store, settings, ledger, clock, random } = parts;
  let nodes: { atMs: number; bySite: Map<string, Map<string, string[]>> } | undefined;
  // The order's beginning is full of entries of runs that are gone, as long as any transaction elsewhere may still see them.
  const floors = new Map<string, number>();
  let wholeAtMs = Number.NEGATIVE_INFINITY;
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

  return {
    lookWhole() {
      wholeAtMs = Number.NEGATIVE_INFINITY;
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
    const whole = clock.monotonicMs() - wholeAtMs >= WHOLE_ORDER_EVERY_MS;
    const wishes = [...pools].flatMap(([pool, byServer]) => {
      const able = [...byServer.keys()].flatMap((name) => servers.get(name) ?? []);
      const classes = CLASSES.filter((one) => able.some((server) => refuse(server, one, settings) === undefined));
      const free = able.reduce((sum, server) => sum + Math.max(0, server.free), 0);
      const floor = whole ? -1 : (floors.get(pool) ?? -1);
      return classes.length === 0 ? [] : [{ pool, classes, floor, most: Math.min(settings.batch, free) }];
    });
    if (wishes.length === 0) return [];

    // Taken from the ledger before the leases are stored: another batch may be under way.
    let reserved: readonly Placed[] = [];
    const reserve = (placed: readonly Placed[]): void => {
      for (const { server } of reserved) ledger.gave(server, -1);
      for (const { server } of placed) ledger.gave(server, 1);
      reserved = placed;
    };
    const work = async (sql: Sql) => {
      reserve([]);
      const runs = await claimOpen(sql, parts.time, wishes);
      const placed = place(runs, pools, servers, { settings, random });
      reserve(placed);
      leave();
      const leases = await lease(sql, parts, placed);
      const reached = Math.max(...placed.map(({ run }) => run.tag), -1);
      if (reached >= 0) await sql.query('UPDATE fleet_state SET virtual_time = $1 WHERE virtual_time < $1', [reached]);
      return { runs, placed, leases, reached };
    };
    const result = await store.transaction(work, 'read committed').catch((thrown: unknown) => {
      reserve([]);
      throw thrown;
    });

    if (whole) wholeAtMs = clock.monotonicMs();
    for (const { pool, most } of wishes) {
      const last = result.runs.filter((run) => run.pool === pool);
      // All were seen: whoever comes now may be anywhere.
      if (last.length < most) floors.delete(pool);
    }
    for (const { run } of result.placed) floors.set(run.pool, Math.min(result.reached, run.rank));
    const beats = new Map([...servers].map(([name, { beat }]) => [name, beat]));
    const leased = new Set(result.leases.map(({ id }) => id));
    for (const { run, server } of result.placed) if (!leased.has(run.id)) ledger.gave(server, -1);
    return result.leases.map((one) => ({ ...one, beat: beats.get(one.server) ?? '' }));
  }
}

/** Ready nodes of ready servers by pool and server; of a pool with workers only the workers, ready or not. */
export async function listRunNodes(sql: Sql): Promise<Map<string, Map<string, string[]>>> {
  const rows = await sql.query<{ pool: string; server: string; names: string[] }>(
    `SELECT coalesce(pool.works_for, pool.name) AS pool, node.server, array_agg(node.name ORDER BY node.name) AS names
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

/** Locks the first open runs of each pool, over all pools in the order of service. */
function claimOpen(
  sql: Sql,
  time: TimeSource,
  wishes: readonly { pool: string; classes: readonly TaskClass[]; floor: number; most: number }[],
): Promise<OpenRun[]> {
  return sql.query<OpenRun>(
    `SELECT next.* FROM jsonb_to_recordset($2::jsonb) AS wish (pool text, classes jsonb, floor float8, most int)
     CROSS JOIN LATERAL (
       SELECT run AS id, ctid AS at, pool, class, tag, rank FROM run_next
       -- As pairs: with two conditions the planner, which does not know how many there are, would sort them all for each batch.
       WHERE (pool, rank) >= (wish.pool, wish.floor) AND (pool, rank) <= (wish.pool, 'Infinity') AND wish.classes ? class
         AND not_before <= ${NOW}
       ORDER BY pool, rank LIMIT wish.most FOR UPDATE SKIP LOCKED
     ) AS next ORDER BY next.rank`,
    [time.at(), toJsonValue(wishes)],
  );
}

interface Placed {
  run: OpenRun;
  server: string;
  node: string;
  why: string;
}

/** Gives each run a server and a node while there is room; takes the slots from `servers`. */
function place(
  runs: readonly OpenRun[],
  pools: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>,
  servers: ReadonlyMap<string, RunServer>,
  by: { settings: SequencerSettings; random: () => number },
): Placed[] {
  const placed: Placed[] = [];
  for (const run of runs) {
    if (placed.length === by.settings.batch) break;
    const byServer = pools.get(run.pool);
    const able = [...(byServer?.keys() ?? [])].flatMap((name) => servers.get(name) ?? []);
    const choice = pickServer(able, run.class, by.settings, by.random);
    if (choice === undefined) continue;
    const names = byServer?.get(choice.server.server) ?? [];
    const node = names[Math.floor(by.random() * names.length)];
    if (node === undefined) continue;
    choice.server.free -= 1;
    placed.push({ run, server: choice.server.server, node, why: choice.why });
  }
  return placed;
}

async function lease(
  sql: Sql,
  { time, settings }: SequencerParts,
  placed: readonly Placed[],
): Promise<Omit<Lease, 'beat'>[]> {
  if (placed.length === 0) return [];
  return sql.query<Omit<Lease, 'beat'>>(
    `WITH taken AS (DELETE FROM run_next WHERE ctid = ANY($4::tid[]))
     UPDATE run SET state = 'leased', epoch = nextval('run_epoch'), server = new.server, node = new.node, why = new.why,
       leased_at = ${LATE}, lease_until = ${LATE} + make_interval(secs => $2), started_at = NULL
     FROM jsonb_to_recordset($3::jsonb) AS new (id bigint, server text, node text, why text), task, site
     WHERE run.id = new.id AND run.state = 'queued' AND run.open AND task.id = run.task AND site.id = run.site
     RETURNING run.id, run.epoch, run.task, run.site, site.uid, run.server, run.node, task.command, task.timeout_s AS "timeoutS",
       task.cpu_percent AS "cpuPercent", task.memory_mb AS "memoryMb", run.overlap_key AS "overlapKey"`,
    [
      time.at(),
      settings.leaseMs / 1000,
      toJsonValue(placed.map(({ run, server, node, why }) => ({ id: run.id, server, node, why }))),
      placed.map(({ run }) => run.at),
    ],
  );
}
