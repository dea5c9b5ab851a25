// Carries a site's files from one pool's volume to another's: in a container that has both volumes and nothing else, so that
// no node that serves mounts what is not its own. The first copy shares blocks where the storage can; each pass after it
// carries only what changed.

import { imageProblems } from '../images/problems.ts';
import { readNewest } from '../images/store.ts';
import { contentVolume } from '../pools/parts.ts';
import type { SiteParts } from './parts.ts';
import { siteProblems } from './problems.ts';

/** The base has rsync; what runs in a carrier needs nothing of an app. */
const CARRIER_IMAGE = 'base-trixie';
const PASS_MS = 1_800_000;
const OUTPUT_SHOWN = 1_500;
/** rsync's code for files that went away meanwhile: the next pass sees to them. */
const VANISHED = 24;

/** One pass: what was there, and what of it had to be carried. */
export interface Pass {
  files: number;
  bytes: number;
  carriedFiles: number;
  carriedBytes: number;
  seconds: number;
}

/** Whose files, and from where to where. */
export interface Way {
  /** The folder that is read, from the volume's root: a site's id, or a kept copy. */
  folder: string;
  /** The id of the site whose folder is written. */
  as: string;
  from: string;
  to: string;
}

/** A carrier belongs to the site that it makes or moves. */
export const carrierOf = (site: string): string => `carry-${site}`;

/** Makes both folders alike; safe to repeat. */
export function renderPass({ folder, as }: Way): string[] {
  return [
    ...['rsync', '--archive', '--hard-links', '--numeric-ids', '--delete', '--stats'],
    // By the nanosecond: a file that changed twice within a second is not passed over.
    ...['--modify-window=-1', `/from/${folder}/`, `/to/${as}/`],
  ];
}

/** The first copy, which shares blocks with its source where the storage can. */
export const renderFirst = ({ folder, as }: Way): string[] => [
  ...['cp', '--archive', '--reflink=auto', `/from/${folder}/.`, `/to/${as}/`],
];

/** Reads what `rsync --stats` says. */
export function parsePass(output: string): Omit<Pass, 'seconds'> {
  const number = (label: RegExp): number => Number((label.exec(output)?.[1] ?? '0').replaceAll(/\D/g, ''));
  return {
    files: number(/^Number of files: ([\d.,]+)/m),
    bytes: number(/^Total file size: ([\d.,]+)/m),
    carriedFiles: number(/^Number of regular files transferred: ([\d.,]+)/m),
    carriedBytes: number(/^Total transferred file size: ([\d.,]+)/m),
  };
}

/** Throws `site.other-server` unless both pools' volumes can be mounted by one container. */
export async function assertCarriable(parts: SiteParts, from: string, to: string): Promise<void> {
  const { volumes } = parts.pools.fleet;
  const [one, other] = [await volumes.read(contentVolume(from)), await volumes.read(contentVolume(to))];
  if (one === undefined || other === undefined || one.server === other.server) return;
  throw siteProblems.make('other-server', { from: one.server, to: other.server });
}

/** Makes the carrier of a site, or finds it. */
export async function ensureCarrier(parts: SiteParts, way: Way, signal: AbortSignal): Promise<void> {
  const { fleet } = parts.pools;
  const image = await readNewest(parts.store, CARRIER_IMAGE);
  if (image === undefined) throw imageProblems.make('none', { recipe: CARRIER_IMAGE });
  const server = (await fleet.volumes.read(contentVolume(way.to), { signal }))?.server;
  await fleet.instances.ensure(
    {
      name: carrierOf(way.as),
      ...(server === undefined ? {} : { server }),
      source: { image: image.fingerprint },
      labels: { kind: 'carrier', site: way.as },
      config: { 'security.idmap.isolated': 'true' },
      devices: {
        from: { kind: 'volume', volume: contentVolume(way.from), path: '/from' },
        to: { kind: 'volume', volume: contentVolume(way.to), path: '/to' },
      },
      start: true,
    },
    { signal },
  );
}

export async function removeCarrier(parts: SiteParts, site: string, signal: AbortSignal): Promise<void> {
  await parts.pools.fleet.instances.delete(carrierOf(site), { force: true, signal });
}

async function run(parts: SiteParts, way: Way, argv: readonly string[], signal: AbortSignal, good: readonly number[]) {
  const result = await parts.pools.fleet.exec(carrierOf(way.as), argv, { signal, timeoutMs: PASS_MS });
  if (good.includes(result.code)) return result;
  const why = `${argv[0]} ended with ${result.code}: ${result.stderr.trim().slice(-OUTPUT_SHOWN)}`;
  throw siteProblems.make('copy-failed', { site: way.as, why });
}

/** The first copy. What it leaves out because it changed meanwhile, the passes bring. */
export async function carryFirst(parts: SiteParts, way: Way, signal: AbortSignal): Promise<void> {
  await run(parts, way, renderFirst(way), signal, [0, 1]);
}

/** One pass. `last`: nobody writes any more, so nothing may vanish. */
export async function carryPass(parts: SiteParts, way: Way, signal: AbortSignal, last = false): Promise<Pass> {
  const { clock } = parts.pools;
  const begunMs = clock.monotonicMs();
  const { stdout } = await run(parts, way, renderPass(way), signal, last ? [0] : [0, VANISHED]);
  return { ...parsePass(stdout), seconds: (clock.monotonicMs() - begunMs) / 1000 };
}

/** Removes what the site's old pool still has of it, in a pool that has no node to do so. */
export async function removeCarried(parts: SiteParts, way: Way, signal: AbortSignal): Promise<void> {
  await run(parts, way, ['rm', '--recursive', '--force', `/from/${way.folder}`], signal, [0]);
}
