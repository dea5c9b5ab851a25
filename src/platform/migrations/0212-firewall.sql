-- What a person chose for the firewall of a server; one without a row has what a cluster's servers have.
CREATE TABLE server_firewall (
  server text PRIMARY KEY,
  mode text NOT NULL CHECK (mode IN ('off', 'ours', 'strict')),
  -- In `strict`, beside what Espalier needs: 'tcp/9100'.
  allow text[] NOT NULL DEFAULT '{}'
);
