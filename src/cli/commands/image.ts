// The verbs of images and seeds that compare, and the way into a seed.
import { spawn } from 'node:child_process';
import { toFleetPlace } from '../../lib/deployment.ts';
import { type Cli, toEarnest, toLocal } from '../cli.ts';
import { renderJson } from '../output.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';

interface Files {
  count: number;
  paths: string[];
}

export interface DifferenceDocument {
  from: string;
  to: string;
  same: boolean;
  packages: {
    added: Record<string, string>;
    removed: Record<string, string>;
    changed: Record<string, { from: string; to: string }>;
  };
  files: { added: Files; removed: Files; changed: Files } | null;
}

/** From another image of the same app to this one; the older of the two is where it begins. */
export async function runImageDiff(cli: Cli, name: string, other: number): Promise<ExitCode> {
  const [recipe = '', number] = name.split('/');
  if (!/^\d+$/.test(number ?? ''))
    throw cliProblems.make('usage', { why: `An image is named APP/NUMBER, not "${name}"` });
  const [from, to] = [Number(number), other].sort((one, two) => one - two);
  const path = `/v1/images/${encodeURIComponent(recipe)}/${to}/diff`;
  return await printDifference(cli, path, { from });
}

export function runSeedDiff(cli: Cli, name: string): Promise<ExitCode> {
  return printDifference(cli, `/v1/seeds/${encodeURIComponent(name)}/diff`, {});
}

async function printDifference(cli: Cli, path: string, query: Record<string, number | undefined>): Promise<ExitCode> {
  const { body } = await cli.client.request<DifferenceDocument>('GET', path, { query, signal: cli.signal });
  cli.terminal.out(cli.options.json === true ? renderJson(body) : renderDifference(body));
  return exitCodes.done;
}

/** As lines: `+` came, `-` went, `~` changed. */
export function renderDifference({ from, to, same, packages, files }: DifferenceDocument): string {
  if (same) return `${from} and ${to} have the same packages and the same files.\n`;
  const list = (sign: string, of: Record<string, string>) =>
    Object.entries(of).map(([name, version]) => `${sign} ${name} ${version}\n`);
  const changed = Object.entries(packages.changed).map(([name, one]) => `~ ${name} ${one.from} → ${one.to}\n`);
  const paths = (sign: string, { count, paths: shown }: Files) => [
    ...shown.map((path) => `${sign} ${path}\n`),
    ...(count > shown.length ? [`${sign} … and ${count - shown.length} more\n`] : []),
  ];
  const packageLines = [...list('+', packages.added), ...list('-', packages.removed), ...changed];
  const fileLines =
    files === null
      ? ['(Nobody listed the files of one of them.)\n']
      : [...paths('+', files.added), ...paths('-', files.removed), ...paths('~', files.changed)];
  return [
    `${from} → ${to}\n`,
    'packages\n',
    ...(packageLines.length === 0 ? ['(the same)\n'] : packageLines),
    'files\n',
    ...(fileLines.length === 0 ? ['(the same)\n'] : fileLines),
  ].join('');
}

/** A shell in the seed on this terminal, or a command. Ends with the exit code of what ran there. */
export async function runSeedEnter(given: Cli, name: string, argv: readonly string[]): Promise<ExitCode> {
  const cli = toEarnest(toLocal(given));
  const path = `/v1/seeds/${encodeURIComponent(name)}`;
  const { body } = await cli.client.request<{ container: string }>('GET', path, { signal: cli.signal });
  const { project } = toFleetPlace(cli.context.deployment);
  const command = argv.length === 0 ? ['bash', '--login'] : argv;
  const child = spawn('incus', ['exec', '--project', project, body.container, '--', ...command], { stdio: 'inherit' });
  return await new Promise((resolve, reject) => {
    child.once('error', (thrown) => reject(cliProblems.make('no-incus', { why: thrown.message }, thrown)));
    // The terminal's interrupts are the shell's; its last code is ours, as of any shell.
    child.once('exit', (code) => resolve((code ?? exitCodes.failed) as ExitCode));
  });
}
