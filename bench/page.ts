// docs/benchmarks.md: the prose is written by people, the parts between two marks by this, from what was measured.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Benchmark, Measured } from './bench.ts';
import type { Machine } from './machine.ts';
import { PROJECT_DIR } from './place.ts';

/** A measurement as it is kept in bench/results/NAME.json. */
export interface Result extends Measured {
  bench: Benchmark['name'];
  /** ISO 8601, when it ended. */
  at: string;
  /** How long the whole benchmark took. */
  seconds: number;
  /** The commit that was measured. */
  commit: string;
  machine: Machine;
}

const PAGE = join(PROJECT_DIR, 'docs/benchmarks.md');
const RESULTS = join(import.meta.dirname, 'results');

/** Keeps the result and brings the page to it. */
export async function storeResult(result: Result): Promise<void> {
  await mkdir(RESULTS, { recursive: true });
  await writeFile(join(RESULTS, `${result.bench}.json`), `${JSON.stringify(result, null, 2)}\n`);
  const page = await readFile(PAGE, 'utf8');
  await writeFile(PAGE, replacePart(page, result.bench, renderPart(result)));
}

/** What stands between `<!-- measured: NAME -->` and `<!-- end -->` is replaced; the marks must be there. */
export function replacePart(page: string, name: string, part: string): string {
  const begin = `<!-- measured: ${name} -->`;
  const from = page.indexOf(begin);
  const to = page.indexOf('<!-- end -->', from);
  if (from < 0 || to < 0) throw new Error(`docs/benchmarks.md has no part "${begin}" … "<!-- end -->"`);
  return `${page.slice(0, from + begin.length)}\n${part}${page.slice(to)}`;
}

/** One benchmark's part: when and where, the table, where the time goes. */
export function renderPart(result: Omit<Result, 'figures' | 'peers'>): string {
  const { machine, rows, details } = result;
  const where = `${machine.processor}, ${machine.cores} cores, ${machine.memoryGib} GiB, ${machine.system}, kernel ${machine.kernel}`;
  const table = rows.map(({ what, measured, target, reached }) => {
    const verdict = reached === undefined ? '' : reached ? 'yes' : '**no**';
    return `| ${what} | ${measured} | ${target ?? ''} | ${verdict} |\n`;
  });
  return [
    `Measured ${result.at.slice(0, 16).replace('T', ' ')} UTC at ${result.commit} in ${Math.round(result.seconds)} s on ${where}; load before it ${machine.load1}.\n\n`,
    '| what | measured | target | reached |\n|---|---|---|---|\n',
    ...table,
    ...(details.length === 0 ? [] : ['\n```\n', ...details.map((line) => `${line}\n`), '```\n']),
  ].join('');
}
