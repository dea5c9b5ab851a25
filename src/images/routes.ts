// Images, and the apps that they are baked from, over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { recipeSchema } from '../apps/recipe.ts';
import { commonProblems } from '../lib/errors.ts';
import {
  type ApiRoutes,
  accepted,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  pageOf,
  planSchema,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned, planOf, rehearsing } from '../platform/plan-change.ts';
import type { Sql } from '../platform/store.ts';
import { assertDisk } from '../servers/room.ts';
import { startBake } from './bake.ts';
import { compareImages, differenceSchema, readNamed } from './compare.ts';
import { readUses, startImageDelete } from './keep.ts';
import { type ImageParts, oneImageLock } from './parts.ts';
import { startRefresh } from './refresh.ts';
import { type ImageRow, listImages, nameOf, readNewest, storeKept } from './store.ts';

const imageSchema = z
  .object({
    /** `recipe/number`. */
    name: z.string(),
    recipe: z.string(),
    number: z.number(),
    appVersion: z.string(),
    fingerprint: z.string(),
    state: z.enum(['ready', 'deleting']),
    parent: z.string().nullable().describe('The image below it'),
    ownSite: z.string().nullable().describe('The id of the only site for which it is; null: for everybody'),
    code: z
      .object({ source: z.string(), ref: z.string().nullable(), commit: z.string(), subject: z.string() })
      .nullable()
      .describe("Where that site's own code came from"),
    seed: z.string().nullable().describe('The seed that a person baked it from; null: from the recipe alone'),
    recipeHash: z.string().describe('Of the recipe and everything below it, as it was baked'),
    filesHash: z.string().nullable().describe('Alike for images with the same files; null of layers'),
    usedBy: z.array(z.string()),
    keptBecause: z.string().nullable(),
    packageCount: z.number(),
    createdAt: z.string(),
  })
  .openapi('Image');

const appSchema = z
  .object({
    name: z.string(),
    title: z.string(),
    status: z.enum(['tried', 'untried']),
    base: z.string(),
    /** The newest image, if there is one. */
    imageNumber: z.number().nullable(),
    appVersion: z.string().nullable(),
    settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    tasks: recipeSchema.shape.tasks,
    importPaths: z
      .array(z.string())
      .describe('What is taken of an installation from elsewhere; none: it is not taken in'),
  })
  .openapi('App');

const detailSchema = imageSchema
  .extend({
    packages: z.record(z.string(), z.string()),
    sameFilesAs: z.array(z.string()).describe('Other images of the recipe with exactly these files'),
    sinceLast: differenceSchema.nullable().describe('What changed since the image before it'),
  })
  .openapi('ImageDetail');

const toView = (image: ImageRow, usedBy: readonly string[]): z.infer<typeof imageSchema> => ({
  name: nameOf(image),
  recipe: image.recipe,
  number: image.number,
  appVersion: image.appVersion,
  fingerprint: image.fingerprint,
  state: image.state,
  parent: image.parent,
  ownSite: image.ownSite,
  code: image.code,
  seed: image.seed,
  recipeHash: image.hash,
  filesHash: image.filesHash,
  usedBy: [...usedBy],
  keptBecause: image.keptBecause,
  packageCount: Object.keys(image.packages).length,
  createdAt: image.createdAt,
});

const numbered = z.object({ recipe: z.string(), number: z.coerce.number().int() });

/** A seed with its packages, the image made from it, and the file in between. */
const BAKE_DISK_MB = 2048;

/** /v1/images and /v1/apps. */
export function makeImageRoutes(parts: ImageParts): ApiRoutes {
  const { store, shelf } = parts;
  const routes = makeRoutes();

  const viewApps = (): Promise<z.infer<typeof appSchema>[]> =>
    Promise.all(
      shelf.recipes
        .filter((recipe) => recipe.kind === 'app')
        .map(async ({ value }) => {
          const newest = await readNewest(store, value.name);
          return {
            name: value.name,
            title: value.title,
            status: value.status,
            base: value.base,
            imageNumber: newest?.number ?? null,
            appVersion: newest?.appVersion ?? null,
            settings: value.site?.settings ?? {},
            tasks: value.tasks,
            importPaths: [
              ...(value.site?.import?.files.map(({ from }) => from) ?? []),
              ...(value.site?.import?.texts ?? []),
            ],
          };
        }),
    );

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/apps',
      operationId: 'listApps',
      tags: ['apps'],
      summary: 'List apps',
      responses: { 200: json(pageOf(appSchema), 'All apps') },
    }),
    async (c) => c.json({ items: await viewApps() }, 200),
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/apps/{name}',
      operationId: 'readApp',
      tags: ['apps'],
      summary: 'Read one app',
      request: { params: z.object({ name: z.string() }) },
      responses: { 200: json(appSchema, 'The app') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const app = (await viewApps()).find((one) => one.name === name);
      if (app === undefined) throw commonProblems.make('not-found', { noun: 'app', name });
      return c.json(app, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/images',
      operationId: 'listImages',
      tags: ['images'],
      summary: 'List images, the newest of each recipe first',
      responses: { 200: json(pageOf(imageSchema), 'All images') },
    }),
    async (c) => {
      const images = await listImages(store);
      const uses = await readUses(parts, store, images);
      return c.json({ items: images.map((image) => toView(image, uses.get(nameOf(image)) ?? [])) }, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/images/{recipe}/{number}',
      operationId: 'readImage',
      tags: ['images'],
      summary: 'Read one image: its packages, and what changed since the one before',
      request: { params: numbered },
      responses: { 200: json(detailSchema, 'The image') },
    }),
    async (c) => {
      const { recipe, number } = c.req.valid('param');
      const image = await readNamed(parts, recipe, number);
      const all = await listImages(store, recipe);
      const before = all.find((one) => one.number < number);
      const isAlike = (one: ImageRow) => one.filesHash !== null && one.filesHash === image.filesHash;
      return c.json(
        {
          ...toView(image, (await readUses(parts, store, [image])).get(nameOf(image)) ?? []),
          sameFilesAs: all.filter((one) => isAlike(one) && one.number !== number).map(nameOf),
          sinceLast: before === undefined ? null : await compareImages(parts, before, image),
          packages: image.packages,
        },
        200,
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/images/{recipe}/{number}/diff',
      operationId: 'diffImages',
      tags: ['images'],
      summary: 'What changed from another image of the recipe to this one',
      request: { params: numbered, query: z.object({ from: z.coerce.number().int().describe('Its number') }) },
      responses: { 200: json(differenceSchema, 'Packages and files') },
    }),
    async (c) => {
      const { recipe, number } = c.req.valid('param');
      const from = await readNamed(parts, recipe, c.req.valid('query').from);
      return c.json(await compareImages(parts, from, await readNamed(parts, recipe, number)), 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'patch',
      path: '/v1/images/{recipe}/{number}',
      operationId: 'keepImage',
      tags: ['images'],
      summary: 'Keep an image, or leave it to the rule again',
      request: {
        query: dryRunQuery,
        params: numbered,
        body: jsonBody(z.object({ keep: z.boolean(), why: z.string().min(1).max(500).optional() })),
      },
      responses: { 200: json(z.union([imageSchema, planSchema]), 'The image') },
    }),
    async (c) => {
      const { recipe, number } = c.req.valid('param');
      const { keep, why } = c.req.valid('json');
      const { by, reason } = whoOf(c);
      const change = async (sql: Sql): Promise<void> => {
        const because = keep ? (why ?? reason ?? `${by} wants it kept`) : null;
        if (!(await storeKept(sql, recipe, number, because)))
          throw commonProblems.make('not-found', { noun: 'image', name: nameOf({ recipe, number }) });
        const kind = keep ? 'image.kept' : 'image.not-kept';
        const event = { kind, subject: oneImageLock(recipe, number), by };
        await parts.events.append(sql, because === null ? event : { ...event, reason: because });
      };
      const plan = await planOf(c, () => rehearsing(store).transaction(change), {
        plan: [keep ? 'The image is kept whatever the rule says.' : 'The image is left to the rule again.'],
      });
      if (plan !== undefined) return c.json(plan, 200);
      await store.transaction(change);
      const image = await readNamed(parts, recipe, number);
      return c.json(toView(image, (await readUses(parts, store, [image])).get(nameOf(image)) ?? []), 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/images/{recipe}/{number}',
      operationId: 'deleteImage',
      tags: ['images'],
      summary: 'Delete an image that nothing uses',
      request: { query: dryRunQuery, params: numbered },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const which = c.req.valid('param');
      return beginOrPlan(c, store, (s) => s.transaction((sql) => startImageDelete(parts, sql, which, whoOf(c))));
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/images/refresh',
      operationId: 'refreshImages',
      tags: ['images'],
      summary: 'Bake images anew from the base up, with the newest packages',
      request: {
        query: dryRunQuery,
        body: jsonBody(
          z.object({
            recipe: z.string().optional().describe('Only this one; all that have an image unless told'),
            leaveOutSeeds: z.boolean().default(false).describe('Also where the newest image was baked from a seed'),
          }),
        ),
      },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      await assertDisk(parts.fleet, BAKE_DISK_MB);
      return beginOrPlan(c, store, (s) => s.transaction((sql) => startRefresh(parts, sql, wish, whoOf(c))));
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/images',
      operationId: 'bakeImage',
      tags: ['images'],
      summary: 'Bake an image from its recipe',
      request: { query: dryRunQuery, body: jsonBody(z.object({ recipe: z.string() })) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { recipe } = c.req.valid('json');
      await assertDisk(parts.fleet, BAKE_DISK_MB);
      return beginOrPlan(c, store, (s) => s.transaction((sql) => startBake(parts, sql, recipe, whoOf(c))));
    },
  );
  return routes;
}
