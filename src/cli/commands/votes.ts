// `votes POOL`: the history of a pool that grows and shrinks by itself, drawn: a line for each round in which something changed.
import { type Cli, readPages } from '../cli.ts';
import { renderJson } from '../output.ts';
import { type ExitCode, exitCodes } from '../problems.ts';
import type { Terminal } from '../terminal.ts';

export interface VotesOptions {
  limit: number;
  all?: true;
  nodes?: true;
}

/** A round as the API tells it. */
export interface RoundDocument {
  at: string;
  wanted: number;
  ready: number;
  booting: number;
  min: number;
  max: number;
  voters: number;
  grow: number;
  shrink: number;
  decision: string;
  size: number;
  reason: string;
  foretold: number | null;
  votes: { node: string; vote: 'grow' | 'shrink' | 'none'; reason: string; values: (number | null)[] }[];
}

const LARGEST_PAGE = 500;
const GLYPHS = { grow: '▲', shrink: '▼', none: '·' };
const WIDEST = 40;

/** Prints the rounds, the oldest first, as a log reads. */
export async function runVotes(cli: Cli, pool: string, options: VotesOptions): Promise<ExitCode> {
  const rounds: RoundDocument[] = [];
  const path = `/v1/pools/${encodeURIComponent(pool)}/votes`;
  for await (const page of readPages<RoundDocument>(cli, path, { pageSize: Math.min(options.limit, LARGEST_PAGE) })) {
    rounds.push(...page);
    if (rounds.length >= options.limit) break;
  }
  rounds.splice(options.limit);
  rounds.reverse();
  cli.terminal.out(
    cli.options.json === true ? renderJson({ items: rounds }) : renderVotes(rounds, options, cli.terminal),
  );
  return exitCodes.done;
}

/** Serving nodes full, booting ones hatched, room up to the most as dots; `|` marks what is wanted where that is not what serves. */
export function drawSize({ ready, booting, wanted, max }: RoundDocument): string {
  const cells = Array.from({ length: Math.min(WIDEST, Math.max(max, ready + booting, wanted)) }, (_, index) =>
    index < ready ? '█' : index < ready + booting ? '▒' : index < wanted ? '|' : '·',
  );
  return cells.join('');
}

const drawVotes = ({ votes }: RoundDocument): string => votes.map(({ vote }) => GLYPHS[vote]).join('') || '-';

/** What would be said twice: the same sizes, votes and decision. Seconds that pass in a reason are no change. */
const signOf = (round: RoundDocument): string =>
  JSON.stringify([
    drawSize(round),
    drawVotes(round),
    round.decision,
    round.size,
    round.reason.replaceAll(/\d+(\.\d+)?/g, '#'),
  ]);

/** The lines. */
export function renderVotes(
  rounds: readonly RoundDocument[],
  options: Pick<VotesOptions, 'all' | 'nodes'>,
  terminal: Pick<Terminal, 'paint'>,
): string {
  if (rounds.length === 0) return 'No round of votes yet.\n';
  const shown = rounds.filter((round, index) => {
    const before = rounds[index - 1];
    return (
      options.all === true || before === undefined || index === rounds.length - 1 || signOf(before) !== signOf(round)
    );
  });
  const widest = (draw: (round: RoundDocument) => string, least: number) =>
    Math.max(least, ...shown.map((round) => draw(round).length));
  const [sizes, votes] = [widest(drawSize, 4), widest(drawVotes, 5)];
  const head = `${'TIME'.padEnd(20)}  ${'SIZE'.padEnd(sizes)}  NODES  ${'VOTES'.padEnd(votes)}  DECISION\n`;
  const lines = shown.map((round) => {
    const { at, ready, wanted, decision, size, reason, foretold } = round;
    const nodes = (ready === wanted ? `${ready}` : `${ready}/${wanted}`).padEnd(5);
    const moves = size === wanted ? decision : `${decision} to ${size}`;
    const style = decision === 'stay' ? 'dim' : decision === 'blocked' ? 'yellow' : 'green';
    const ahead = foretold === null || foretold === wanted ? '' : ` [last week: ${foretold}]`;
    const line = `${at.slice(0, 19)}Z  ${drawSize(round).padEnd(sizes)}  ${nodes}  ${drawVotes(round).padEnd(votes)}  ${terminal.paint(style, moves)}: ${reason}${ahead}\n`;
    const each =
      options.nodes === true
        ? round.votes.map(({ node, vote, reason: why }) => `${' '.repeat(22)}${GLYPHS[vote]} ${node}: ${why}\n`)
        : [];
    return line + each.join('');
  });
  return head + lines.join('');
}
