-- Pools and their nodes.
CREATE TABLE pool (
  name text PRIMARY KEY,
  app text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('shared', 'dedicated')),
  image_number int NOT NULL,
  wanted int NOT NULL CHECK (wanted >= 0),
  max_sites int NOT NULL CHECK (max_sites > 0),
  node_memory_mb int NOT NULL CHECK (node_memory_mb > 0),
  state text NOT NULL CHECK (state IN ('creating', 'ready', 'deleting')),
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE node (
  name text PRIMARY KEY,
  pool text NOT NULL REFERENCES pool,
  server text,
  address text,
  image_number int NOT NULL,
  state text NOT NULL CHECK (state IN ('booting', 'ready', 'draining', 'unhealthy', 'lost')),
  -- False once the edge must no longer know it.
  at_edge boolean NOT NULL DEFAULT false,
  reason text NOT NULL,
  placement text,
  state_since timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX node_by_pool ON node (pool);
CREATE INDEX node_by_server ON node (server);
