// `why NOUN NAME`: what is done to it now, what that waits for, and the reasons of past decisions.
import type { Cli } from '../cli.ts';
import type { WhyDocument } from '../documents.ts';
import { renderAge, renderJson } from '../output.ts';
import { type ExitCode, exitCodes } from '../problems.ts';

/** Prints the reasons, newest first. */
export async function runWhy(cli: Cli, noun: string, name: string): Promise<ExitCode> {
  const path = `/v1/why/${encodeURIComponent(noun)}/${encodeURIComponent(name)}`;
  const { body } = await cli.client.request<WhyDocument>('GET', path, { signal: cli.signal });
  cli.terminal.out(cli.options.json === true ? renderJson(body) : renderWhy(body, noun, name, cli.clock.nowMs()));
  return exitCodes.done;
}

/** The text of it. */
export function renderWhy(why: WhyDocument, noun: string, name: string, nowMs: number): string {
  const now = why.now.map(({ operation, title, state, waitingFor }) => {
    const wait = waitingFor === null ? '' : `: ${waitingFor}`;
    return `now      ${title} (${operation}) is ${state}${wait}\n`;
  });
  const past = why.reasons.map(
    ({ at, kind, by, reason }) => `${renderAge(at, nowMs).padStart(4)} ago ${kind}: ${reason} (${by})\n`,
  );
  return [...now, ...past].join('') || `Nothing was decided about the ${noun} ${name} yet.\n`;
}
