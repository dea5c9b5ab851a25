-- Why a run is on its server has a column of its own, in few characters (src/sequencer/placement.ts); `why` is what came of it, empty
-- when there is nothing to say but that it succeeded. What was stored before keeps its sentence, cut where the two halves met.
ALTER TABLE run ADD COLUMN placement text;
UPDATE run SET placement = why WHERE state <> 'queued';

ALTER TABLE run_history ADD COLUMN placement text;
UPDATE run_history SET placement = split_part(why, ' — ', 1),
  why = CASE WHEN strpos(why, ' — ') = 0 THEN '' ELSE substr(why, strpos(why, ' — ') + 3) END
WHERE epoch IS NOT NULL AND state <> 'skipped';
