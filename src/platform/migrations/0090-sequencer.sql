-- Tasks and their runs. Small and hot: `task`, `run` (what waits or lives), `run_server`, `site_share`; history apart, by day.
CREATE TABLE task (
  id text PRIMARY KEY,
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
  overlap_key text NOT NULL,
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

-- A new number for each lease.
CREATE SEQUENCE run_epoch CACHE 100;

-- Waiting (queued, not open), in the order of service (queued, open), leased (decided, perhaps started), running.
CREATE TABLE run (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task text NOT NULL,
  site text NOT NULL,
  pool text NOT NULL,
  overlap_key text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('tick', 'manual')),
  due_at timestamptz NOT NULL,
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'leased', 'running')),
  -- Of its site's few in the order of service; a site at its limit has the others wait outside.
  open boolean NOT NULL DEFAULT false,
  attempt int NOT NULL DEFAULT 1,
  class text NOT NULL,
  -- When it was first queued, and from when on it may start (after a failure: the backoff).
  enqueued_at timestamptz NOT NULL,
  not_before timestamptz NOT NULL,
  -- The order within its site: when it was queued, later by what its class yields.
  turn timestamptz NOT NULL,
  cost_s float8 NOT NULL,
  epoch bigint,
  server text,
  node text,
  lease_until timestamptz,
  leased_at timestamptz,
  started_at timestamptz,
  refusals int NOT NULL DEFAULT 0,
  cancelled_by text,
  -- The last decision about it, as a sentence.
  why text NOT NULL,
  UNIQUE (task, due_at),
  CHECK (state = 'queued' OR (open AND epoch IS NOT NULL AND server IS NOT NULL AND node IS NOT NULL AND lease_until IS NOT NULL))
-- Room for the versions that opening and leasing write, so that a lease stays on its page and writes no index.
) WITH (fillfactor = 35);
-- No index speaks of a run's state or its lease but the one of the few that wait: giving a lease writes as little as can be.
-- At most one of an overlap key is open, hence at most one is leased or running.
CREATE UNIQUE INDEX run_overlap ON run (overlap_key) WHERE open;
CREATE INDEX run_waiting ON run (site, turn) WHERE NOT open;
CREATE INDEX run_open ON run (site) WHERE open;

-- The order of service: what is open and waits for a server. Apart from `run` so that leaving it is no more than a deletion; an
-- entry whose run is gone is passed over and goes with it.
CREATE TABLE run_next (
  run bigint NOT NULL,
  pool text NOT NULL,
  site text NOT NULL,
  class text NOT NULL,
  cost_s float8 NOT NULL,
  not_before timestamptz NOT NULL,
  -- The order among sites (see admit.ts): virtual start, and the same later by what its class yields.
  tag float8 NOT NULL,
  rank float8 NOT NULL
);
CREATE INDEX run_next_order ON run_next (pool, rank);

-- What a site has had of the workers, in virtual time; and its share of them.
CREATE TABLE site_share (
  site text PRIMARY KEY REFERENCES site ON DELETE CASCADE,
  weight float8 NOT NULL DEFAULT 1 CHECK (weight > 0),
  -- How many of its runs may be open at once; null: as many as settings say.
  most int CHECK (most > 0),
  finish float8 NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- One row: virtual time, and how far service is stretched.
CREATE TABLE fleet_state (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  virtual_time float8 NOT NULL DEFAULT 0,
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
  task text NOT NULL,
  site text NOT NULL,
  kind text NOT NULL,
  due_at timestamptz NOT NULL,
  -- For skips: how many ticks, from due_at on.
  ticks int NOT NULL DEFAULT 1,
  state text NOT NULL CHECK (state IN ('succeeded', 'failed', 'timed out', 'lost', 'skipped', 'cancelled')),
  attempt int NOT NULL,
  epoch bigint,
  server text,
  node text,
  enqueued_at timestamptz,
  leased_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz NOT NULL,
  why text NOT NULL,
  cause text,
  code int,
  signal text,
  cpu_s float8,
  peak_memory_bytes float8,
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
