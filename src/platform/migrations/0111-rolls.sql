-- Rolls: a pool's nodes brought from one image to another.
CREATE TABLE roll (
  -- The operation that carries it.
  id text PRIMARY KEY,
  pool text NOT NULL,
  app text NOT NULL,
  from_image int NOT NULL,
  to_image int NOT NULL,
  strategy text NOT NULL CHECK (strategy IN ('canary', 'rolling', 'additional-batch', 'immutable')),
  batch int NOT NULL CHECK (batch > 0),
  bake_s int NOT NULL CHECK (bake_s >= 0),
  -- running; done: every node has the new image; returned: every node has the old one again.
  state text NOT NULL CHECK (state IN ('running', 'done', 'returned')),
  -- What it does now, or why it returned.
  reason text NOT NULL,
  -- Who paused it; null while it goes on.
  paused_by text,
  started_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz
);
CREATE INDEX roll_by_pool ON roll (pool, started_at);

-- The last words of nodes that failed, kept when their containers are gone.
CREATE TABLE node_log (
  node text PRIMARY KEY,
  pool text NOT NULL,
  image text NOT NULL,
  why text NOT NULL,
  log text NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX node_log_by_time ON node_log (at);
