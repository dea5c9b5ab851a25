-- The server that was chosen for a pool's volume, from before the volume is there: two pools that are made at once see each
-- other. Null: chosen before this was kept, or the pool lies in the folder that all servers share.
ALTER TABLE pool ADD COLUMN home text;
