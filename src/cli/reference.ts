// The reference page of the command line, made from the commands themselves.
//   node src/cli/reference.ts    writes docs/reference/cli.md
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { makeSystemClock } from '../lib/clock.ts';
import { makeProgram } from './program.ts';
import { makeMemoryTerminal } from './terminal.ts';
import { projectDirOf, readVersion } from './up/project.ts';

const HEAD = `# The command line

\`espalier NOUN VERB\`: the same verbs for every noun. Data goes to standard output, talk to standard error; \`--json\` gives
data as JSON. A command that changes something waits for its end and shows its steps; \`--no-wait\` prints the operation's id.
This page is made from the code by \`node src/cli/reference.ts\`.
`;

function* listLeaves(command: Command): Generator<Command> {
  for (const child of command.commands) {
    if (child.commands.length > 0) yield* listLeaves(child);
    else if (child.name() !== 'help' && child.name() !== 'complete') yield child;
  }
}

/** The line of a command as it is typed. */
function usageOf(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
  const required = command.options.filter((option) => option.mandatory).map((option) => option.flags);
  const args = command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  return [...names, ...args, ...required].join(' ');
}

function renderOptions(command: Command): string {
  const line = (flags: string, description: string) => `- \`${flags}\`: ${description}\n`;
  return command.options
    .filter((option) => !option.hidden)
    .map((option) =>
      line(
        option.flags,
        option.argChoices === undefined
          ? option.description
          : `${option.description} (${option.argChoices.join(', ')})`,
      ),
    )
    .join('');
}

/** docs/reference/cli.md. */
export async function renderCliPage(): Promise<string> {
  const surroundings = {
    ...{ terminal: makeMemoryTerminal(), clock: makeSystemClock(), env: {}, uid: 0 },
    signal: new AbortController().signal,
  };
  const root = makeProgram(await readVersion(projectDirOf()), surroundings).command;
  const commands = [...listLeaves(root)].map((command) => {
    const options = renderOptions(command);
    return `### \`${usageOf(command)}\`\n\n${command.description()}.\n${options === '' ? '' : `\n${options}`}`;
  });
  const exitCodes = `## Exit codes

| code | means |
|---|---|
| 0 | done |
| 1 | failed, or rolled back |
| 2 | the command was not complete, or not confirmed |
| 3 | timed out; the operation goes on |
| 4 | not allowed |
| 130 | interrupted; the operation goes on |
`;
  return [
    HEAD,
    `## Every command takes\n\n${renderOptions(root)}`,
    exitCodes,
    `## Commands\n\n${commands.join('\n')}`,
  ].join('\n');
}

/** Where it is committed. */
export const cliPagePathOf = (): string => join(projectDirOf(), 'docs/reference/cli.md');

if (import.meta.main) await writeFile(cliPagePathOf(), await renderCliPage());
