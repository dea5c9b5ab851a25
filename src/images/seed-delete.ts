// Deletes a seed with whatever was changed in it. Images that were baked from it stay.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { type ImageParts, seedLock } from './parts.ts';
import { imageProblems } from './problems.ts';
import { deleteSeed, readSeed, seedInstance, storeSeedState } from './seed-store.ts';

const paramsSchema = z.object({ seed: z.string() });
type Params = z.infer<typeof paramsSchema>;

/** Begins `seed.delete` in the caller's transaction. */
export async function startSeedDelete(parts: ImageParts, sql: Sql, name: string, who: Asker): Promise<Operation> {
  if ((await readSeed(sql, name)) === undefined) throw commonProblems.make('not-found', { noun: 'seed', name });
  const site = await parts.readStaged(sql, seedInstance(name));
  if (site !== undefined) throw imageProblems.make('seed-stages', { seed: name, site });
  const operation = await parts.operations.start(sql, 'seed.delete', { seed: name }, who);
  await storeSeedState(sql, name, 'deleting');
  return operation;
}

/** The operation `seed.delete`. A seed whose container is gone stays half deleted when the rest fails, to be deleted again. */
export function makeSeedDelete(parts: ImageParts): OperationKind<Params> {
  const { store, fleet, events } = parts;
  return makeOperation<Params>({
    kind: 'seed.delete',
    params: paramsSchema,
    locks: ({ seed }) => [seedLock(seed)],
    title: ({ seed }) => `Delete the seed ${seed}`,
    steps: ({ seed }) => [
      {
        name: 'container',
        timeoutMs: 120_000,
        do: ({ signal }) => fleet.instances.delete(seedInstance(seed), { force: true, signal }),
        async undo({ signal }) {
          if ((await fleet.instances.read(seedInstance(seed), { signal })) === undefined) return;
          await storeSeedState(store, seed, 'ready');
        },
      },
      {
        name: 'forget',
        timeoutMs: 10_000,
        async do({ operationId }) {
          await store.transaction(async (sql) => {
            await deleteSeed(sql, seed);
            await events.append(sql, { kind: 'seed.deleted', subject: seedLock(seed), by: `operation:${operationId}` });
          });
        },
      },
    ],
  });
}
