// Makes a server's container anew from the newest image, with its data kept; sites wait for some seconds. When the new
// one does not answer, the old image comes back.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { bringUp, readPlaced } from './container.ts';
import { makeContainerStep, makeHealthyStep } from './create.ts';
import { type ServiceEngine, type ServiceParts, serviceLock } from './kind.ts';
import { readService, storeServiceImage } from './store.ts';

const paramsSchema = z.object({ name: z.string(), from: z.string(), to: z.string() });
type Params = z.infer<typeof paramsSchema>;

/** Begins `database.renew` or `cache.renew` in the caller's transaction. `image`: fingerprint of the image to come. */
export async function startServiceRenew<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  sql: Sql,
  wish: { name: string; image: string },
  who: Asker,
): Promise<Operation> {
  const { noun } = parts.kind;
  const service = await readService(sql, noun, wish.name);
  if (service === undefined) throw commonProblems.make('not-found', { noun, name: wish.name });
  if (service.image === null || service.state !== 'ready') throw parts.problems.make('not-ready', service);
  return parts.operations.start(sql, `${noun}.renew`, { name: wish.name, from: service.image, to: wish.image }, who);
}

/** The operation `database.renew` or `cache.renew`. */
export function makeServiceRenew<E extends ServiceEngine>(parts: ServiceParts<E>): OperationKind<Params> {
  const { noun } = parts.kind;
  return makeOperation<Params>({
    kind: `${noun}.renew`,
    params: paramsSchema,
    locks: ({ name }) => [serviceLock(noun, name)],
    title: ({ name }) => `Renew the ${noun} server ${name}`,
    steps: ({ name, from, to }) => [
      {
        name: 'image',
        timeoutMs: 10_000,
        do: () => storeServiceImage(parts.store, noun, name, to),
        async undo({ signal }) {
          await storeServiceImage(parts.store, noun, name, from);
          await bringUp(parts, await readPlaced(parts, name), signal);
        },
      },
      makeContainerStep(parts, name),
      makeHealthyStep(parts, name),
    ],
  });
}
