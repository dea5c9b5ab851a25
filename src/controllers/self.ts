// This controller among those of one database: its lasting id, and saying again and again that it is there. Apart from
// leading: those who stand by say so too.
import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { toProblem } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { VERSION } from '../lib/version.ts';
import type { Store } from '../platform/store.ts';
import { readCluster } from '../servers/cluster-store.ts';
import { readServer } from '../servers/store.ts';
import { noteController } from './store.ts';
import { NOTE_MS } from './views.ts';

/** Of the data directory: a controller that starts again is the same. */
export async function readOrMakeId(dataDir: string): Promise<string> {
  const path = join(dataDir, 'controller.id');
  const known = (await readFile(path, 'utf8').catch(() => '')).trim();
  if (known !== '') return known;
  const id = `c${randomBytes(6).toString('hex')}`;
  await writeFile(`${path}.new`, `${id}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
  return id;
}

/** Stores once that this controller is there, and where it would be reached. */
export async function noteSelf(store: Store, self: { id: string; name: string }): Promise<void> {
  const cluster = await readCluster(store);
  const address =
    cluster === undefined
      ? undefined
      : cluster.server === self.name
        ? cluster.address
        : (await readServer(store, self.name))?.address;
  await noteController(store, {
    ...{ id: self.id, name: self.name, version: VERSION },
    ...{ address: address ?? null, port: address === undefined ? null : (cluster?.port ?? null) },
  });
}

/** Does so until the signal aborts. */
export async function keepNoted(
  parts: { store: Store; id: string; readName(): Promise<string>; clock: Clock; log: Logger },
  signal: AbortSignal,
): Promise<void> {
  const { store, id, readName, clock, log } = parts;
  while (!signal.aborted) {
    await readName()
      .then((name) => noteSelf(store, { id, name }))
      .catch((thrown: unknown) =>
        log.debug({ problem: toProblem(thrown).document }, 'cannot say that this controller is there'),
      );
    await clock.wait(NOTE_MS, signal).catch(() => undefined);
  }
}
