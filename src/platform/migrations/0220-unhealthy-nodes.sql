-- Every batch of heartbeats asks which nodes count as unhealthy.
CREATE INDEX node_unhealthy ON node (name) WHERE state = 'unhealthy';
