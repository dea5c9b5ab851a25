-- The app's upgrade was begun: begun again, it begins from the snapshot, since a command that was cut off may say that all is done.
ALTER TABLE wave_site ADD COLUMN upgrade_begun boolean NOT NULL DEFAULT false;
