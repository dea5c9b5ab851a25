// What the verbs' actions are made of, and how their arguments are parsed. Apart because every noun's verbs share it.
import { InvalidArgumentError } from 'commander';
import type { Cli } from '../cli.ts';
import type { ExitCode } from '../problems.ts';

/** Makes an action of a command: `work` gets the Cli, the command's own options and its arguments. */
export type Run = <O extends object>(
  work: (cli: Cli, options: O, args: string[]) => Promise<ExitCode>,
) => (...given: unknown[]) => Promise<void>;

/** Parses a whole number from 1 on. */
export function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number from 1 on.');
  return value;
}

/** Parses a number above 0. */
export function aboveZero(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

/** Parses `90s`, `5m`, `1h` or a number of seconds. */
export function seconds(text: string): number {
  const [, count = '', unit = 's'] = /^(\d+)([smh]?)$/.exec(text) ?? [];
  if (count === '') throw new InvalidArgumentError('It must be like 90s, 5m or 1h.');
  return Number(count) * ({ s: 1, m: 60, h: 3600 }[unit] ?? 1);
}

export const natural = (text: string): number => (text === '0' ? 0 : positive(text));
export const collect = (value: string, before: string[] = []): string[] => [...before, value];
export const enc = encodeURIComponent;
