-- How many nodes boot on each server is asked for each node that is placed.
CREATE INDEX node_booting ON node (server) WHERE state = 'booting';
