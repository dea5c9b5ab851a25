-- The history of a pool goes with it: another that takes its name later begins with none of its own.
DELETE FROM vote_round WHERE pool NOT IN (SELECT name FROM pool);
ALTER TABLE vote_round ADD CONSTRAINT vote_round_of_pool FOREIGN KEY (pool) REFERENCES pool ON DELETE CASCADE;
