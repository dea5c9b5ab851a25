// The operations for people who want a snapshot, and who want one no longer.
import { z } from 'zod';
import { commonProblems } from '../../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../../platform/operations/operation.ts';
import { type SiteParts, siteLock } from '../parts.ts';
import { siteProblems } from '../problems.ts';
import { readSite, type SiteRow } from '../store.ts';
import { snapshotProblems } from './problems.ts';
import { listSnapshots, readSnapshot } from './store.ts';
import { assertRoomForSnapshot, makeSnapshotStep, readPlacedSite, removeSnapshot, SNAPSHOT_MS } from './take.ts';

const paramsSchema = z.object({ site: z.string(), name: z.string(), reason: z.string(), by: z.string() });
type Params = z.infer<typeof paramsSchema>;
const removeSchema = z.object({ site: z.string(), name: z.string(), number: z.int() });
type RemoveParams = z.infer<typeof removeSchema>;

/** The site, when it is ready or suspended; otherwise the problem. */
export async function readQuietSite(parts: SiteParts, idOrName: string, verb: string): Promise<SiteRow> {
  const site = await readSite(parts.store, idOrName);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: idOrName });
  if (site.state === 'ready' || site.state === 'suspended') return site;
  throw siteProblems.make('wrong-state', { site: site.name, state: site.state, verb, needed: 'ready or suspended' });
}

/** Begins `site.snapshot`; refused when the site has too many or the disk is nearly full. */
export async function beginSnapshot(parts: SiteParts, idOrName: string, who: Asker): Promise<Operation> {
  const { id, name } = await readQuietSite(parts, idOrName, 'take a snapshot of');
  await assertRoomForSnapshot(parts, await readPlacedSite(parts, id));
  const params = { site: id, name, reason: who.reason ?? 'a person asked for it', by: who.by };
  return parts.store.transaction((sql) => parts.operations.start(sql, 'site.snapshot', params, who));
}

/** The operation `site.snapshot`. The site serves on. */
export function makeSiteSnapshot(parts: SiteParts): OperationKind<Params> {
  return makeOperation<Params>({
    kind: 'site.snapshot',
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name }) => `Take a snapshot of ${name}`,
    steps: ({ site, name, reason, by }) => [
      makeSnapshotStep(parts, { site, reason, by }),
      {
        name: 'note',
        timeoutMs: 10_000,
        async do({ outputs }) {
          const { number } = outputs.snapshot as { number: number };
          const about = { subject: siteLock(site), by: 'operation', reason, data: { name, number } };
          await parts.events.append(parts.store, { kind: 'site.snapshot-taken', ...about });
        },
      },
    ],
  });
}

/** Begins `site.delete-snapshot`. */
export async function beginDeleteSnapshot(
  parts: SiteParts,
  idOrName: string,
  number: number,
  who: Asker,
): Promise<Operation> {
  const { store } = parts;
  const site = await readSite(store, idOrName);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: idOrName });
  if ((await readSnapshot(store, site.id, number)) === undefined) {
    const known = (await listSnapshots(store, site.id)).map((one) => `${one.number}`).join(', ') || 'none';
    throw snapshotProblems.make('none', { site: site.name, number, known });
  }
  const params = { site: site.id, name: site.name, number };
  return store.transaction((sql) => parts.operations.start(sql, 'site.delete-snapshot', params, who));
}

/** The operation `site.delete-snapshot`. One whose deletion failed half way can only be deleted. */
export function makeDeleteSnapshot(parts: SiteParts): OperationKind<RemoveParams> {
  return makeOperation<RemoveParams>({
    kind: 'site.delete-snapshot',
    params: removeSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name, number }) => `Delete snapshot ${number} of ${name}`,
    steps: ({ site, name, number }) => [
      {
        name: 'remove',
        timeoutMs: SNAPSHOT_MS,
        do: ({ signal }) => removeSnapshot(parts, { site, number }, signal),
      },
      {
        name: 'note',
        timeoutMs: 10_000,
        async do() {
          const about = { subject: siteLock(site), by: 'operation', data: { name, number } };
          await parts.events.append(parts.store, { kind: 'site.snapshot-deleted', ...about });
        },
      },
    ],
  });
}
