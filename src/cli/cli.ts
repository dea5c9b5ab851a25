// What every command is given: terminal, clock, controller, the person's wishes; and how a change is carried out
// and shown. Apart from the commands, so that all of them wait, print, confirm and fail alike.
import type { Clock } from '../lib/clock.ts';
import { type ApiClient, type ApiRequest, makeClient } from './client.ts';
import { type Context, type ContextFlags, contextPathOf, makeContext, readContextFile } from './context.ts';
import type { AcceptedDocument, OperationDocument, PageDocument } from './documents.ts';
import { renderJson, toCell } from './output.ts';
import { cliProblems, type ExitCode, exitCodes } from './problems.ts';
import { makePlainDisplay, makeSilentDisplay, makeStepDisplay } from './steps/displays.ts';
import { followOperation } from './steps/follow-operation.ts';
import { renderFailure } from './steps/operation-tree.ts';
import type { StepDisplay } from './steps/step-tree.ts';
import type { Terminal } from './terminal.ts';

/** Options that every command takes. */
export interface GlobalOptions extends ContextFlags {
  json?: boolean;
  /** False with `--no-wait`. */
  wait?: boolean;
  dryRun?: boolean;
  yes?: boolean;
  confirm?: string;
  reason?: string;
  /** Seconds. */
  timeout?: number;
}

/** The outside of the program. */
export interface Surroundings {
  terminal: Terminal;
  clock: Clock;
  env: NodeJS.ProcessEnv;
  uid: number;
  /** Aborts at Ctrl-C. */
  signal: AbortSignal;
}

export interface Cli extends Surroundings {
  options: GlobalOptions;
  context: Context;
  client: ApiClient;
}

/** A change as the API takes it, and what to say once it is done. */
export interface Change {
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  ifMatch?: string;
  /** Printed on standard output after success, without `--json`. */
  done?: (operation: OperationDocument) => Promise<string>;
}

/** Reads the context file and builds what commands need. */
export async function makeCli(surroundings: Surroundings, options: GlobalOptions): Promise<Cli> {
  const file = await readContextFile(contextPathOf(surroundings.env));
  const context = makeContext(options, surroundings.env, file, surroundings.uid);
  return { ...surroundings, options, context, client: makeClient(context, options.reason) };
}

/** The same for what acts on this machine: the controller behind the socket here. Refused where another one is named. */
export function toLocal(cli: Cli): Cli {
  const { deployment, dataDir, url } = cli.context;
  if (url !== undefined) {
    const from =
      cli.options.url !== undefined ? '--url' : cli.env.ESPALIER_URL ? 'ESPALIER_URL' : contextPathOf(cli.env);
    throw cliProblems.make('here-only', { url, from });
  }
  const context = { deployment, dataDir };
  return { ...cli, context, client: makeClient(context, cli.options.reason) };
}

/** The same for what cannot go on before its operation has ended: `--no-wait` is refused. */
export function toWaiting(cli: Cli): Cli {
  if (cli.options.wait !== false) return cli;
  throw cliProblems.make('usage', {
    why: 'The daemons can stop only after their operation has ended, so there is no --no-wait',
  });
}

/** Refuses `--dry-run` where nothing can be told beforehand, since it must never be carried out. */
export function toEarnest(cli: Cli): Cli {
  if (cli.options.dryRun !== true) return cli;
  throw cliProblems.make('usage', { why: 'This command has no --dry-run' });
}

/** Talk, on standard error. */
export function say(cli: Cli, line: string): void {
  cli.terminal.err(`${line}\n`);
}

/** The display of steps: with `--json`, lines only where nobody reads standard output as one document. */
export function makeDisplay(cli: Cli, jsonLines = false): StepDisplay {
  if (cli.options.json === true)
    return jsonLines ? makeStepDisplay(cli.terminal, cli.clock, true) : makeSilentDisplay();
  return cli.terminal.live
    ? makeStepDisplay(cli.terminal, cli.clock, false)
    : makePlainDisplay(cli.terminal, cli.clock);
}

/** A list's pages, each when it is wanted. */
export async function* readPages<T>(
  cli: Cli,
  path: string,
  query: Record<string, string | number | undefined> = {},
): AsyncGenerator<T[]> {
  let pageToken: string | undefined;
  do {
    const { body } = await cli.client.request<PageDocument<T>>('GET', path, {
      query: { ...query, pageToken },
      signal: cli.signal,
    });
    yield body.items;
    pageToken = body.nextPageToken;
  } while (pageToken !== undefined);
}

/** Before destroying: the name typed, or `--confirm=NAME`; never a mere yes. Throws `cli.not-confirmed`. */
export async function assertConfirmed(cli: Cli, what: string, name: string): Promise<void> {
  const { confirm, dryRun } = cli.options;
  if (dryRun === true || confirm === name) return;
  if (confirm === undefined && cli.terminal.asks) {
    say(cli, what);
    const typed = await cli.terminal.ask(`Type "${name}" to go on: `);
    if (typed?.trim() === name) return;
  }
  throw cliProblems.make('not-confirmed', { name });
}

/** Asks for the change, follows its operation unless `--no-wait`, prints the outcome, and gives the exit code. */
export async function runChange(cli: Cli, change: Change): Promise<ExitCode> {
  const { options, terminal, client, signal } = cli;
  const request: ApiRequest = {
    signal,
    query: { ...change.query, dryRun: options.dryRun === true ? true : undefined },
    ...(change.body === undefined ? {} : { body: change.body }),
    ...(change.ifMatch === undefined ? {} : { ifMatch: change.ifMatch }),
  };
  const answer = await client.request<unknown>(change.method, change.path, request);
  if (answer.status !== 202) {
    if (options.dryRun === true) say(cli, 'Nothing was changed (--dry-run).');
    if (answer.body !== null)
      terminal.out(options.json === true ? renderJson(answer.body) : await renderDocument(answer.body));
    return exitCodes.done;
  }
  const { operation } = answer.body as AcceptedDocument;
  if (options.wait === false) {
    terminal.out(options.json === true ? renderJson({ operation }) : `${operation.id}\n`);
    return exitCodes.done;
  }
  return await runFollow(cli, operation.id, change.done === undefined ? {} : { done: change.done });
}

/** Follows an operation with steps shown; prints its failure, or what `done` gives (without `--json`). */
export async function runFollow(
  cli: Cli,
  id: string,
  wishes: {
    done?: (operation: OperationDocument) => Promise<string>;
    /** With `--json`: a line for each change of a step, and one for the end, in place of one document. */
    jsonLines?: boolean;
  } = {},
): Promise<ExitCode> {
  const { done, jsonLines = false } = wishes;
  const { terminal, clock, client, signal, options } = cli;
  const display = makeDisplay(cli, jsonLines);
  let family: Awaited<ReturnType<typeof followOperation>>;
  try {
    family = await followOperation(id, {
      ...{ client, clock, display, signal },
      ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout * 1000 }),
      onAway: (why) => {
        if (!terminal.live) say(cli, why === undefined ? 'The controller answers again.' : `Waiting: ${why}`);
      },
    });
  } catch (thrown) {
    if (signal.aborted) {
      say(
        cli,
        `The operation goes on. Follow it: espalier operation wait ${id}; stop it: espalier operation cancel ${id}`,
      );
    }
    throw thrown;
  } finally {
    display.close();
  }
  if (options.json === true) {
    const document = { operation: family.operation };
    terminal.out(jsonLines ? `${JSON.stringify(document)}\n` : renderJson(document));
  }
  if (family.operation.state !== 'succeeded') {
    terminal.err(renderFailure(terminal, family, clock.nowMs()));
    return exitCodes.failed;
  }
  if (options.json !== true && done !== undefined) terminal.out(await done(family.operation));
  return exitCodes.done;
}

/** A document for people: a line a field, lists and objects below it (YAML). */
export async function renderDocument(document: unknown): Promise<string> {
  if (typeof document !== 'object' || document === null) return `${toCell(document)}\n`;
  const { stringify } = await import('yaml');
  return stringify(document, { lineWidth: 0 });
}
