// `up`: the machine's preparation, the daemons, then the deployment itself by the API. Reads as the story of it.
// Every part finds out what is there already, so a second `up`, or one after an interruption, only does what is missing.
import { type Problem, toProblem } from '../../lib/errors.ts';
import { type Cli, makeDisplay, runFollow, say } from '../cli.ts';
import { type Login, renderLogins } from '../commands/logins.ts';
import { type AcceptedDocument, hasEnded, type OperationDocument } from '../documents.ts';
import { renderJson, renderProblem } from '../output.ts';
import { type ExitCode, exitCodes } from '../problems.ts';
import { renderDuration } from '../steps/step-tree.ts';
import { makeDaemonSteps } from './daemon-steps.ts';
import { type DeploymentSettings, joinSettings, listDaemons, readSettings, writeSettings } from './deployment.ts';
import { findMissing, readHost } from './host.ts';
import { makeHostSteps } from './prepare-host.ts';
import { projectDirOf, readBuild } from './project.ts';
import { type HostStep, runSteps, StepFailed } from './run-steps.ts';

export interface UpOptions {
  simulated?: boolean;
  apiPort?: number;
  httpPort?: number;
}

/** Runs it all; ends with addresses and first passwords on standard output. */
export async function runUp(cli: Cli, options: UpOptions): Promise<ExitCode> {
  const { clock, context, env, terminal } = cli;
  const startedMs = clock.monotonicMs();
  const { deployment, dataDir } = context;
  const before = await readSettings(dataDir);
  const simulated = options.simulated ?? (await offerSimulated(cli, before));
  const settings = joinSettings({ deployment, simulated, apiPort: options.apiPort, env }, before, dataDir);

  const hostSteps = settings.simulated ? [] : makeHostSteps({ dataDir, env, clock });
  const prepared = await runLocalSteps(cli, [...hostSteps, ...(await makeStartSteps(cli, settings))]);
  if (!prepared) return exitCodes.failed;
  if (settings.joined !== undefined) {
    say(cli, `This server is ${settings.joined.name} of the cluster of ${settings.joined.controller}; its agent runs.`);
    return exitCodes.done;
  }

  const outcome = await runDeployment(cli, {
    kind: 'deployment.up',
    method: 'POST',
    path: '/v1/deployment',
    body: { httpPort: options.httpPort },
  });
  if (outcome !== exitCodes.done || cli.options.wait === false) return outcome;
  const { body } = await cli.client.request<{ sites: Login[] }>('GET', '/v1/deployment', { signal: cli.signal });
  terminal.out(cli.options.json === true ? `${JSON.stringify({ result: body })}\n` : renderLogins(body.sites));
  if (settings.simulated) say(cli, 'The fleet is simulated: nothing listens at the addresses of its sites.');
  say(cli, `Up in ${renderDuration(clock.monotonicMs() - startedMs)}.`);
  return exitCodes.done;
}

/** On a machine that cannot run containers: the simulated fleet, if the person wants it. */
async function offerSimulated(cli: Cli, before: DeploymentSettings | undefined): Promise<boolean | undefined> {
  if (before !== undefined) return before.simulated;
  const missing = findMissing(await readHost(cli.context.dataDir));
  if (missing === undefined) return undefined;
  if (cli.options.yes === true) return true;
  if (!cli.terminal.asks) return undefined;
  say(cli, `${missing}.`);
  const typed = await cli.terminal.ask('Start the simulated fleet instead, to look around (up --simulated)? [y/N] ');
  return /^y(es)?$/i.test(typed?.trim() ?? '') ? true : undefined;
}

/** Remember how, then start the daemons. */
export async function makeStartSteps(cli: Cli, settings: DeploymentSettings): Promise<HostStep[]> {
  const { dataDir } = cli.context;
  const daemons = listDaemons(settings, dataDir, await readBuild(projectDirOf()));
  const remember: HostStep = {
    name: 'Make the data directory',
    async run() {
      await writeSettings(dataDir, settings);
      return dataDir;
    },
  };
  return [remember, ...makeDaemonSteps(cli, daemons)];
}

/** Runs steps on this machine, shown; false (and the reason printed) when one failed. */
export async function runLocalSteps(cli: Cli, steps: readonly HostStep[]): Promise<boolean> {
  const { terminal, clock, signal } = cli;
  const display = makeDisplay(cli, true);
  const failure = await runSteps(steps, { display, clock, signal })
    .then(() => undefined)
    .catch((thrown: unknown) => {
      if (thrown instanceof StepFailed) return thrown;
      throw thrown;
    })
    .finally(() => display.close());
  if (failure === undefined) return true;
  const { document } = toProblem(failure.cause);
  terminal.err(failure.lines.map((line) => terminal.paint('dim', `    | ${line}\n`)).join(''));
  terminal.err(renderProblem(terminal, document));
  if (cli.options.json === true) terminal.out(`${JSON.stringify({ problem: document })}\n`);
  return false;
}

/** Asks the API for a deployment operation and follows it; one of the same kind that is under way already is joined. */
export async function runDeployment(
  cli: Cli,
  change: { kind: string; method: 'POST' | 'DELETE'; path: string; body?: unknown },
): Promise<ExitCode> {
  const { client, signal, terminal, options } = cli;
  const { kind, method, path, body } = change;
  let id: string;
  try {
    const request = { signal, ...(body === undefined ? {} : { body }) };
    id = (await client.request<AcceptedDocument>(method, path, request)).body.operation.id;
  } catch (thrown) {
    const holder = await readHolder(cli, toProblem(thrown), kind);
    if (holder === undefined) throw thrown;
    say(cli, `Going on with the operation ${holder}, which is under way already.`);
    id = holder;
  }
  if (options.wait !== false) return await runFollow(cli, id, { jsonLines: true });
  terminal.out(options.json === true ? renderJson({ operation: { id } }) : `${id}\n`);
  return exitCodes.done;
}

/** The operation that holds the lock (from the problem `operations.locked`), if it is one of this kind. */
async function readHolder(cli: Cli, problem: Problem, kind: string): Promise<string | undefined> {
  const id = problem.code === 'operations.locked' ? problem.document.about?.holder : undefined;
  if (typeof id !== 'string') return undefined;
  const { body } = await cli.client.request<OperationDocument>('GET', `/v1/operations/${id}`, { signal: cli.signal });
  return body.kind === kind && !hasEnded(body) ? id : undefined;
}
