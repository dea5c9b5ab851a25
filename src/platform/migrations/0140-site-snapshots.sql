-- Snapshots of sites: a dump on the site's database server and a copy of its files on its pool's volume.
ALTER TABLE site ADD COLUMN snapshots_taken int NOT NULL DEFAULT 0;

CREATE TABLE site_snapshot (
  site text NOT NULL REFERENCES site ON DELETE CASCADE,
  -- Counted by site from 1 on; a number is never given twice.
  number int NOT NULL,
  state text NOT NULL CHECK (state IN ('taking', 'ready', 'removing')),
  -- The operation that takes it: asked for twice it takes one.
  operation text NOT NULL,
  reason text NOT NULL,
  made_by text NOT NULL,
  -- Where its parts lie.
  pool text NOT NULL,
  database_server text NOT NULL,
  dump jsonb,
  files_bytes bigint,
  -- What the site was: its hosts, title and settings, and the image of its pool.
  hosts text[] NOT NULL,
  title text NOT NULL,
  settings jsonb NOT NULL,
  image_number int NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (site, number),
  UNIQUE (site, operation, reason)
);
