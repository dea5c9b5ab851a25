-- Servers, the addresses of their containers, and the clock that orders every change of configuration.
CREATE TABLE server (
  name text PRIMARY KEY,
  state text NOT NULL CHECK (state IN ('joining', 'ready', 'draining', 'lost', 'fenced')),
  reason text NOT NULL,
  address text NOT NULL,
  version text NOT NULL,
  heartbeat_at timestamptz,
  load jsonb,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE instance_address (
  address text PRIMARY KEY,
  instance text NOT NULL UNIQUE
);

-- One row. Whoever changes what agents must know takes the next version here and holds the row until its
-- transaction ends: so versions become visible in order, and "all that is newer than N" misses nothing.
CREATE TABLE config_clock (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  version bigint NOT NULL
);
INSERT INTO config_clock (version) VALUES (0);
