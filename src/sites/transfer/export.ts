// Carries a site out as one file. What it is made of is a snapshot, so the site serves on and all is of one moment; its files are
// packed into one beside it, and the file itself is put together only while it is read.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { readImage } from '../../images/store.ts';
import { commonProblems } from '../../lib/errors.ts';
import { VERSION } from '../../lib/version.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../../platform/operations/operation.ts';
import { linksOf } from '../adapt.ts';
import { readSiteRecipe } from '../admit.ts';
import { packedFileOf, renderPack, runAsRoot } from '../files.ts';
import { readServingNodes } from '../nodes.ts';
import { type SiteParts, secretsOf, siteLock } from '../parts.ts';
import { readUsableSnapshot, type WholeSnapshot } from '../snapshots/put-back.ts';
import { readQuietSite } from '../snapshots/snapshot.ts';
import { listExpiredSnapshots, storeSnapshotPacked } from '../snapshots/store.ts';
import {
  assertRoomForSnapshot,
  keptFilesOf,
  makeSnapshotStep,
  readPlacedSite,
  SNAPSHOT_MS,
} from '../snapshots/take.ts';
import type { SiteRow } from '../store.ts';
import { type Member, renderArchive, sizeOfArchive, toMember } from './archive.ts';
import { type CarriedSite, FORMAT, FORMAT_VERSION, MANIFEST, type Manifest, type Part } from './format.ts';
import { transferProblems } from './problems.ts';

const paramsSchema = z.object({ site: z.string(), name: z.string(), by: z.string() });
type Params = z.infer<typeof paramsSchema>;

/** One that nobody fetched, or that was fetched and not deleted, goes after a day. */
const KEPT_S = 24 * 3_600;

/** Begins `site.export`. */
export async function beginExport(parts: SiteParts, idOrName: string, who: Asker): Promise<Operation> {
  const { id, name } = await readQuietSite(parts, idOrName, 'export');
  await assertRoomForSnapshot(parts, await readPlacedSite(parts, id));
  const params = { site: id, name, by: who.by };
  return parts.store.transaction((sql) => parts.operations.start(sql, 'site.export', params, who));
}

/** The operation `site.export`; the output of its last step names the snapshot to be read. */
export function makeSiteExport(parts: SiteParts): OperationKind<Params> {
  const { store, events } = parts;
  return makeOperation<Params>({
    kind: 'site.export',
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name }) => `Export the site ${name}`,
    steps: ({ site: id, name, by }) => [
      makeSnapshotStep(parts, { site: id, reason: 'for an export', by }),
      {
        name: 'pack',
        timeoutMs: SNAPSHOT_MS,
        async do({ signal, outputs }) {
          const { number } = outputs.snapshot as { number: number };
          const site = await readPlacedSite(parts, id);
          const snapshot = { site: id, number };
          const run = (commands: Parameters<typeof runAsRoot>[2]) =>
            runAsRoot(
              parts,
              site.pool,
              commands,
              (why) => transferProblems.make('unpack-failed', { site: name, why }),
              signal,
            );
          const { pack, size, checksum } = renderPack(keptFilesOf(snapshot));
          await run(pack);
          const packed = {
            bytes: Number.parseInt(await run([size]), 10),
            sha256: (await run([checksum])).slice(0, 64),
          };
          await storeSnapshotPacked(store, snapshot, packed, KEPT_S);
          return { number, ...packed };
        },
      },
      {
        name: 'note',
        timeoutMs: 10_000,
        async do({ outputs }) {
          const { number } = outputs.snapshot as { number: number };
          const about = { subject: siteLock(id), by: 'operation', data: { name, number, by } };
          await events.append(store, { kind: 'site.exported', ...about });
        },
      },
    ],
  });
}

/** The file of an export, with its size; its pieces come from the database server and a node while they are read. */
export async function openExport(
  parts: SiteParts,
  idOrName: string,
  number: number,
  signal: AbortSignal,
): Promise<{ name: string; bytes: number; pieces: AsyncIterable<Uint8Array> }> {
  const { id } = await readQuietSite(parts, idOrName, 'export');
  const site = await readPlacedSite(parts, id);
  const snapshot = await readUsableSnapshot(parts.store, site, number);
  const { packed } = snapshot;
  if (packed === null) throw transferProblems.make('not-packed', { site: site.name, number });
  const document = Buffer.from(`${JSON.stringify(await readCarriedSite(parts, site, snapshot), undefined, 2)}\n`);
  const described: Part[] = [
    { name: 'site.json', bytes: document.length, sha256: createHash('sha256').update(document).digest('hex') },
    { name: 'database.sql.zst', bytes: snapshot.dump.bytes, sha256: snapshot.dump.sha256 },
    { name: 'files.tar', bytes: packed.bytes, sha256: packed.sha256 },
  ];
  const manifest: Manifest = {
    ...{ format: FORMAT, version: FORMAT_VERSION, createdAt: snapshot.createdAt, by: `espalier ${VERSION}` },
    parts: described,
  };
  const members: Member[] = [
    toMember(MANIFEST, Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`)),
    toMember('site.json', document),
    {
      ...{ name: 'database.sql.zst', bytes: snapshot.dump.bytes },
      open: () => parts.databases.readDump(snapshot.databaseServer, snapshot.dump.path, signal),
    },
    {
      ...{ name: 'files.tar', bytes: packed.bytes },
      async open() {
        const [node] = await readServingNodes(parts, snapshot);
        return parts.pools.fleet.files.readPieces(node.name, packedFileOf(keptFilesOf(snapshot)), { signal });
      },
    },
  ];
  const mtimeS = Math.floor(Date.parse(snapshot.createdAt) / 1000);
  return { name: site.name, bytes: sizeOfArchive(members), pieces: renderArchive(members, mtimeS) };
}

async function readCarriedSite(parts: SiteParts, site: SiteRow, snapshot: WholeSnapshot): Promise<CarriedSite> {
  const { store, secrets, tasks } = parts;
  const image = await readImage(store, site.app, snapshot.imageNumber);
  if (image === undefined)
    throw commonProblems.make('not-found', { noun: 'image', name: `${site.app}/${snapshot.imageNumber}` });
  const kept = await secrets.readAll(store, secretsOf(site.id));
  const needed = Object.entries(readSiteRecipe(parts, site.app).site.secrets).filter(([, { encrypts }]) => encrypts);
  return {
    ...{ name: site.name, app: site.app, image: { number: image.number, appVersion: image.appVersion } },
    ...{ title: snapshot.title, adminUser: site.adminUser, adminEmail: site.adminEmail, hosts: snapshot.hosts },
    ...{ links: linksOf(parts, snapshot.hosts), settings: snapshot.settings, limits: site.limits },
    secrets: Object.fromEntries(needed.map(([name]) => [name, kept[`${secretsOf(site.id)}app-${name}`] ?? ''])),
    tasks: await tasks.list(store, site.id),
  };
}

/** Begins the deletion of every export that is past its time, unless its site is being worked on. */
export async function removeExpired(parts: SiteParts): Promise<{ begun: number }> {
  let begun = 0;
  for (const { site, number, name } of await listExpiredSnapshots(parts.store)) {
    const states = ['pending', 'running', 'recovering', 'fatal'] as const;
    const busy = await parts.operations.list({ lock: siteLock(site), states: [...states] });
    if (busy.items.length > 0) continue;
    const who = { by: 'exports', reason: 'nobody fetched it in its time' };
    await parts.store.transaction((sql) =>
      parts.operations.start(sql, 'site.delete-snapshot', { site, name, number }, who),
    );
    begun += 1;
  }
  return { begun };
}
