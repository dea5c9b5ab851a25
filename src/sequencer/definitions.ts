// What an agent must know of a run's task. It is the same as long as the task exists (migration 0230), so it is kept here: looked up
// with each lease it costs as much as the rest of it, and more while a transaction stays open, since each tick leaves a version of the task.
import type { Sql } from '../platform/store.ts';

export interface Definition {
  command: string[];
  timeoutS: number;
  cpuPercent: number | null;
  memoryMb: number | null;
}

export interface Definitions {
  /** By the tasks' ids; a task that is gone is not among them, unless it was asked for before. */
  read(sql: Sql, tasks: readonly string[]): Promise<ReadonlyMap<string, Definition>>;
}

/** A deployment of 10,000 sites has 60,000 tasks. */
const MOST_KEPT = 250_000;

export function makeDefinitions(mostKept = MOST_KEPT): Definitions {
  const kept = new Map<string, Definition>();
  return {
    async read(sql, tasks) {
      const missing = [...new Set(tasks.filter((task) => !kept.has(task)))];
      if (missing.length > 0) {
        const rows = await sql.query<Definition & { id: string }>(
          `SELECT task.id, command, timeout_s AS "timeoutS", cpu_percent AS "cpuPercent", memory_mb AS "memoryMb"
           FROM unnest($1::text[]) AS wanted (id) JOIN task ON task.id = wanted.id`,
          [missing],
        );
        for (const { id, ...definition } of rows) kept.set(id, definition);
      }
      const found = new Map(
        tasks.flatMap((task) => {
          const definition = kept.get(task);
          return definition === undefined ? [] : [[task, definition] as const];
        }),
      );
      for (const oldest of kept.keys()) {
        if (kept.size <= mostKept) break;
        kept.delete(oldest);
      }
      return found;
    },
  };
}
