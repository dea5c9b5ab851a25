-- Generations: the nodes of a pool that have one image, with the sites that they serve and nobody else's. A pool has one, and
-- while waves bring its sites to another image a second one beside it.
ALTER TABLE pool ADD COLUMN generation int NOT NULL DEFAULT 0;
ALTER TABLE pool ADD COLUMN other_generation int;
ALTER TABLE pool ADD COLUMN other_image int;
ALTER TABLE pool ADD COLUMN other_wanted int;
ALTER TABLE pool ADD CONSTRAINT pool_other_whole CHECK (
  (other_generation IS NULL) = (other_image IS NULL) AND (other_generation IS NULL) = (other_wanted IS NULL)
);
ALTER TABLE node ADD COLUMN generation int NOT NULL DEFAULT 0;
-- Which nodes of its pool serve the site.
ALTER TABLE site ADD COLUMN generation int NOT NULL DEFAULT 0;
-- Its code went on while it was closed: its tables follow before it opens.
ALTER TABLE site ADD COLUMN upgrade_owed boolean NOT NULL DEFAULT false;
ALTER TABLE site ADD COLUMN labels jsonb NOT NULL DEFAULT '{}';
-- upgrading: visitors are held at the edge while its nodes serve it already, to be checked.
ALTER TABLE site DROP CONSTRAINT site_state_check;
ALTER TABLE site ADD CONSTRAINT site_state_check
  CHECK (state IN ('creating', 'ready', 'suspended', 'maintenance', 'upgrading', 'failed', 'archived'));
