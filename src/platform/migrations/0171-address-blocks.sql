-- Each server has blocks of 64 addresses for its containers, so that another server needs one route for each block. What was
-- given before there were blocks belongs to the only server that there was.
CREATE TABLE address_block (
  first text PRIMARY KEY,
  server text NOT NULL
);
INSERT INTO address_block (first, server)
SELECT DISTINCT host(network(set_masklen(address::inet, 26))), (SELECT name FROM server ORDER BY created_at, name LIMIT 1)
FROM instance_address WHERE EXISTS (SELECT 1 FROM server);
