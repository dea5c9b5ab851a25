-- Its server is emptied: another edge takes the shared address while one can.
ALTER TABLE edge ADD COLUMN yields boolean NOT NULL DEFAULT false;
-- To whom the leader hands over: until then nobody else takes the next term.
ALTER TABLE controller_lease ADD COLUMN heir text;
ALTER TABLE controller_lease ADD COLUMN heir_until timestamptz;
