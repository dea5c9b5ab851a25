-- The controllers of one database: which there are, which of them leads, and by which one-time tokens another comes.
CREATE TABLE controller (
  -- Made with its data directory; a controller that starts again has the same.
  id text PRIMARY KEY,
  -- Its server.
  name text NOT NULL,
  -- Where agents and other controllers reach it while it leads; null while the deployment is one server.
  address text,
  port integer,
  version text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row. Who leads renews it; when it was not renewed until its end, another takes the next term.
CREATE TABLE controller_lease (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  holder text,
  term bigint NOT NULL,
  until timestamptz,
  since timestamptz
);
INSERT INTO controller_lease (term) VALUES (0);

-- Each lets the controller of one server in, once.
CREATE TABLE controller_token (
  id text PRIMARY KEY,
  hash text NOT NULL UNIQUE,
  server text NOT NULL,
  by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  used_at timestamptz
);
