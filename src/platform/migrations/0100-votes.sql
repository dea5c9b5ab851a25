-- Votes: policies of pools, what was last heard of nodes and edges, the rounds of votes with their decisions.

-- Which node goes first when a pool shrinks.
ALTER TABLE pool ADD COLUMN leaves text NOT NULL DEFAULT 'oldest' CHECK (leaves IN ('oldest', 'emptiest-server'));

-- Whether it may have no node at all: the edge holds its first visitors then.
ALTER TABLE pool ADD COLUMN holds boolean NOT NULL DEFAULT false;

CREATE TABLE pool_policy (
  pool text PRIMARY KEY REFERENCES pool ON DELETE CASCADE,
  policy jsonb NOT NULL,
  -- Counts up: what was judged by another policy says nothing of this one.
  version int NOT NULL DEFAULT 1,
  paused_by text,
  paused_reason text,
  -- The size that was last seen, and when it was last another: by votes or by hand.
  seen_wanted int NOT NULL,
  resized_at timestamptz,
  -- The number that a URL of a site answered.
  site_number float8,
  site_number_at timestamptz,
  site_number_problem text,
  -- The last round, whole: durations go on from it. Null before the first.
  round jsonb,
  round_version int,
  -- When a round was last put into the history.
  kept_at timestamptz
) WITH (fillfactor = 50);

-- What was last heard of a node: from the agent of its server, and from the agents of edges.
CREATE TABLE node_sample (
  node text NOT NULL REFERENCES node ON DELETE CASCADE,
  source text NOT NULL,
  taken_at timestamptz NOT NULL,
  figures jsonb NOT NULL,
  PRIMARY KEY (node, source)
) WITH (fillfactor = 50);

-- What was last heard of a pool from an edge.
CREATE TABLE pool_edge_sample (
  pool text NOT NULL REFERENCES pool ON DELETE CASCADE,
  edge text NOT NULL,
  taken_at timestamptz NOT NULL,
  requests float8 NOT NULL,
  under_way float8 NOT NULL,
  -- When the count of requests last moved.
  visited_at timestamptz NOT NULL,
  PRIMARY KEY (pool, edge)
) WITH (fillfactor = 50);

-- The rounds: every vote with its numbers, the decision with its reason. Partitions by day, dropped whole.
CREATE TABLE vote_round (
  pool text NOT NULL,
  at timestamptz NOT NULL,
  wanted int NOT NULL,
  ready int NOT NULL,
  booting int NOT NULL,
  min int NOT NULL,
  max int NOT NULL,
  voters int NOT NULL,
  grow int NOT NULL,
  shrink int NOT NULL,
  decision text NOT NULL CHECK (decision IN ('grow', 'shrink', 'bounds', 'stay', 'blocked')),
  size int NOT NULL,
  reason text NOT NULL,
  foretold int,
  operation text,
  votes jsonb NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX vote_round_pool ON vote_round (pool, at);
CREATE TABLE vote_round_other PARTITION OF vote_round DEFAULT;

-- How many nodes each hour needed, for growth ahead of need.
CREATE TABLE vote_hour (
  pool text NOT NULL REFERENCES pool ON DELETE CASCADE,
  hour timestamptz NOT NULL,
  needed int NOT NULL,
  PRIMARY KEY (pool, hour)
);
