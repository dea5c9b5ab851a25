-- Where the uploads of a pool's sites lie: on a volume of one server (null), or below the cluster's shared folder, owned by
-- ids from this one on. All its nodes map their ids there, so that no file system has to translate owners.
ALTER TABLE pool ADD COLUMN content_base integer UNIQUE;
