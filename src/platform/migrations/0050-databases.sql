-- Database servers. `number` is never used twice: it is the server's identity in replication.
CREATE TABLE database_server (
  name text PRIMARY KEY,
  number int GENERATED ALWAYS AS IDENTITY UNIQUE,
  instance text NOT NULL UNIQUE,
  server text,
  address text,
  role text NOT NULL DEFAULT 'primary' CHECK (role IN ('primary', 'replica')),
  state text NOT NULL CHECK (state IN ('creating', 'ready', 'unhealthy', 'deleting')),
  reason text NOT NULL,
  placement text,
  max_sites int NOT NULL CHECK (max_sites > 0),
  memory_mb int NOT NULL CHECK (memory_mb > 0),
  -- Fingerprint of the image that its container is made from.
  image text,
  health jsonb,
  checked_at timestamptz,
  state_since timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now()
);
