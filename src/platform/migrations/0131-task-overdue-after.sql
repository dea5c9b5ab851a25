-- How old a task's oldest due tick may be before people are told; null: as long as the sequencer thinks right for its interval.
ALTER TABLE task ADD COLUMN overdue_after_s int CHECK (overdue_after_s > 0);
