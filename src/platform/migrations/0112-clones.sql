-- A clone is a copy to try things on: what it would send by mail is held back until a person lets it go.
ALTER TABLE site ADD COLUMN mail_held boolean NOT NULL DEFAULT false;
-- The site that it was cloned from, by its id, which may be gone by now.
ALTER TABLE site ADD COLUMN cloned_from text;
