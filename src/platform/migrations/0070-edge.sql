-- Edge containers.
CREATE TABLE edge (
  name text PRIMARY KEY,
  server text,
  address text,
  state text NOT NULL CHECK (state IN ('creating', 'ready', 'unhealthy')),
  reason text NOT NULL,
  placement text,
  -- Where visitors reach it on the server, such as 127.0.0.1:8080.
  listen text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
