-- A pool of workers runs the tasks of another pool's sites and takes no visitors.
ALTER TABLE pool ADD COLUMN works_for text REFERENCES pool;
-- One worker pool for each pool: it is scaled, not joined by a second one.
CREATE UNIQUE INDEX pool_workers ON pool (works_for) WHERE works_for IS NOT NULL;
