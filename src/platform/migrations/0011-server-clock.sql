-- How far a server's clock was ahead of the database's at its last heartbeat, in milliseconds.
ALTER TABLE server ADD COLUMN clock_ahead_ms float8;
