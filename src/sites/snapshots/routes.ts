// Snapshots of sites over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../../lib/errors.ts';
import {
  type ApiRoutes,
  accepted,
  answerAccepted,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  pageOf,
  whoOf,
} from '../../platform/http.ts';
import { beginOrPlan, planned } from '../../platform/plan-change.ts';
import type { SiteParts } from '../parts.ts';
import { readSite } from '../store.ts';
import { beginRestore, planRestore } from './restore.ts';
import { beginDeleteSnapshot, beginSnapshot } from './snapshot.ts';
import { listSnapshots } from './store.ts';

const snapshotSchema = z
  .object({
    number: z.number(),
    state: z.enum(['taking', 'ready', 'removing']),
    reason: z.string(),
    madeBy: z.string(),
    databaseBytes: z.number().nullable().describe('Of the compressed dump'),
    filesBytes: z.number().nullable().describe('Of the files as they read; the disk holds shared blocks once'),
    hosts: z.array(z.string()),
    image: z.string().describe('Of its pool at that time'),
    createdAt: z.string(),
  })
  .openapi('Snapshot');

const nameParam = z.object({ name: z.string() });

/** /v1/sites/{name}/snapshots… and /v1/sites/{name}/restore. */
export function makeSnapshotRoutes(parts: SiteParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sites/{name}/snapshots',
      operationId: 'listSnapshots',
      tags: ['sites'],
      summary: "List a site's snapshots, the newest first",
      request: { params: nameParam },
      responses: { 200: json(pageOf(snapshotSchema), 'All of them') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const site = await readSite(store, name);
      if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
      const items = (await listSnapshots(store, site.id)).map((one) => {
        const { number, state, reason, madeBy, filesBytes, hosts, createdAt } = one;
        const image = `${site.app}/${one.imageNumber}`;
        return {
          ...{ number, state, reason, madeBy, filesBytes, hosts, createdAt, image },
          databaseBytes: one.dump?.bytes ?? null,
        };
      });
      return c.json({ items }, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sites/{name}/snapshots',
      operationId: 'takeSnapshot',
      tags: ['sites'],
      summary: 'Keep what a site holds at one moment, database and files, while it serves on',
      request: { query: dryRunQuery, params: nameParam },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) =>
      beginOrPlan(
        c,
        parts.store,
        (store) => beginSnapshot({ ...parts, store }, c.req.valid('param').name, whoOf(c)),
        () => ({ plan: ['It serves on. Its files share their blocks with the copy where the storage can.'] }),
      ),
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/sites/{name}/snapshots/{number}',
      operationId: 'deleteSnapshot',
      tags: ['sites'],
      summary: 'Delete a snapshot',
      request: { query: dryRunQuery, params: nameParam.extend({ number: z.coerce.number().int().min(1) }) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name, number } = c.req.valid('param');
      return beginOrPlan(c, parts.store, (store) => beginDeleteSnapshot({ ...parts, store }, name, number, whoOf(c)));
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sites/{name}/restore',
      operationId: 'restoreSite',
      tags: ['sites'],
      summary: 'Put a site back to a snapshot; what it held is kept as a snapshot first',
      request: {
        params: nameParam,
        query: dryRunQuery,
        body: jsonBody(z.object({ snapshot: z.int().min(1) })),
      },
      responses: { 200: planned, 202: accepted },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const { snapshot } = c.req.valid('json');
      if (c.req.valid('query').dryRun)
        return c.json({ plan: await planRestore(parts, name, snapshot), sites: [name], pauseS: 0 }, 200);
      return answerAccepted(c, await beginRestore(parts, name, snapshot, whoOf(c)));
    },
  );
  return routes;
}
