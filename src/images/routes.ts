// Images, and the apps that they are baked from, over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { recipeSchema } from '../apps/recipe.ts';
import { commonProblems } from '../lib/errors.ts';
import {
  type ApiRoutes,
  accepted,
  answerAccepted,
  json,
  jsonBody,
  makeRoutes,
  pageOf,
  whoOf,
} from '../platform/http.ts';
import { assertDisk } from '../servers/room.ts';
import { startBake } from './bake.ts';
import type { ImageParts } from './parts.ts';
import { type ImageRow, listImages, readNewest } from './store.ts';

const imageSchema = z
  .object({
    /** `recipe/number`. */
    name: z.string(),
    recipe: z.string(),
    number: z.number(),
    appVersion: z.string(),
    fingerprint: z.string(),
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
  })
  .openapi('App');

const toView = (image: ImageRow): z.infer<typeof imageSchema> => ({
  name: `${image.recipe}/${image.number}`,
  recipe: image.recipe,
  number: image.number,
  appVersion: image.appVersion,
  fingerprint: image.fingerprint,
  packageCount: Object.keys(image.packages).length,
  createdAt: image.createdAt,
});

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
    async (c) => c.json({ items: (await listImages(store)).map(toView) }, 200),
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/images/{recipe}/{number}',
      operationId: 'readImage',
      tags: ['images'],
      summary: 'Read one image with its packages',
      request: { params: z.object({ recipe: z.string(), number: z.coerce.number().int() }) },
      responses: { 200: json(imageSchema.extend({ packages: z.record(z.string(), z.string()) }), 'The image') },
    }),
    async (c) => {
      const { recipe, number } = c.req.valid('param');
      const image = (await listImages(store, recipe)).find((one) => one.number === number);
      if (image === undefined) throw commonProblems.make('not-found', { noun: 'image', name: `${recipe}/${number}` });
      return c.json({ ...toView(image), packages: image.packages }, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/images',
      operationId: 'bakeImage',
      tags: ['images'],
      summary: 'Bake an image from its recipe',
      request: { body: jsonBody(z.object({ recipe: z.string() })) },
      responses: { 202: accepted },
    }),
    async (c) => {
      const { recipe } = c.req.valid('json');
      await assertDisk(parts.fleet, BAKE_DISK_MB);
      const operation = await store.transaction((sql) => startBake(parts, sql, recipe, whoOf(c)));
      return answerAccepted(c, operation);
    },
  );
  return routes;
}
