-- What images are made of, which of them are kept, and seeds that people go into.
ALTER TABLE image ADD COLUMN state text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'deleting'));
-- The image below it, `recipe/number`; null of bases, and of images from before this migration.
ALTER TABLE image ADD COLUMN parent text;
-- The seed that a person baked it from; null of those baked from the recipe alone.
ALTER TABLE image ADD COLUMN seed text;
-- Of all its files, so that two images can be told to be alike; null of layers, whose files nobody lists.
ALTER TABLE image ADD COLUMN files_hash text;
-- Why a person wants it kept; null: it goes when the rule says so.
ALTER TABLE image ADD COLUMN kept_because text;

-- Every file of an image, packed; apart because it is a megabyte and read only to compare.
CREATE TABLE image_files (
  recipe text NOT NULL,
  number int NOT NULL,
  packed text NOT NULL,
  PRIMARY KEY (recipe, number),
  FOREIGN KEY (recipe, number) REFERENCES image ON DELETE CASCADE
);

-- The last number given, so that none is given twice when the newest image is deleted.
CREATE TABLE image_number (
  recipe text PRIMARY KEY,
  last int NOT NULL
);
INSERT INTO image_number (recipe, last) SELECT recipe, max(number) FROM image GROUP BY recipe;

-- Containers in which people prepare images. creating: being made. ready: can be entered. deleting: being removed.
CREATE TABLE seed (
  name text PRIMARY KEY,
  recipe text NOT NULL,
  -- What it was last made from or baked to: `seed diff` compares with it.
  image_number int NOT NULL,
  state text NOT NULL CHECK (state IN ('creating', 'ready', 'deleting')),
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
