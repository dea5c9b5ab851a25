// Bakes an image with a site's own code: the app's newest image, and over it the files of a repository or a folder. Only a
// pool that is dedicated to the site may have it. Where the code came from is written down with the image.
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { RecipeSite } from '../apps/recipe.ts';
import { commonProblems } from '../lib/errors.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type StepContext,
} from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { assertSource, type CodeSource, fetchCode } from './fetch-code.ts';
import {
  COMMAND_MS,
  type Described,
  describeAndFinish,
  dropUnregistered,
  publish,
  runIn,
  waitOnline,
} from './finish-bake.ts';
import { type ImageParts, imageLock } from './parts.ts';
import { imageProblems } from './problems.ts';
import { findBakeable } from './recipes.ts';
import { type CodeOrigin, nameOf, readNewest } from './store.ts';

/** What a person says of a site's own code. Without `from`: where it came from the last time. */
export const newCodeSchema = z.strictObject({
  from: z.string().min(1).max(2000).optional().describe('Address of a Git repository, or an absolute path here'),
  ref: z.string().min(1).max(200).regex(/^[^-]/, 'must not begin with "-"').optional(),
});
export type NewCode = z.infer<typeof newCodeSchema>;

const paramsSchema = z.object({
  site: z.string(),
  name: z.string(),
  recipe: z.string(),
  source: z.string(),
  ref: z.string().nullable(),
});
type Params = z.infer<typeof paramsSchema>;

const FETCH_MS = 900_000;

/** Where the last code of a site came from. */
const readOrigin = async (sql: Sql, recipe: string, site: string): Promise<CodeOrigin | null> =>
  (await readNewest(sql, recipe, site))?.code ?? null;

/** Looks at the wish before anything begins: the app must say where code goes, and the source must be there. */
export async function planCode(
  parts: ImageParts,
  sql: Sql,
  site: { id: string; name: string; app: string },
  wish: NewCode,
): Promise<Params> {
  const { app: recipe, id, name } = site;
  if (readPlace(parts, recipe) === undefined) throw imageProblems.make('no-code-place', { app: recipe });
  if ((await readNewest(sql, recipe)) === undefined) throw imageProblems.make('none', { recipe });
  const last = await readOrigin(sql, recipe, id);
  const source = wish.from ?? last?.source;
  if (source === undefined) throw imageProblems.make('no-code-yet', { site: name });
  const from: CodeSource = { source, ref: wish.ref ?? (wish.from === undefined ? (last?.ref ?? null) : null) };
  await assertSource(from);
  return { site: id, name, recipe, ...from };
}

/** Begins `code.bake` in the caller's transaction. */
export function startCodeBake(parts: ImageParts, sql: Sql, params: Params, who: Asker): Promise<Operation> {
  return parts.operations.start(sql, 'code.bake', params, who);
}

const readPlace = (parts: ImageParts, recipe: string): RecipeSite['code'] =>
  findBakeable(parts.shelf, recipe).recipe?.value.site?.code;

/** Lays a tar from standard input over the app's code, without what belongs to Espalier. */
export function renderOverlay({ root, keep }: NonNullable<RecipeSite['code']>): string[] {
  const excluded = keep.flatMap((path) => [`--exclude=./${path}`, `--exclude=${path}`]);
  return ['tar', '-C', root, '--no-overwrite-dir', '--keep-directory-symlink', '--anchored', ...excluded, '-xf', '-'];
}

/** The operation `code.bake`. */
export function makeCodeBake(parts: ImageParts): OperationKind<Params> {
  const { store, fleet, scratchDir } = parts;
  return makeOperation<Params>({
    kind: 'code.bake',
    params: paramsSchema,
    locks: ({ recipe }) => [imageLock(recipe)],
    title: ({ name, recipe }) => `Bake an image of ${recipe} with the code of ${name}`,
    steps: ({ site, recipe, source, ref }) => {
      const instance = `bake-${recipe}`;
      const where = { recipe, instance };
      const pathOf = (operation: string) => join(scratchDir, `code-${operation}`);
      const dropTar = (operation: string) => rm(`${pathOf(operation)}.tar`, { force: true });
      const drop = ({ signal }: StepContext) => fleet.instances.delete(instance, { force: true, signal });
      const fetch = async (from: CodeSource, { operationId, signal }: StepContext): Promise<CodeOrigin> => {
        await mkdir(scratchDir, { recursive: true });
        const path = pathOf(operationId);
        return fetchCode(from, { to: `${path}.tar`, work: path }, signal);
      };
      return [
        {
          name: 'fetch',
          timeoutMs: FETCH_MS,
          async do(ctx) {
            const origin = await fetch({ source, ref }, ctx);
            ctx.say(`${origin.commit}: ${origin.subject}`);
            return { ...origin };
          },
          undo: ({ operationId }) => dropTar(operationId),
        },
        {
          name: 'container',
          timeoutMs: 120_000,
          async do(ctx) {
            const image = await readNewest(store, recipe);
            if (image === undefined) throw imageProblems.make('none', { recipe });
            await drop(ctx);
            const spec = {
              name: instance,
              source: { image: image.fingerprint },
              labels: { kind: 'bake', recipe },
              devices: { eth0: { kind: 'nic' as const } },
              start: true,
            };
            await fleet.instances.create(spec, { signal: ctx.signal });
            return { parent: nameOf(image) };
          },
          undo: drop,
        },
        {
          name: 'files',
          timeoutMs: COMMAND_MS,
          async do(ctx) {
            const place = readPlace(parts, recipe);
            if (place === undefined)
              throw commonProblems.make('not-found', { noun: 'place for code of', name: recipe });
            await waitOnline(parts, where, ctx);
            const tar = await readFile(`${pathOf(ctx.operationId)}.tar`);
            await runIn(parts, where, 'laying the code over the app', renderOverlay(place), ctx, { stdin: tar });
            return await describeAndFinish(parts, findBakeable(parts.shelf, recipe), instance, ctx);
          },
        },
        {
          name: 'publish',
          timeoutMs: 600_000,
          do(ctx) {
            const { parent } = ctx.outputs.container as { parent: string };
            const code = ctx.outputs.fetch as unknown as CodeOrigin;
            // No recipe's hash: the recipe alone would not give this image.
            const own = { hash: `code:${code.commit}`, seed: null, ownSite: site, code };
            const about = { bakeable: findBakeable(parts.shelf, recipe), instance, parent, ...own };
            return publish(parts, about, ctx.outputs.files as unknown as Described, ctx);
          },
          undo: (ctx) => dropUnregistered(parts, ctx),
        },
        {
          name: 'clean',
          timeoutMs: 60_000,
          async do(ctx) {
            await drop(ctx);
            await dropTar(ctx.operationId);
          },
        },
      ];
    },
  });
}
