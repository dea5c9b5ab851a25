-- Sites with nodes and code of their own, and sites on their way from one pool to another.
-- The only site that may live on a dedicated pool; null of shared ones, and when that site is gone.
ALTER TABLE pool ADD COLUMN dedicated_to text REFERENCES site ON DELETE SET NULL;
-- What one node may use at most: cpus, memoryMb, processes, diskGib. What is not named is not limited.
ALTER TABLE pool ADD COLUMN limits jsonb NOT NULL DEFAULT '{}';
-- The pool that it is moving to; that pool's nodes have its configuration already, and no visitor.
ALTER TABLE site ADD COLUMN moving_to text REFERENCES pool;
-- The last seconds of a move. edge: its visitors wait at the edge. closed: and its old pool's nodes have no PHP for it any more.
ALTER TABLE site ADD COLUMN held text CHECK (held IN ('edge', 'closed'));
-- The id of the site whose own code is in the image; null of those for everybody.
ALTER TABLE image ADD COLUMN own_site text;
-- Where that code came from: source, ref, commit, subject.
ALTER TABLE image ADD COLUMN code jsonb;
-- The id of the site for which images are baked from the seed.
ALTER TABLE seed ADD COLUMN own_site text;
