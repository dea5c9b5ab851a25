// Carries a site's files from one pool's content to another's, in containers of their own (carriers.ts). The first copy shares
// blocks where the storage can; each pass after it carries only what changed.
import { carrierOf, findReader, openSource, type Way } from './carriers.ts';
import type { SiteParts } from './parts.ts';
import { siteProblems } from './problems.ts';

const PASS_MS = 1_800_000;
const OUTPUT_SHOWN = 1_500;
/** rsync's code for files that went away meanwhile: the next pass sees to them. */
const VANISHED = 24;
/** rsync's codes for another side that is not there, or not any more: it boots, or its route is not known yet. */
const AWAY = [10, 12, 30, 35];
/** Nothing at all was heard for so long. */
const SILENCE_S = 30;

/** One pass: what was there, and what of it had to be carried. */
export interface Pass {
  files: number;
  bytes: number;
  carriedFiles: number;
  carriedBytes: number;
  seconds: number;
}

/** Makes both folders alike; safe to repeat. `source`: the other carrier's address, where there are two. */
export function renderPass({ folder, as }: Way, source?: string): string[] {
  const bounds = source === undefined ? [] : [`--timeout=${SILENCE_S}`, `--contimeout=${SILENCE_S}`];
  return [
    ...['rsync', '--archive', '--hard-links', '--numeric-ids', '--delete', '--stats', ...bounds],
    // By the nanosecond: a file that changed twice within a second is not passed over.
    ...['--modify-window=-1', source ?? `/from/${folder}/`, `/to/${as}/`],
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

type Command = { instance: string; argv: readonly string[]; env?: Record<string, string> };

async function run(parts: SiteParts, way: Way, command: Command, signal: AbortSignal, good: readonly number[]) {
  const { instance, argv, env } = command;
  const options = { signal, timeoutMs: PASS_MS, ...(env === undefined ? {} : { env }) };
  const result = await parts.pools.fleet.exec(instance, argv, options);
  if (good.includes(result.code)) return result;
  const why = `${argv[0]} ended with ${result.code}: ${result.stderr.trim().slice(-OUTPUT_SHOWN)}`;
  const isAway = env !== undefined && AWAY.includes(result.code);
  throw siteProblems.make(isAway ? 'carrier-away' : 'copy-failed', { site: way.as, why });
}

/** The first copy. What it leaves out because it changed meanwhile, the passes bring. */
export async function carryFirst(parts: SiteParts, way: Way, signal: AbortSignal): Promise<void> {
  if ((await openSource(parts, way.as, signal)) !== undefined) {
    await carryPass(parts, way, signal);
    return;
  }
  await run(parts, way, { instance: carrierOf(way.as), argv: renderFirst(way) }, signal, [0, 1]);
}

/** One pass. `last`: nobody writes any more, so nothing may vanish. */
export async function carryPass(parts: SiteParts, way: Way, signal: AbortSignal, last = false): Promise<Pass> {
  const { clock } = parts.pools;
  const begunMs = clock.monotonicMs();
  const source = await openSource(parts, way.as, signal);
  const argv = renderPass(way, source?.url);
  const command = { instance: carrierOf(way.as), argv, ...(source === undefined ? {} : { env: source.env }) };
  const { stdout } = await run(parts, way, command, signal, last ? [0] : [0, VANISHED]);
  return { ...parsePass(stdout), seconds: (clock.monotonicMs() - begunMs) / 1000 };
}

/** Removes what the site's old pool still has of it, in a pool that has no node to do so. */
export async function removeCarried(parts: SiteParts, way: Way, signal: AbortSignal): Promise<void> {
  const argv = ['rm', '--recursive', '--force', `/from/${way.folder}`];
  await run(parts, way, { instance: await findReader(parts, way.as, signal), argv }, signal, [0]);
}
