-- Sites and their host names.
CREATE TABLE site (
  id text PRIMARY KEY,
  name text NOT NULL UNIQUE,
  app text NOT NULL,
  pool text NOT NULL REFERENCES pool,
  database_server text,
  database_host text,
  cache_server text,
  cache_host text,
  uid int NOT NULL UNIQUE,
  state text NOT NULL CHECK (state IN ('creating', 'ready', 'suspended', 'maintenance', 'failed', 'archived')),
  reason text NOT NULL,
  placement text NOT NULL,
  title text NOT NULL,
  admin_user text NOT NULL,
  admin_email text NOT NULL,
  config_version bigint NOT NULL,
  settings jsonb NOT NULL,
  limits jsonb NOT NULL,
  backup jsonb,
  archived_at timestamptz,
  purge_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX site_by_pool ON site (pool, config_version);

CREATE TABLE hostname (
  host text PRIMARY KEY,
  site text NOT NULL REFERENCES site ON DELETE CASCADE,
  -- 0 is the primary one.
  position int NOT NULL,
  UNIQUE (site, position)
);
