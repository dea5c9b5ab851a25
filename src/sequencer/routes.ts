// Tasks and runs over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import {
  type ApiRoutes,
  dryRunQuery,
  fromPageToken,
  json,
  jsonBody,
  makeRoutes,
  pageOf,
  pageQuery,
  parseFilter,
  planSchema,
  renderFilterSql,
  toPage,
  whoOf,
} from '../platform/http.ts';
import { planned, planOf, rehearsing } from '../platform/plan-change.ts';
import type { Store } from '../platform/store.ts';
import { readFleetState } from './fleet-state.ts';
import { taskProblems } from './problems.ts';
import { listPastRuns, listPresentRuns, readRun, readTail } from './run-store.ts';
import type { Sequencer } from './sequencer.ts';
import { cancelTask, pauseTask, removeTask, resumeTask, runNow } from './stop.ts';
import { listTaskPage, readTask, TASK_FILTERS, type TaskRow } from './task-store.ts';
import { addTask, newTaskSchema } from './tasks.ts';
import { runSchema, taskSchema, toRunView, toTaskView } from './views.ts';
import { explainRun, explainTask } from './why.ts';

const taskParam = z.object({ site: z.string(), name: z.string() });
const runParam = z.object({ id: z.coerce.number().int().min(1) });
const OUTPUT_CALL_MS = 5_000;

/** /v1/tasks and /v1/runs. */
export function makeTaskRoutes(sequencer: Sequencer): ApiRoutes {
  const { parts, ledger } = sequencer;
  const { store } = parts;
  const whyParts = { ...parts, ledger };
  const routes = makeRoutes();

  async function find({ site, name }: { site: string; name: string }): Promise<TaskRow> {
    const task = await readTask(store, `${site}/${name}`);
    if (task === undefined) throw commonProblems.make('not-found', { noun: 'task', name: `${site}/${name}` });
    return task;
  }
  async function view(about: { site: string; name: string }) {
    const task = await find(about);
    return toTaskView(task, await readFleetState(store), await explainTask(whyParts, task));
  }

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/tasks',
      operationId: 'listTasks',
      tags: ['tasks'],
      summary: 'List tasks; filter `attention=true` for those that need attention',
      request: { query: pageQuery },
      responses: { 200: json(pageOf(taskSchema), 'A page of tasks') },
    }),
    async (c) => {
      const { pageSize, pageToken, filter } = c.req.valid('query');
      const where = renderFilterSql(parseFilter(filter, Object.keys(TASK_FILTERS)), TASK_FILTERS, 3);
      const page = { after: fromPageToken(pageToken), limit: pageSize + 1, filter: where };
      const state = await readFleetState(store);
      const tasks = (await listTaskPage(store, page)).map((task) => toTaskView(task, state));
      return c.json(
        toPage(tasks, pageSize, (task) => task.name),
        200,
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/tasks',
      operationId: 'addTask',
      tags: ['tasks'],
      summary: 'Add a task to a site',
      request: { query: dryRunQuery, body: jsonBody(newTaskSchema) },
      responses: { 200: planned, 201: json(taskSchema, 'The task') },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      const change = (s: Store) => s.transaction((sql) => addTask(sql, parts, wish, whoOf(c)));
      const plan = await planOf(c, () => change(rehearsing(store)), {
        plan: [`${wish.site} gets the task ${wish.name}.`],
        sites: [wish.site],
      });
      if (plan !== undefined) return c.json(plan, 200);
      const task = await change(store);
      return c.json(await view({ site: task.siteName, name: task.name }), 201);
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/tasks/{site}/{name}',
      operationId: 'readTask',
      tags: ['tasks'],
      summary: 'Read one task, with why it is where it is',
      request: { params: taskParam },
      responses: { 200: json(taskSchema, 'The task') },
    }),
    async (c) => c.json(await view(c.req.valid('param')), 200),
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/tasks/{site}/{name}',
      operationId: 'removeTask',
      tags: ['tasks'],
      summary: "Remove a person's task; its history stays",
      request: { query: dryRunQuery, params: taskParam },
      responses: { 200: planned, 204: { description: 'Removed; nothing of it runs' } },
    }),
    async (c) => {
      const task = await find(c.req.valid('param'));
      const plan = await planOf(c, async () => {}, {
        plan: ['What waits of it is dropped, what runs is killed, its history stays.'],
        sites: [task.siteName],
      });
      if (plan !== undefined) return c.json(plan, 200);
      await removeTask(parts, task, whoOf(c), c.req.raw.signal);
      return c.body(null, 204);
    },
  );
  for (const [verb, summary, act] of [
    ['pause', 'Start no run of the task any more', pauseTask],
    ['resume', 'Run it again from its next time on; forget its failures', resumeTask],
    ['cancel', 'End what waits and kill what runs of it; the schedule goes on', cancelTask],
  ] as const) {
    routes.openapi(
      createRoute({
        method: 'post',
        path: `/v1/tasks/{site}/{name}/${verb}`,
        operationId: `${verb}Task`,
        tags: ['tasks'],
        summary,
        request: { query: dryRunQuery, params: taskParam },
        responses: { 200: json(z.union([taskSchema, planSchema]), 'The task; what was asked for holds') },
      }),
      async (c) => {
        const task = await find(c.req.valid('param'));
        const plan = await planOf(c, async () => {}, { plan: [`${summary}.`], sites: [task.siteName] });
        if (plan !== undefined) return c.json(plan, 200);
        await act(parts, task, whoOf(c), c.req.raw.signal);
        return c.json(await view(c.req.valid('param')), 200);
      },
    );
  }
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/tasks/{site}/{name}/run',
      operationId: 'runTask',
      tags: ['tasks'],
      summary: 'Run it now',
      request: { query: dryRunQuery, params: taskParam },
      responses: { 200: planned, 201: json(runSchema, 'The run, which waits for its turn') },
    }),
    async (c) => {
      const task = await find(c.req.valid('param'));
      const plan = await planOf(c, () => runNow({ ...parts, store: rehearsing(store) }, task, whoOf(c)), {
        plan: ['One run of it waits for its turn, beside its schedule.'],
        sites: [task.siteName],
      });
      if (plan !== undefined) return c.json(plan, 200);
      const id = await runNow(parts, task, whoOf(c));
      sequencer.wake();
      const run = await readRun(store, id);
      if (run === undefined) throw taskProblems.make('no-run', { run: String(id) });
      return c.json(toRunView(run), 201);
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/tasks/{site}/{name}/runs',
      operationId: 'listTaskRuns',
      tags: ['tasks'],
      summary: 'Runs of a task: what waits and lives, then the history, newest first',
      request: { params: taskParam, query: pageQuery },
      responses: { 200: json(pageOf(runSchema), 'A page of runs') },
    }),
    async (c) => {
      const { pageSize, pageToken } = c.req.valid('query');
      const task = await find(c.req.valid('param'));
      const before = fromPageToken(pageToken);
      // What lives first: a run that ends meanwhile is then in both, and not in neither.
      const present =
        before === undefined ? await listPresentRuns(store, { after: 0, limit: pageSize, task: task.id }) : [];
      const past = await listPastRuns(store, { task: task.id, before, limit: pageSize + 1 });
      const page = toPage(past.map(toRunView), pageSize, (run) => run.endedAt ?? '');
      const over = new Set(past.map(({ id, attempt }) => `${id} ${attempt}`));
      const living = present.filter(({ id, attempt }) => !over.has(`${id} ${attempt}`));
      return c.json({ ...page, items: [...living.map(toRunView).reverse(), ...page.items] }, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/runs',
      operationId: 'listRuns',
      tags: ['runs'],
      summary: 'What waits and what lives, of all tasks',
      request: { query: pageQuery },
      responses: { 200: json(pageOf(runSchema), 'A page of runs') },
    }),
    async (c) => {
      const { pageSize, pageToken } = c.req.valid('query');
      const runs = await listPresentRuns(store, { after: Number(fromPageToken(pageToken) ?? 0), limit: pageSize + 1 });
      return c.json(
        toPage(runs.map(toRunView), pageSize, (run) => String(run.id)),
        200,
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/runs/{id}',
      operationId: 'readRun',
      tags: ['runs'],
      summary: 'Read one run, with why it is where it is or how it ended',
      request: { params: runParam },
      responses: { 200: json(runSchema, 'The run') },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const reason = await explainRun(whyParts, id);
      const run = await readRun(store, id);
      if (run === undefined) throw taskProblems.make('no-run', { run: String(id) });
      return c.json({ ...toRunView(run), ...(reason === undefined ? {} : { reason }) }, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/runs/{id}/output',
      operationId: 'readRunOutput',
      tags: ['runs'],
      summary: 'Output of a run from an offset on; of an ended run the end of it',
      request: {
        params: runParam,
        query: z.object({
          offset: z.coerce.number().int().min(0).default(0),
          waitMs: z.coerce.number().int().min(0).max(20_000).default(0).describe('How long to wait for more'),
        }),
      },
      responses: {
        200: json(z.object({ text: z.string(), offset: z.number(), ended: z.boolean() }), 'A piece of output'),
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const { offset, waitMs } = c.req.valid('query');
      const run = await readRun(store, id);
      if (run === undefined) throw taskProblems.make('no-run', { run: String(id) });
      if (run.endedAt !== null)
        return c.json({ text: offset === 0 ? await readTail(store, id) : '', offset, ended: true }, 200);
      if (run.server === null || run.state === 'queued')
        throw taskProblems.make('no-output', { run: id, state: run.state });
      const timeoutMs = waitMs + OUTPUT_CALL_MS;
      const piece = await parts.agents.call(
        run.server,
        'runs.follow',
        { id, offset, waitMs },
        { timeoutMs, signal: c.req.raw.signal },
      );
      return c.json(piece, 200);
    },
  );
  return routes;
}
