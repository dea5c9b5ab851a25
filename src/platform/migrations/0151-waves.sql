-- Waves: the sites of a pool brought to another image one after the other, each with its own way back.
CREATE TABLE wave (
  id text PRIMARY KEY,
  pool text NOT NULL,
  app text NOT NULL,
  from_image int NOT NULL,
  from_generation int NOT NULL,
  to_image int NOT NULL,
  to_generation int NOT NULL,
  -- All sites of the pool, those included that come meanwhile; not only chosen ones.
  whole boolean NOT NULL,
  -- What each batch is, in the order of their numbers: `canary`, `5 %`, `plan=free`.
  batches jsonb NOT NULL,
  -- The share of the sites so far that may fail.
  stop_at float8 NOT NULL,
  check_pages text[] NOT NULL,
  at_once int NOT NULL CHECK (at_once > 0),
  -- running; stopped: too many failed, resume or abort it; done: each site was tried; aborted: a person ended it.
  state text NOT NULL CHECK (state IN ('running', 'stopped', 'done', 'aborted')),
  -- What it does now, or why it is what it is.
  reason text NOT NULL,
  paused_by text,
  -- Nothing more begins; what is under way ends, and then it is this. Null while it goes on.
  ends_as text CHECK (ends_as IN ('stopped', 'aborted')),
  -- Upgraded sites are brought back as well.
  goes_back boolean NOT NULL DEFAULT false,
  started_by text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz
);
-- One at a time for each pool.
CREATE UNIQUE INDEX wave_open ON wave (pool) WHERE state IN ('running', 'stopped');

CREATE TABLE wave_site (
  wave text NOT NULL REFERENCES wave ON DELETE CASCADE,
  site text NOT NULL,
  name text NOT NULL,
  batch int NOT NULL,
  -- waiting; upgrading; upgraded; failed: brought back whole; skipped: gone or closed for good; returning, returned: brought
  -- back because the wave was aborted; stuck: a person must act.
  state text NOT NULL CHECK (state IN ('waiting', 'upgrading', 'upgraded', 'failed', 'skipped', 'returning', 'returned', 'stuck')),
  reason text NOT NULL,
  operation text,
  -- The snapshot from before, while it is kept.
  snapshot int,
  -- How long visitors were held.
  pause_ms int,
  ended_at timestamptz,
  PRIMARY KEY (wave, site)
);
CREATE INDEX wave_site_by_site ON wave_site (site);
