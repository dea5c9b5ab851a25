-- Each way of telling people has its own record of what it told, so that one that fails holds up no other.
CREATE TABLE alert_telling (
  alert bigint NOT NULL REFERENCES alert ON DELETE CASCADE,
  channel text NOT NULL,
  -- A controller is telling it now; after this another may.
  telling_until timestamptz NOT NULL,
  told_at timestamptz,
  attempts int NOT NULL DEFAULT 1,
  PRIMARY KEY (alert, channel)
);
ALTER TABLE alert DROP COLUMN told_at, DROP COLUMN telling_until, DROP COLUMN attempts;
