// The verbs that break a lab's servers and bring them back. Each may be given again; `heal` undoes all of them.
import type { Cli } from '../cli.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';
import { runToSuccess } from '../run-command.ts';
import { type Cut, renderCut, renderCutWords, renderHeal, renderNft } from './cut.ts';
import { CUT_LABEL, renderIncus } from './lab.ts';
import { type LabServer, readLabServer } from './state.ts';
import { waitForBoot } from './up.ts';

const CHANGE_TIMEOUT_MS = 60_000;

/** Runs commands one after another. */
async function runAll(cli: Cli, commands: readonly (readonly string[])[]): Promise<void> {
  for (const argv of commands) await runToSuccess(argv, { timeoutMs: CHANGE_TIMEOUT_MS, signal: cli.signal });
}

function assertNotStopped(server: LabServer, verb: string): void {
  if (server.state === 'stopped') throw cliProblems.make('lab-server-stopped', { name: server.name, verb });
}

/** A server's rules end with its network; so does the word of them. */
const renderForgotten = (lab: string, { name, cut }: LabServer): string[][] =>
  cut === '' ? [] : [renderIncus(lab, 'config', 'unset', name, CUT_LABEL)];

/** Power off: nothing is asked, nothing is written. */
export async function runKill(cli: Cli, lab: string, name: string): Promise<ExitCode> {
  const server = await readLabServer(cli, lab, name);
  if (server.state === 'stopped') return exitCodes.done;
  // A frozen one could not be killed: its processes take no signal.
  if (server.state === 'frozen') await runAll(cli, [renderIncus(lab, 'resume', name)]);
  await runAll(cli, [renderIncus(lab, 'stop', '--force', name), ...renderForgotten(lab, server)]);
  return exitCodes.done;
}

/** Every process of it stops where it is, its containers' too. */
export async function runFreeze(cli: Cli, lab: string, name: string): Promise<ExitCode> {
  const server = await readLabServer(cli, lab, name);
  assertNotStopped(server, 'freeze');
  if (server.state === 'running') await runAll(cli, [renderIncus(lab, 'pause', name)]);
  return exitCodes.done;
}

/** Drops its packets. */
export async function runCut(cli: Cli, lab: string, name: string, cut: Cut): Promise<ExitCode> {
  const server = await readLabServer(cli, lab, name);
  assertNotStopped(server, 'cut off');
  await runAll(cli, [
    renderNft(server.pid, renderCut(cut)),
    renderIncus(lab, 'config', 'set', name, `${CUT_LABEL}=${renderCutWords(cut)}`),
  ]);
  return exitCodes.done;
}

/** Powered on, going on, connected. */
export async function runHeal(cli: Cli, lab: string, name: string): Promise<ExitCode> {
  const server = await readLabServer(cli, lab, name);
  if (server.pid !== 0) await runAll(cli, [renderNft(server.pid, renderHeal())]);
  await runAll(cli, renderForgotten(lab, server));
  if (server.state === 'frozen') await runAll(cli, [renderIncus(lab, 'resume', name)]);
  if (server.state === 'stopped') await runAll(cli, [renderIncus(lab, 'start', name)]);
  await waitForBoot(cli, lab, name, cli.signal);
  return exitCodes.done;
}
