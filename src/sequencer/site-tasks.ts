// What the sites room calls when a site comes, opens and closes; handed over by the composition root, since sites lie below. And
// the loop that gives sites the tasks that their recipe has and they lack: those made before, and recipes that grew.
import type { RecipeTask } from '../apps/recipe.ts';
import type { SiteTasks } from '../sites/parts.ts';
import { listCarriedTasks, storeCarriedTasks } from './carry.ts';
import { drainSite, openDrained } from './drain.ts';
import type { SequencerParts } from './parts.ts';
import { closeSite, type StopParts } from './stop.ts';
import { addRecipeTasks } from './tasks.ts';

type ReadTasks = (app: string) => readonly RecipeTask[];

export function makeSiteTasks(parts: StopParts, readTasks: ReadTasks): SiteTasks {
  return {
    created: (sql, { id, app }) => addRecipeTasks(sql, parts, { id, state: 'creating' }, readTasks(app)),
    list: (sql, site) => listCarriedTasks(sql, site),
    store: (sql, site, tasks) => storeCarriedTasks(sql, parts, site, tasks),
    opened: (sql, site, waited = []) => openDrained(sql, parts, site, waited),
    paused: (site, signal) => drainSite(parts, site, signal),
    closed: (site, signal, patienceMs) => closeSite(parts, site, signal, patienceMs),
  };
}

/** Adds what is missing. Wrong is a site without a task that its app's recipe has. */
export async function addMissingTasks(
  parts: SequencerParts,
  apps: readonly string[],
  readTasks: ReadTasks,
): Promise<{ sites: number }> {
  const { store } = parts;
  let sites = 0;
  for (const app of apps) {
    const tasks = readTasks(app);
    if (tasks.length === 0) continue;
    const lacking = await store.query<{ id: string; state: string }>(
      `SELECT id, state FROM site WHERE app = $1 AND EXISTS (
         SELECT FROM unnest($2::text[]) AS wanted (name)
         WHERE NOT EXISTS (SELECT FROM task WHERE task.site = site.id AND task.name = wanted.name))`,
      [app, tasks.map((task) => task.name)],
    );
    for (const { id } of lacking) {
      await store.transaction(async (sql) => {
        // Locked, so that its state is the one that its next change sees.
        const [site] = await sql.query<{ id: string; state: string }>(
          'SELECT id, state FROM site WHERE id = $1 FOR SHARE',
          [id],
        );
        if (site !== undefined) await addRecipeTasks(sql, parts, site, tasks);
      });
      sites += 1;
    }
  }
  return { sites };
}
