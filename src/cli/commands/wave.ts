// Waves: begun, shown, followed and ended.
import { assertConfirmed, type Cli, runChange, say } from '../cli.ts';
import type { Row } from '../nouns.ts';
import { type Column, renderJson, renderTable, toCell } from '../output.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';

export interface NewWaveOptions {
  pool: string;
  image?: number;
  canary?: string[];
  sites?: string[];
  percent?: number[];
  stopAt?: number;
  checkPages?: string[];
  atOnce?: number;
}

interface Counts {
  sites: number;
  upgraded: number;
  failed: number;
  waiting: number;
}

/** What the API tells of a wave. */
export interface WaveDocument extends Counts {
  id: string;
  pool: string;
  app: string;
  fromImage: number;
  toImage: number;
  state: string;
  reason: string;
  pausedBy: string | null;
  longestPauseMs: number | null;
  batches: (Counts & { title: string })[];
  items: { name: string; batch: number; state: string; reason: string; pauseMs: number | null }[];
}

const LOOK_MS = 1_000;
const pathOf = (id: string): string => `/v1/waves/${encodeURIComponent(id)}`;

async function read(cli: Cli, id: string): Promise<WaveDocument> {
  return (await cli.client.request<WaveDocument>('GET', pathOf(id), { signal: cli.signal })).body;
}

/** Begins a wave. */
export async function runWaveCreate(cli: Cli, options: NewWaveOptions): Promise<ExitCode> {
  const { pool, image, canary, sites, percent, stopAt, checkPages, atOnce } = options;
  const body = {
    ...{ pool, image, canaries: canary, labels: sites, percents: percent },
    ...{ stopAtPercent: stopAt, checkPages, atOnce },
  };
  return begin(cli, '/v1/waves', body);
}

/** Lets it go on. */
export const runWaveResume = (cli: Cli, id: string): Promise<ExitCode> => begin(cli, `${pathOf(id)}/resume`);

/** Ends it. What would be lost is said and confirmed. */
export async function runWaveAbort(
  cli: Cli,
  id: string,
  { back, acceptLoss }: { back?: true; acceptLoss?: true },
): Promise<ExitCode> {
  const body = { back: back === true, acceptLoss: acceptLoss === true };
  if (body.back && body.acceptLoss) {
    const { upgraded } = await read(cli, id);
    await assertConfirmed(cli, `What was entered on ${upgraded} upgraded sites since their upgrade is lost.`, id);
  }
  return begin(cli, `${pathOf(id)}/abort`, body);
}

/** Asks for it and follows the wave; with `--dry-run` says what it would do. */
async function begin(cli: Cli, path: string, body?: object): Promise<ExitCode> {
  if (cli.options.dryRun === true) return await runChange(cli, { method: 'POST', path, body });
  const request = { signal: cli.signal, ...(body === undefined ? {} : { body }) };
  const { id } = (await cli.client.request<WaveDocument>('POST', path, request)).body;
  if (cli.options.wait === false) {
    cli.terminal.out(cli.options.json === true ? renderJson({ wave: { id } }) : `${id}\n`);
    return exitCodes.done;
  }
  say(cli, `Wave ${id}; follow it again with: espalier wave watch ${id}`);
  return runWaveWatch(cli, id);
}

/** Tells each change of the wave and each site that is over; done when no site failed. */
export async function runWaveWatch(cli: Cli, id: string): Promise<ExitCode> {
  const { clock, signal, options } = cli;
  const startedMs = clock.monotonicMs();
  const told = new Map<string, string>();
  let reason = '';
  for (;;) {
    const wave = await read(cli, id);
    for (const { name, state, reason: why, pauseMs } of wave.items) {
      if (told.get(name) === state) continue;
      told.set(name, state);
      if (state === 'waiting' || state === 'upgrading' || state === 'returning') continue;
      say(cli, `${signOf(state)} ${name} ${state}${renderHeld(pauseMs)}${state === 'upgraded' ? '' : `: ${why}`}`);
    }
    if (wave.reason !== reason) say(cli, wave.reason);
    reason = wave.reason;
    if (wave.state !== 'running' || wave.pausedBy !== null) {
      cli.terminal.out(options.json === true ? renderJson(wave) : renderWave(wave, false));
      return wave.state === 'stopped' || wave.failed > 0 ? exitCodes.failed : exitCodes.done;
    }
    if (options.timeout !== undefined && clock.monotonicMs() - startedMs > options.timeout * 1000)
      throw cliProblems.make('timed-out', { what: `The wave ${id}`, seconds: options.timeout });
    await clock.wait(LOOK_MS, signal);
  }
}

const signOf = (state: string): string => (state === 'upgraded' || state === 'returned' ? '✓' : '✗');
const renderHeld = (pauseMs: number | null): string =>
  pauseMs === null ? '' : `, visitors held for ${(pauseMs / 1000).toFixed(1)} s`;

export async function runWaveShow(cli: Cli, id: string): Promise<ExitCode> {
  const wave = await read(cli, id);
  cli.terminal.out(cli.options.json === true ? renderJson(wave) : renderWave(wave, true));
  return exitCodes.done;
}

/** What it is, its batches, and its sites if asked for. */
export function renderWave(wave: WaveDocument, withSites: boolean): string {
  const { id, pool, app, fromImage, toImage, state, reason, longestPauseMs } = wave;
  const held =
    longestPauseMs === null ? '' : ` Visitors of a site were held for ${(longestPauseMs / 1000).toFixed(1)} s at most.`;
  const head = `${id} of ${pool}, ${app}/${fromImage} to ${app}/${toImage}, is ${state}: ${reason}.${held}\n\n`;
  const field = (title: string, name = title): Column<Row> => ({ title, cell: (row) => toCell(row[name]) });
  const batches = wave.batches.map((batch, at) => ({ number: at + 1, ...batch }));
  const counts = [
    field('batch', 'number'),
    field('what', 'title'),
    field('sites'),
    field('upgraded'),
    field('failed'),
    field('waiting'),
  ];
  const table = renderTable<Row>(counts, batches);
  if (!withSites) return `${head}${table}`;
  const rows = wave.items.map((site) => ({ ...site, number: site.batch + 1 }));
  const pause = {
    title: 'held',
    cell: ({ pauseMs }: Row) => (typeof pauseMs === 'number' ? `${(pauseMs / 1000).toFixed(1)}s` : ''),
  };
  return `${head}${table}\n${renderTable<Row>([field('site', 'name'), field('batch', 'number'), field('state'), pause, field('reason')], rows)}`;
}
