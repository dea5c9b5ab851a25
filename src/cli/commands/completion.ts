// Completion for bash: words from the tree of commands, names from the API. Apart because it must be quick and must
// never say a word of its own: an absent controller means no names, nothing else.
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import type { PageDocument } from '../documents.ts';
import { nouns, type Row } from '../nouns.ts';
import { type ExitCode, exitCodes } from '../problems.ts';

/** A person waits with a finger on the key. */
const NAMES_TIMEOUT_MS = 700;

const SCRIPT = `# bash completion for espalier: source <(espalier completion bash)
_espalier() {
  local IFS=$'\\n'
  COMPREPLY=($("\${COMP_WORDS[0]}" complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _espalier espalier ./espalier
`;

/** Prints the script. */
export function runCompletionScript(cli: Cli): Promise<ExitCode> {
  cli.terminal.out(SCRIPT);
  return Promise.resolve(exitCodes.done);
}

/** What the last of the words may become: fixed words, or the noun whose names are wanted. */
export function findCandidates(root: Command, words: readonly string[]): { words: string[]; noun?: string } {
  let command = root;
  let argument = 0;
  for (let at = 0; at < words.length - 1; at++) {
    const word = words[at] ?? '';
    if (word.startsWith('-')) {
      const option = [...command.options, ...root.options].find((one) => one.long === word || one.short === word);
      const takesValue = option !== undefined && (option.required || option.optional);
      if (takesValue && at === words.length - 2) return candidatesFor(option.attributeName(), option.argChoices);
      if (takesValue) at++;
      continue;
    }
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) argument++;
    else [command, argument] = [next, 0];
  }
  const last = words.at(-1) ?? '';
  if (last.startsWith('-')) {
    const own = command === root ? [] : command.options;
    return { words: [...own, ...root.options].map((one) => one.long ?? '').filter(Boolean) };
  }
  if (command.commands.length > 0) {
    return { words: command.commands.map((one) => one.name()).filter((name) => name !== 'complete') };
  }
  const wanted = command.registeredArguments[argument];
  return wanted === undefined ? { words: [] } : candidatesFor(wanted.name(), wanted.argChoices);
}

function candidatesFor(name: string, choices: string[] | undefined): { words: string[]; noun?: string } {
  if (choices !== undefined) return { words: choices };
  if (name === 'noun') return { words: nouns.map(({ noun }) => noun) };
  return nouns.some(({ noun }) => noun === name) ? { words: [], noun: name } : { words: [] };
}

/** Prints the candidates that begin as the last word does, a line each. */
export async function runComplete(cli: Cli, root: Command, words: readonly string[]): Promise<ExitCode> {
  const last = words.at(-1) ?? '';
  const found = findCandidates(root, words);
  // `why NOUN NAME`: the noun is the word before.
  const noun = words[0] === 'why' && words.length === 3 ? words[1] : found.noun;
  const names = noun === undefined ? [] : await readNames(cli, noun);
  const fitting = [...found.words, ...names].filter((word) => word.startsWith(last));
  cli.terminal.out(fitting.map((word) => `${word}\n`).join(''));
  return exitCodes.done;
}

async function readNames(cli: Cli, name: string): Promise<string[]> {
  const noun = nouns.find((one) => one.noun === name);
  if (noun === undefined) return [];
  try {
    const { body } = await cli.client.request<PageDocument<Row>>('GET', noun.path, { timeoutMs: NAMES_TIMEOUT_MS });
    return body.items.map((row) => String(row[noun.key] ?? '')).filter(Boolean);
  } catch {
    return [];
  }
}
