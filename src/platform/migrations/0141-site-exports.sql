-- An export is a snapshot whose files are packed into one, and that goes by itself when nobody fetched it.
ALTER TABLE site_snapshot ADD COLUMN packed jsonb;
ALTER TABLE site_snapshot ADD COLUMN expires_at timestamptz;
