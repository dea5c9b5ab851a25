-- staging: its only node is a seed, on which a copy of a site lives; nobody heals, scales or rolls it.
ALTER TABLE pool DROP CONSTRAINT pool_state_check;
ALTER TABLE pool ADD CONSTRAINT pool_state_check CHECK (state IN ('creating', 'ready', 'deleting', 'staging'));
