// Removes a database server or cache server with all its data: only one that no site lives on, and whose backups, if it
// holds some, may go too.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { releaseAddresses } from '../servers/addresses.ts';
import { hasData, removeContainer, removeVolumes } from './container.ts';
import { adminSecret, type ServiceEngine, type ServiceParts, serviceLock } from './kind.ts';
import { deleteService, readService, type ServiceRow, storeServiceState } from './store.ts';

const paramsSchema = z.object({ name: z.string(), deleteBackups: z.boolean() });
type Params = z.infer<typeof paramsSchema>;

/** Begins `database.remove` or `cache.remove` in the caller's transaction. */
export async function startServiceRemove<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  sql: Sql,
  wish: Params,
  who: Asker,
): Promise<Operation> {
  const { noun } = parts.kind;
  const service = await readService(sql, noun, wish.name);
  if (service === undefined) throw commonProblems.make('not-found', { noun, name: wish.name });
  await assertNoSites(parts, sql, wish.name);
  return parts.operations.start(sql, `${noun}.remove`, wish, who);
}

/** The operation `database.remove` or `cache.remove`. */
export function makeServiceRemove<E extends ServiceEngine>(parts: ServiceParts<E>): OperationKind<Params> {
  const { store, secrets, events } = parts;
  const { noun } = parts.kind;
  const withService = async <T>(name: string, work: (service: ServiceRow) => Promise<T>): Promise<T | undefined> => {
    const service = await readService(store, noun, name);
    return service === undefined ? undefined : await work(service);
  };
  return makeOperation<Params>({
    kind: `${noun}.remove`,
    params: paramsSchema,
    locks: ({ name }) => [serviceLock(noun, name)],
    title: ({ name }) => `Remove the ${noun} server ${name}`,
    steps: ({ name, deleteBackups }) => [
      {
        name: 'close',
        timeoutMs: 60_000,
        async do({ signal }) {
          if (!deleteBackups) await withService(name, (service) => assertNoBackups(parts, service, signal));
          await store.transaction(async (sql) => {
            await assertNoSites(parts, sql, name);
            const from = ['creating', 'ready', 'unhealthy', 'deleting'] as const;
            await storeServiceState(sql, noun, name, { from, to: 'deleting', reason: 'it is being removed' });
          });
        },
        async undo({ signal }) {
          const kept = await withService(name, (service) => hasData(parts, service, signal));
          const [to, reason] =
            kept === true
              ? (['unhealthy', 'its removal failed; it is looked after again'] as const)
              : (['deleting', 'its removal failed after its data was gone; remove it again'] as const);
          await storeServiceState(store, noun, name, { from: ['deleting'], to, reason });
        },
      },
      {
        name: 'container',
        timeoutMs: 600_000,
        do: ({ signal }) => withService(name, (service) => removeContainer(parts, service, signal)),
      },
      {
        name: 'volumes',
        timeoutMs: 120_000,
        do: ({ signal }) => withService(name, (service) => removeVolumes(parts, service, signal)),
      },
      {
        name: 'forget',
        timeoutMs: 10_000,
        async do() {
          await store.transaction(async (sql) => {
            const service = await readService(sql, noun, name);
            if (service === undefined) return;
            await deleteService(sql, noun, name);
            await releaseAddresses(sql, service.instance);
            await secrets.remove(sql, adminSecret(noun, name));
            await events.append(sql, { kind: `${noun}.removed`, subject: serviceLock(noun, name), by: 'operation' });
          });
        },
      },
    ],
  });
}

async function assertNoSites<E extends ServiceEngine>(parts: ServiceParts<E>, sql: Sql, name: string): Promise<void> {
  const sites = (await parts.countSites(sql)).get(name) ?? 0;
  if (sites > 0) throw parts.problems.make('in-use', { name, sites });
}

async function assertNoBackups<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  service: ServiceRow,
  signal: AbortSignal,
): Promise<void> {
  const { backupsPath } = parts.kind;
  // Nothing can be looked at, and nothing is left to lose, when an earlier removal took the volumes.
  if (backupsPath === undefined || !(await hasData(parts, service, signal))) return;
  const { stdout } = await parts.fleet.exec(service.instance, ['find', backupsPath, '-type', 'f'], { signal });
  const files = stdout.split('\n').filter((line) => line !== '').length;
  if (files > 0) throw parts.problems.make('holds-backups', { name: service.name, files });
}
