-- Images: numbered, immutable bakes of a recipe. `hash` is the recipe's content, so that a bake can be told from a newer one.
CREATE TABLE image (
  recipe text NOT NULL,
  number int NOT NULL,
  fingerprint text NOT NULL,
  hash text NOT NULL,
  app_version text NOT NULL,
  packages jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (recipe, number)
);
CREATE INDEX image_by_hash ON image (recipe, hash);
