// Sites that leave as a file and come from one, over HTTP: exports, uploads, imports.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import {
  type ApiRoutes,
  accepted,
  answerAccepted,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  needsScope,
  planSchema,
  whoOf,
} from '../../platform/http.ts';
import { beginOrPlan, planned } from '../../platform/plan-change.ts';
import type { SiteParts } from '../parts.ts';
import { beginAdoption, newAdoptionSchema, planAdoption } from './adopt.ts';
import { beginExport, openExport } from './export.ts';
import { beginImport, newImportSchema, planImport } from './import.ts';
import { beginUpload, readUpload, removeUpload, writePiece } from './uploads.ts';

const nameParam = z.object({ name: z.string() });
const idParam = z.object({ id: z.string() });
const uploadSchema = z.object({ id: z.string(), bytes: z.number().describe('That have come') }).openapi('Upload');
const binary = { 'application/octet-stream': { schema: z.any().openapi({ type: 'string', format: 'binary' }) } };
/** Largest upload: what a file system of today holds of one site. */
const MOST_BYTES = 2 ** 44;

/** /v1/sites/{name}/export, …/snapshots/{number}/export, /v1/uploads and /v1/sites/import. */
export function makeTransferRoutes(parts: SiteParts): ApiRoutes {
  const folder = parts.uploadsDir;
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sites/{name}/export',
      operationId: 'exportSite',
      tags: ['sites'],
      summary: 'Get a site ready to be fetched as one file: a snapshot, packed; it goes by itself after a day',
      middleware: [needsScope('admin')],
      request: { query: dryRunQuery, params: nameParam },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) =>
      beginOrPlan(
        c,
        parts.store,
        (store) => beginExport({ ...parts, store }, c.req.valid('param').name, whoOf(c)),
        () => ({ plan: ['It serves on. The file can be fetched for a day.'] }),
      ),
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sites/{name}/snapshots/{number}/export',
      operationId: 'readExport',
      tags: ['sites'],
      summary: 'The file of an export, with secrets that its data need',
      middleware: [needsScope('admin')],
      request: { params: nameParam.extend({ number: z.coerce.number().int().min(1) }) },
      responses: { 200: { description: 'A tar archive', content: binary } },
    }),
    async (c) => {
      const { name, number } = c.req.valid('param');
      const gone = new AbortController();
      const { bytes, pieces } = await openExport(parts, name, number, gone.signal);
      const all = pieces[Symbol.asyncIterator]();
      // Piece by piece as the client takes them; whoever goes away ends the reading.
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          const { done, value } = await all.next();
          if (done === true) controller.close();
          else controller.enqueue(value);
        },
        cancel: () => gone.abort(),
      });
      return c.body(body, 200, { 'Content-Type': 'application/octet-stream', 'Content-Length': `${bytes}` }) as never;
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/uploads',
      operationId: 'beginUpload',
      tags: ['sites'],
      summary: 'Begin to send a file that is to be imported',
      request: { body: jsonBody(z.object({ bytes: z.int().min(1).max(MOST_BYTES) })) },
      responses: { 201: json(uploadSchema, 'The upload, empty') },
    }),
    async (c) => c.json(await beginUpload(folder, c.req.valid('json').bytes), 201),
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/uploads/{id}',
      operationId: 'readUpload',
      tags: ['sites'],
      summary: 'How much of it has come',
      request: { params: idParam },
      responses: { 200: json(uploadSchema, 'The upload') },
    }),
    async (c) => c.json(await readUpload(folder, c.req.valid('param').id), 200),
  );
  routes.openapi(
    createRoute({
      method: 'put',
      path: '/v1/uploads/{id}',
      operationId: 'writeUpload',
      tags: ['sites'],
      summary: 'Send a piece of at most 1 MiB, which begins at `offset`',
      request: {
        params: idParam,
        query: z.object({ offset: z.coerce.number().int().min(0) }),
        body: { required: true, content: binary },
      },
      responses: { 200: json(uploadSchema, 'The upload') },
    }),
    async (c) => {
      const piece = new Uint8Array(await c.req.arrayBuffer());
      return c.json(await writePiece(folder, c.req.valid('param').id, c.req.valid('query').offset, piece), 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/uploads/{id}',
      operationId: 'deleteUpload',
      tags: ['sites'],
      summary: 'Forget an upload',
      request: { params: idParam },
      responses: { 204: { description: 'It is gone' } },
    }),
    async (c) => {
      await removeUpload(folder, c.req.valid('param').id);
      return c.body(null, 204);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sites/import',
      operationId: 'importSite',
      tags: ['sites'],
      summary: 'Make a site from the file of an exported one; its mail is held back',
      request: { query: dryRunQuery, body: jsonBody(newImportSchema) },
      responses: { 200: json(planSchema, 'What would happen, for a dry run'), 202: accepted },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      if (c.req.valid('query').dryRun)
        return c.json({ plan: await planImport(parts, wish), sites: [], pauseS: 0 }, 200);
      return answerAccepted(c, await beginImport(parts, wish, whoOf(c)));
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sites/adopt',
      operationId: 'adoptSite',
      tags: ['sites'],
      summary: 'Make a site from a dump and the files of an installation from elsewhere; its mail is held back',
      request: { query: dryRunQuery, body: jsonBody(newAdoptionSchema) },
      responses: { 200: json(planSchema, 'What would happen, for a dry run'), 202: accepted },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      if (!c.req.valid('query').dryRun) return answerAccepted(c, await beginAdoption(parts, wish, whoOf(c)));
      return c.json({ plan: await planAdoption(parts, wish, c.req.raw.signal), sites: [], pauseS: 0 }, 200);
    },
  );
  return routes;
}
