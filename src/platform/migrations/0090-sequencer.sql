-- Ids, keys and the words of the order are compared byte by byte (COLLATE "C"): they are not text to be sorted for people, and a
-- language's rules cost several times as much at each step down an index.
-- Tasks and their runs. Small and hot: `task`, `run` (what waits or lives), `run_server`, `site_share`; history apart, by day.
CREATE TABLE task (
  id text COLLATE "C" PRIMARY KEY,
  site text NOT NULL REFERENCES site ON DELETE CASCADE,
  name text NOT NULL,
  origin text NOT NULL CHECK (origin IN ('recipe', 'person')),
  command text[] NOT NULL CHECK (cardinality(command) > 0),
  -- Either every N seconds, shifted by offset_s so that equal intervals spread, or cron in a time zone, or neither: by hand only.
  every_s int CHECK (every_s > 0),
  offset_s int NOT NULL DEFAULT 0,
  cron text,
  zone text NOT NULL DEFAULT 'UTC',
  timeout_s int NOT NULL CHECK (timeout_s > 0),
  class text NOT NULL CHECK (class IN ('urgent', 'normal', 'bulk')),
  -- Begins with the site's id: no site can block another's.
  overlap_key text COLLATE "C" NOT NULL,
  when_due_running text NOT NULL CHECK (when_due_running IN ('skip', 'queue')),
  when_lost text NOT NULL CHECK (when_lost IN ('retry', 'fail')),
  missed text NOT NULL CHECK (missed IN ('latest', 'none', 'all')),
  missed_cap int NOT NULL CHECK (missed_cap > 0),
  retry_limit int NOT NULL CHECK (retry_limit >= 0),
  retry_first_s int NOT NULL CHECK (retry_first_s > 0),
  retry_most_s int NOT NULL CHECK (retry_most_s >= retry_first_s),
  cpu_percent int CHECK (cpu_percent > 0),
  memory_mb int CHECK (memory_mb > 0),
  -- Who paused it and why; null when nobody did.
  paused_by text,
  paused_reason text,
  -- True while its site is not open.
  site_closed boolean NOT NULL DEFAULT false,
  -- The next due time; null when there is none to come (paused, closed, by hand).
  next_at timestamptz,
  -- Runs that failed for good, one after another; and how often the circuit breaker opened since it last succeeded.
  failures int NOT NULL DEFAULT 0,
  trips int NOT NULL DEFAULT 0,
  -- While the breaker is open: when it lets a run through again.
  broken_until timestamptz,
  -- What a person should look at: {run, cause, sentence, since}.
  attention jsonb,
  -- What a run of it is expected to take, in worker-seconds.
  cost_s float8 NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (site, name),
  CHECK (every_s IS NULL OR cron IS NULL)
) WITH (fillfactor = 70);
CREATE INDEX task_due ON task (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX task_attention ON task (site) WHERE attention IS NOT NULL;
-- The few that a success has something to forget of.
CREATE INDEX task_troubled ON task (id) WHERE failures > 0 OR trips > 0 OR attention IS NOT NULL;

-- A new number for each lease.
CREATE SEQUENCE run_epoch CACHE 100;

-- Waiting (queued, not open), in the order of service (queued, open), leased (decided, perhaps started), running.
-- Columns of fixed width first: the row is shorter so, and sooner taken apart.
CREATE TABLE run (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  due_at timestamptz NOT NULL,
  -- When it was first queued, and from when on it may start (after a failure: the backoff).
  enqueued_at timestamptz NOT NULL,
  not_before timestamptz NOT NULL,
  -- The order within its site: when it was queued, later by what its class yields.
  turn timestamptz NOT NULL,
  cost_s float8 NOT NULL,
  attempt int NOT NULL DEFAULT 1,
  refusals int NOT NULL DEFAULT 0,
  -- Its site's Unix user, which never changes: one look less when it is leased.
  uid int NOT NULL,
  -- Of its site's few in the order of service; a site at its limit has the others wait outside.
  open boolean NOT NULL DEFAULT false,
  task text COLLATE "C" NOT NULL,
  site text NOT NULL,
  pool text NOT NULL,
  overlap_key text COLLATE "C" NOT NULL,
  kind text NOT NULL CHECK (kind IN ('tick', 'manual')),
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'leased', 'running')),
  class text NOT NULL,
  -- The last decision about it, as a sentence.
  why text NOT NULL,
  epoch bigint,
  lease_until timestamptz,
  leased_at timestamptz,
  started_at timestamptz,
  server text,
  node text,
  cancelled_by text,
  UNIQUE (task, due_at),
  CHECK (state = 'queued' OR (open AND epoch IS NOT NULL AND server IS NOT NULL AND node IS NOT NULL AND lease_until IS NOT NULL))
-- Room for the version that leasing writes, also while a snapshot somewhere keeps every old version: so a lease stays on its page
-- and writes no index.
) WITH (fillfactor = 40);
-- No index speaks of a run's state or its lease but the one of the few that wait: giving a lease writes as little as can be.
-- At most one of an overlap key is open, hence at most one is leased or running.
CREATE UNIQUE INDEX run_overlap ON run (overlap_key) WHERE open;
CREATE INDEX run_waiting ON run (site, turn) WHERE NOT open;
CREATE INDEX run_open ON run (site) WHERE open;

-- The order of service: what is open and waits for a server. Apart from `run` so that leaving it is no more than a deletion; an
-- entry whose run is gone is passed over and goes with it.
CREATE TABLE run_next (
  -- Later entries have greater numbers: among equals it is their order.
  entry bigint GENERATED ALWAYS AS IDENTITY,
  run bigint NOT NULL,
  not_before timestamptz NOT NULL,
  -- The order among sites (see admit.ts): virtual start, and the same later by what its class yields.
  tag float8 NOT NULL,
  rank float8 NOT NULL,
  -- `CLASS/POOL`: each is looked through by itself, from where it was left. What lies before that are the entries of runs that are
  -- gone, which stay as long as any snapshot somewhere may see them.
  lane text COLLATE "C" NOT NULL
);
CREATE INDEX run_next_order ON run_next (lane, rank, entry);

-- What a site has had of the workers, in virtual time; and its share of them.
CREATE TABLE site_share (
  site text PRIMARY KEY REFERENCES site ON DELETE CASCADE,
  weight float8 NOT NULL DEFAULT 1 CHECK (weight > 0),
  -- How many of its runs may be open at once; null: as many as settings say.
  most int CHECK (most > 0),
  finish float8 NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- One row: how far service is stretched.
CREATE TABLE fleet_state (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  brownout int NOT NULL DEFAULT 0 CHECK (brownout BETWEEN 0 AND 3),
  brownout_reason text NOT NULL DEFAULT 'full service',
  brownout_since timestamptz NOT NULL DEFAULT now(),
  -- Since when pressure asks for another level.
  wish int NOT NULL DEFAULT 0,
  wish_since timestamptz NOT NULL DEFAULT now(),
  -- Ends of runs that came with an epoch that was no longer theirs: they changed nothing.
  stale_ends bigint NOT NULL DEFAULT 0
);
INSERT INTO fleet_state DEFAULT VALUES;

-- Virtual time: how much service each busy site has had, in millionths of a worker-second. Every batch moves it on; a sequence has no
-- versions that a snapshot somewhere would keep, and no row to wait for.
CREATE SEQUENCE virtual_time MINVALUE 0 START 0 OWNED BY fleet_state.single;

-- What each server's last heartbeat said about runs.
CREATE TABLE run_server (
  server text PRIMARY KEY,
  beat text NOT NULL,
  beat_at timestamptz NOT NULL,
  slots int NOT NULL,
  cpu_pressure float8 NOT NULL,
  memory_pressure float8 NOT NULL,
  io_pressure float8 NOT NULL,
  memory_free_bytes float8 NOT NULL
) WITH (fillfactor = 50);

-- How runs ended, and ticks that were skipped. Partitions by day of the end, dropped whole.
CREATE TABLE run_history (
  id bigint,
  epoch bigint,
  due_at timestamptz NOT NULL,
  enqueued_at timestamptz,
  leased_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz NOT NULL,
  cpu_s float8,
  peak_memory_bytes float8,
  attempt int NOT NULL,
  -- For skips: how many ticks, from due_at on.
  ticks int NOT NULL DEFAULT 1,
  code int,
  task text COLLATE "C" NOT NULL,
  site text NOT NULL,
  kind text NOT NULL,
  state text NOT NULL CHECK (state IN ('succeeded', 'failed', 'timed out', 'lost', 'skipped', 'cancelled')),
  server text,
  node text,
  why text NOT NULL,
  cause text,
  signal text,
  tail text
) PARTITION BY RANGE (ended_at);
CREATE INDEX run_history_task ON run_history (task, ended_at);
CREATE INDEX run_history_id ON run_history USING brin (id);
CREATE TABLE run_history_other PARTITION OF run_history DEFAULT;

-- What people are told, once for each cause until it is over.
CREATE TABLE alert (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cause text NOT NULL,
  subject text NOT NULL,
  sentence text NOT NULL,
  raised_at timestamptz NOT NULL,
  told_at timestamptz,
  -- A controller is about to tell it; after this another may.
  telling_until timestamptz,
  over_at timestamptz,
  attempts int NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX alert_open ON alert (cause) WHERE over_at IS NULL;
