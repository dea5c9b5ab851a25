// Brings a site back to a snapshot, in its place. It is closed meanwhile and what it held is kept as a snapshot first, so
// that the way back has a way back; failing, that one is put back.

import { z } from 'zod';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../../platform/operations/operation.ts';
import { ADAPT_MS, adaptSite, linksOf } from '../adapt.ts';
import { readImageNumberOf } from '../image-of.ts';
import { checkOnNodes, enterState } from '../nodes.ts';
import { type SiteParts, siteLock } from '../parts.ts';
import type { SiteRow } from '../store.ts';
import { assertCodeReads } from './image-order.ts';
import { putBack, readUsableSnapshot } from './put-back.ts';
import { readQuietSite } from './snapshot.ts';
import { assertRoomForSnapshot, readPlacedSite, removeSnapshotsOf, SNAPSHOT_MS, takeSnapshot } from './take.ts';

const paramsSchema = z.object({
  site: z.string(),
  name: z.string(),
  number: z.int(),
  before: z.enum(['ready', 'suspended']),
  by: z.string(),
});
type Params = z.infer<typeof paramsSchema>;

/** Everything that can be said against restoring, looked at beforehand. Gives what stands and what would come. */
export async function admitRestore(parts: SiteParts, idOrName: string, number: number) {
  const site = await readQuietSite(parts, idOrName, 'restore');
  const placed = await readPlacedSite(parts, site.id);
  const snapshot = await readUsableSnapshot(parts.store, site, number);
  const imageNumber = await readImageNumberOf(parts.store, site);
  await assertCodeReads(parts.store, site, snapshot, imageNumber);
  await assertRoomForSnapshot(parts, placed);
  return { site, snapshot, imageNumber };
}

/** What a restore in place would do, in sentences. */
export async function planRestore(parts: SiteParts, idOrName: string, number: number): Promise<string[]> {
  const { site, snapshot, imageNumber } = await admitRestore(parts, idOrName, number);
  const mb = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MB`;
  return [
    `${site.name} is closed while its database (${mb(snapshot.dump.bytes)} compressed) and its files (${mb(snapshot.filesBytes ?? 0)}) are put back to ${snapshot.createdAt}; visitors wait meanwhile.`,
    'What it holds now is kept as a snapshot first.',
    ...(snapshot.hosts[0] === site.hosts[0]
      ? []
      : [`Links to ${snapshot.hosts.join(', ')} become links to ${site.hosts[0] ?? ''}.`]),
    ...(snapshot.imageNumber === imageNumber
      ? []
      : [`Its tables are brought from image ${site.app}/${snapshot.imageNumber} to ${site.app}/${imageNumber}.`]),
    'Its cache is emptied: who was logged in logs in again.',
  ];
}

/** Begins `site.restore`. */
export async function beginRestore(parts: SiteParts, idOrName: string, number: number, who: Asker): Promise<Operation> {
  const { site } = await admitRestore(parts, idOrName, number);
  const params = { site: site.id, name: site.name, number, before: site.state, by: who.by };
  return parts.store.transaction((sql) => parts.operations.start(sql, 'site.restore', params, who));
}

/** The operation `site.restore`. */
export function makeSiteRestore(parts: SiteParts): OperationKind<Params> {
  const { databases, events, store } = parts;
  return makeOperation<Params>({
    kind: 'site.restore',
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name, number }) => `Restore ${name} to its snapshot ${number}`,
    steps: ({ site: id, name, number, before, by }) => {
      const read = () => readPlacedSite(parts, id);
      const enter = async (state: SiteRow['state'], reason: string, first: 'nodes' | 'edges', signal: AbortSignal) =>
        enterState(parts, await read(), { state, reason, first }, signal);
      const lock = async (signal: AbortSignal) => databases.lockSite((await read()).databaseServer, id, signal);
      const unlock = async (signal: AbortSignal) => databases.unlockSite((await read()).databaseServer, id, signal);
      const keptReason = `before it was restored to snapshot ${number}`;
      return [
        {
          name: 'close',
          timeoutMs: 120_000,
          do: ({ signal }) => enter('maintenance', `it is restored to snapshot ${number}`, 'edges', signal),
          undo: ({ signal }) => enter(before, 'its restore failed', 'nodes', signal),
        },
        {
          name: 'lock-database',
          timeoutMs: 60_000,
          do: ({ signal }) => lock(signal),
          undo: async ({ signal }) => (before === 'ready' ? unlock(signal) : lock(signal)),
        },
        {
          name: 'keep',
          timeoutMs: SNAPSHOT_MS,
          async do({ operationId, signal }) {
            const kept = await takeSnapshot(
              parts,
              { site: id, operation: operationId, reason: keptReason, by },
              signal,
            );
            return { number: kept.number };
          },
          undo: ({ operationId, signal }) => removeSnapshotsOf(parts, id, operationId, signal),
        },
        {
          name: 'put-back',
          timeoutMs: SNAPSHOT_MS,
          do: ({ signal }) => putBack(parts, id, number, signal),
          async undo({ outputs, signal }) {
            const { number: kept } = outputs.keep as { number: number };
            await putBack(parts, id, kept, signal);
          },
        },
        {
          name: 'unlock-database',
          timeoutMs: 60_000,
          do: ({ signal }) => unlock(signal),
          undo: ({ signal }) => lock(signal),
        },
        {
          name: 'adapt',
          timeoutMs: 2 * ADAPT_MS,
          async do({ signal }) {
            const site = await read();
            const snapshot = await readUsableSnapshot(parts.store, site, number);
            const imageNumber = await readImageNumberOf(store, site);
            return adaptSite(
              parts,
              site,
              {
                from: snapshot.hosts[0] === site.hosts[0] ? [] : linksOf(parts, snapshot.hosts),
                isOlder: snapshot.imageNumber !== imageNumber,
              },
              signal,
            );
          },
        },
        {
          name: 'check',
          timeoutMs: 60_000,
          async do({ signal }) {
            // Its nodes serve it from now on; the edge holds visitors until it is seen to be well.
            await enter('upgrading', `it is looked at after it was restored to snapshot ${number}`, 'nodes', signal);
            const site = await read();
            const check = parts.readRecipe(site.app)?.site?.check;
            if (check !== undefined) await checkOnNodes(parts, site, check, signal);
          },
          undo: ({ signal }) => enter('maintenance', 'its restore failed', 'edges', signal),
        },
        {
          name: 'open',
          timeoutMs: 120_000,
          async do({ signal }) {
            if (before === 'suspended') await lock(signal);
            await enter(before, `it was restored to snapshot ${number}`, 'nodes', signal);
          },
        },
        {
          name: 'note',
          timeoutMs: 10_000,
          async do({ outputs }) {
            const { number: kept } = outputs.keep as { number: number };
            const about = { subject: siteLock(id), by: 'operation', data: { name, snapshot: number, kept } };
            await events.append(store, { kind: 'site.restored', ...about });
          },
        },
      ];
    },
  });
}
