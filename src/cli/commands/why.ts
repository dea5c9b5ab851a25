// `why NOUN NAME`: what is done to it now, what that waits for, and the reasons of past decisions.
import { Problem } from '../../lib/errors.ts';
import type { Cli } from '../cli.ts';
import type { WhyDocument } from '../documents.ts';
import { nouns, type Row } from '../nouns.ts';
import { renderAge, renderJson } from '../output.ts';
import { type ExitCode, exitCodes } from '../problems.ts';

/** Prints what holds now, then the reasons, newest first. */
export async function runWhy(cli: Cli, noun: string, name: string): Promise<ExitCode> {
  const path = `/v1/why/${encodeURIComponent(noun)}/${encodeURIComponent(name)}`;
  const { body } = await cli.client.request<WhyDocument>('GET', path, { signal: cli.signal });
  const thing = await readThing(cli, noun, name, body.now.length + body.reasons.length > 0);
  const votes = noun === 'pool' ? await readVotes(cli, name) : undefined;
  cli.terminal.out(
    cli.options.json === true
      ? renderJson({ ...body, ...(votes === undefined ? {} : { votes }) })
      : renderWhy(body, { ...thing, ...(votes === undefined ? {} : { votes }) }, noun, name, cli.clock.nowMs()),
  );
  return exitCodes.done;
}

/** The thing itself, which keeps the reason of its state and of its place; nothing for what cannot be shown, or is gone and left reasons. */
async function readThing(cli: Cli, noun: string, name: string, hasReasons: boolean): Promise<Row> {
  const known = nouns.find((one) => one.noun === noun && one.listOnly !== true);
  if (known === undefined) return {};
  try {
    const path = `${known.path}/${name.split('/').map(encodeURIComponent).join('/')}`;
    return (await cli.client.request<Row>('GET', path, { signal: cli.signal })).body;
  } catch (thrown) {
    if (thrown instanceof Problem && thrown.document.status === 404 && hasReasons) return {};
    throw thrown;
  }
}

/** Of a pool that grows and shrinks by itself: what its last round of votes decided, and why. */
async function readVotes(cli: Cli, name: string): Promise<string | undefined> {
  try {
    const path = `/v1/pools/${encodeURIComponent(name)}/policy`;
    const { decision, reason } = (await cli.client.request<Row>('GET', path, { signal: cli.signal })).body;
    return typeof decision === 'string' ? `${decision}: ${String(reason)}` : 'no round yet';
  } catch (thrown) {
    if (thrown instanceof Problem && thrown.document.status === 404) return undefined;
    throw thrown;
  }
}

/** The text of it. */
export function renderWhy(why: WhyDocument, thing: Row, noun: string, name: string, nowMs: number): string {
  const has = (field: string): string => (typeof thing[field] === 'string' ? (thing[field] as string) : '');
  const state = has('reason') === '' ? [] : [`state    ${has('state')}: ${has('reason')}\n`];
  const place = has('placement') === '' ? [] : [`place    ${has('placement')}\n`];
  const votes = has('votes') === '' ? [] : [`votes    ${has('votes')}\n`];
  const now = why.now.map(({ operation, title, state, waitingFor }) => {
    const wait = waitingFor === null ? '' : `: ${waitingFor}`;
    return `now      ${title} (${operation}) is ${state}${wait}\n`;
  });
  const past = why.reasons.map(
    ({ at, kind, by, reason }) => `${renderAge(at, nowMs).padStart(4)} ago ${kind}: ${reason} (${by})\n`,
  );
  return (
    [...state, ...place, ...votes, ...now, ...past].join('') || `Nothing was decided about the ${noun} ${name} yet.\n`
  );
}
