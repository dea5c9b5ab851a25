-- The deployment itself: one row.
CREATE TABLE deployment (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  -- What people want of it; while it is down nothing is healed.
  wanted text NOT NULL CHECK (wanted IN ('up', 'down')),
  http_port int,
  -- The first sites are made once: who deletes them does not get them back.
  greeted boolean NOT NULL DEFAULT false
);
INSERT INTO deployment (wanted) VALUES ('down');
