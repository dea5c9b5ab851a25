-- The address that the edges share: one of them holds it, and another takes it when that one does not answer.
CREATE TABLE edge_address (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  address text NOT NULL,
  http_port integer NOT NULL,
  https_port integer NOT NULL,
  -- Tells this deployment's edges from others in the same network (VRRP).
  router_id integer NOT NULL CHECK (router_id BETWEEN 1 AND 255)
);
-- Whether the edge's server has the shared address, as its agent said last, and since when.
ALTER TABLE edge ADD COLUMN holds boolean NOT NULL DEFAULT false;
ALTER TABLE edge ADD COLUMN holds_since timestamptz;
-- The server that a person chose for it.
ALTER TABLE edge ADD COLUMN wish text;
-- deleting: its server no longer counts it; its container goes.
ALTER TABLE edge DROP CONSTRAINT edge_state_check;
ALTER TABLE edge ADD CONSTRAINT edge_state_check CHECK (state IN ('creating', 'ready', 'unhealthy', 'deleting'));
