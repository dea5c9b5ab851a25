-- A deployment of several servers: how they reach its controller, how a machine joins, and which certificates count.
CREATE TABLE cluster (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  -- The first server, on which the controller runs, and where the others reach it.
  server text NOT NULL,
  address text NOT NULL,
  port integer NOT NULL,
  -- The folder that every server sees, and the mark in it; none: content stays on one server.
  content_path text,
  content_id text,
  made_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((content_path IS NULL) = (content_id IS NULL))
);

-- One machine joins with each. It is bound to the key of the machine that used it, which may use it again until its end.
CREATE TABLE join_token (
  id text PRIMARY KEY,
  hash text NOT NULL UNIQUE,
  by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  key_fingerprint text,
  server text
);

-- By the fingerprint of the public key. A server has two for as long as it takes to change from one to the next.
CREATE TABLE server_certificate (
  fingerprint text PRIMARY KEY,
  server text NOT NULL,
  issued_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  revoked_at timestamptz
);
CREATE INDEX server_certificate_server ON server_certificate (server);
