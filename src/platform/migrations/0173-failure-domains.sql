-- Servers that fail together (one rack, one zone) have one failure domain. Null: its own, named like the server.
ALTER TABLE server ADD COLUMN domain text;
