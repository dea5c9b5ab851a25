-- A server that is lost: fenced before anything of it is made anew elsewhere, and cleaned before it is ready again.
ALTER TABLE server DROP CONSTRAINT server_state_check;
ALTER TABLE server ADD CONSTRAINT server_state_check
  CHECK (state IN ('joining', 'ready', 'draining', 'lost', 'fenced', 'back'));
-- While it is lost: another server hears it, or there is no other. Then its agent lives, and ends its runs by their leases.
ALTER TABLE server ADD COLUMN alive boolean NOT NULL DEFAULT false;
-- Its agent is heard and its engine answers nobody: what runs there runs on, and nothing new can be made.
ALTER TABLE server ADD COLUMN engine_silent boolean NOT NULL DEFAULT false;
-- Since when its fence stands at every database and cache; null while it is being fenced, and when it is not.
ALTER TABLE server ADD COLUMN fenced_at timestamptz;
-- While it is fenced: what lies on it and cannot be made anew elsewhere, each in words with the reason.
ALTER TABLE server ADD COLUMN left_behind jsonb NOT NULL DEFAULT '[]';
