-- What a task does and what it may use never changes; another command is another task. Controllers keep it by the task's id
-- (src/sequencer/definitions.ts), so nothing may change it behind their backs.
CREATE FUNCTION refuse_new_definition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the command and the limits of task % cannot change; add another task', OLD.id;
END
$$;
CREATE TRIGGER task_definition BEFORE UPDATE OF command, timeout_s, cpu_percent, memory_mb ON task
  FOR EACH ROW EXECUTE FUNCTION refuse_new_definition();
