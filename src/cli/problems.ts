// What can go wrong on the command line itself, and the exit code of every outcome. Apart from the API's problems,
// which arrive as documents and are printed as they are.
import { makeCatalogue, type Problem } from '../lib/errors.ts';

export const cliProblems = makeCatalogue('cli', {
  usage: {
    status: 400,
    title: 'The command is not complete',
    detail: (a: { why: string }) => `${a.why}.`,
    todo: () => 'Add `--help` to see what the command takes.',
  },
  'here-only': {
    status: 400,
    title: 'This command acts on this machine only',
    detail: (a: { url: string; from: string }) =>
      `${a.from} names the controller at ${a.url}, but up, down and destroy act on the machine that they run on. Nothing was done.`,
    todo: (a) =>
      `To act on that controller's deployment, run the command on its machine; to act on this machine, give no url by ${a.from}.`,
  },
  'unknown-certificate': {
    status: 502,
    title: 'The certificate of the controller is not trusted',
    detail: (a: { where: string; why: string }) =>
      `The controller at ${a.where} answers with a certificate that no authority known here has signed (${a.why}).`,
    todo: () =>
      "Copy tls/server.crt from the controller's data directory, then `espalier context set --ca FILE` trusts it.",
  },
  'not-reachable': {
    status: 503,
    title: 'The controller does not answer',
    detail: (a: { where: string; why: string }) => `The controller at ${a.where} does not answer (${a.why}).`,
    todo: () => 'Start it with `espalier up`, or name another with --url; `espalier doctor` says more.',
    retryable: true,
  },
  'bad-answer': {
    status: 502,
    title: 'The answer is not one of ours',
    detail: (a: { where: string; status: number }) => `${a.where} answered ${a.status} without a problem document.`,
    todo: () => 'Check --url; a proxy in between may answer in the place of the controller.',
  },
  'timed-out': {
    status: 504,
    title: 'It was not finished in time',
    detail: (a: { what: string; seconds: number }) => `${a.what} was not finished within ${a.seconds} s.`,
    todo: () => 'The operation goes on; follow it with `espalier operation wait ID`.',
  },
  'not-confirmed': {
    status: 400,
    title: 'Not confirmed',
    detail: (a: { name: string }) => `This destroys ${a.name}, and it was not confirmed.`,
    todo: (a) => `Type the name when asked, or add --confirm=${a.name}.`,
  },
  'bad-context': {
    status: 400,
    title: 'The context file is not valid',
    detail: (a: { path: string; why: string }) => `${a.path} cannot be used: ${a.why}.`,
    todo: () => 'Correct or delete it; it holds {"url", "token", "ca", "deployment", "dataDir"}, all optional.',
  },
  'host-unfit': {
    status: 400,
    title: 'This machine cannot run Espalier',
    detail: (a: { missing: string }) => `${a.missing}.`,
    todo: () => 'To look around without it: `espalier up --simulated` (needs no root, no Incus).',
  },
  'bad-deployment': {
    status: 500,
    title: 'The settings of the deployment cannot be read',
    detail: (a: { path: string }) => `${a.path} is not what \`espalier up\` writes.`,
    todo: () => 'Correct it by hand (deployment, simulated, env), or name another folder with --data-dir.',
  },
  'other-deployment': {
    status: 409,
    title: 'Another deployment lives here',
    detail: (a: { dataDir: string; found: string }) => `${a.dataDir} holds ${a.found}.`,
    todo: () =>
      'Choose another with --deployment NAME or --data-dir, or remove that one first with `espalier destroy`.',
  },
  'no-deployment': {
    status: 404,
    title: 'There is no deployment',
    detail: (a: { dataDir: string }) => `There is no deployment in ${a.dataDir}.`,
    todo: () => 'Start one with `espalier up`, or name it with --deployment or --data-dir.',
  },
  'command-failed': {
    status: 500,
    title: 'A command of the preparation failed',
    detail: (a: { command: string; ended: string }) => `\`${a.command}\` ${a.ended}.`,
    todo: () => 'Its output is above. Correct the cause and run `espalier up` again; it goes on where it stopped.',
  },
  'no-incus': {
    status: 500,
    title: "Incus's client cannot be run",
    detail: (a: { why: string }) => `A shell in a container is opened by the program incus: ${a.why}.`,
    todo: () => 'Run it as root on the machine of the deployment; `espalier up` installs Incus with its client there.',
  },
  'bad-join-token': {
    status: 400,
    title: 'This is no join token',
    detail: () => 'What was given is not what `espalier server add` or `controller add` prints, or not all of it.',
    todo: () => 'Copy the whole token, from esj_ (a server) or esc_ (a controller) to its end.',
  },
  'other-controller': {
    status: 403,
    title: 'This is not the controller of the cluster',
    detail: (a: { controller: string }) =>
      `At ${a.controller} another answers, by its certificate, than the controller that made the token or let this server in; nothing was sent to it.`,
    todo: () =>
      'Make a new token there and join with it if the deployment was made anew; else find out who answers at that address, and whether the clock here is right.',
  },
  'incus-in-use': {
    status: 409,
    title: 'The Incus of this machine is in use',
    detail: (a: { has: string }) => `A machine joins with an empty Incus, and this one has ${a.has}.`,
    todo: () => 'Remove them, or take another machine.',
  },
  'other-cluster': {
    status: 409,
    title: 'This machine is in another cluster',
    detail: (a: { member: string }) =>
      `Its Incus is the member ${a.member} of a cluster which the controller does not know as its own.`,
    todo: () => 'Take it out there first (`espalier server remove`, or `incus cluster remove`), then join again.',
  },
  'incus-left': {
    status: 409,
    title: 'The cluster counts this machine in, and it is not',
    detail: (a: { server: string }) =>
      `Incus's cluster has a member ${a.server}, but the Incus of this machine is none; it was made anew since.`,
    todo: (a) => `Remove it with \`espalier server remove ${a.server}\`, then join again with a new token.`,
  },
  'other-content': {
    status: 409,
    title: 'This machine does not see the shared folder',
    detail: (a: { why: string }) => `The servers of the cluster share a folder for content, but ${a.why}.`,
    todo: () => 'Mount it here under the same path, then run the same command again.',
  },
  'not-joined': {
    status: 409,
    title: 'This machine is no server of a cluster',
    detail: (a: { dataDir: string }) => `${a.dataDir} holds no server that joined a cluster.`,
    todo: () => 'Let it join first: `espalier server join TOKEN`, with a token of `espalier server add`.',
  },
  'joined-server': {
    status: 409,
    title: 'This server belongs to a cluster',
    detail: (a: { name: string; controller: string }) =>
      `This machine is the server ${a.name} of the cluster whose controller is at ${a.controller}.`,
    todo: (a) => `Take it out there first: \`espalier server remove ${a.name}\`.`,
  },
  'no-lab': {
    status: 404,
    title: 'There is no such lab',
    detail: (a: { lab: string }) => `There is no lab "${a.lab}" on this machine.`,
    todo: () => 'Make one with `espalier lab up`, or name another with --lab.',
  },
  'no-network': {
    status: 507,
    title: 'This machine has no network left',
    detail: () => 'Every network of 10.64.0.0/10 overlaps one that this machine has.',
    todo: () => 'Remove a deployment or a lab that is no longer needed.',
  },
  'no-lab-server': {
    status: 404,
    title: 'The lab has no such server',
    detail: (a: { lab: string; name: string; known: string }) =>
      `The lab "${a.lab}" has no server ${a.name}; it has ${a.known || 'none'}.`,
    todo: () => 'Name one of them; `espalier lab status` shows them.',
  },
  'lab-server-stopped': {
    status: 409,
    title: 'The server of the lab is off',
    detail: (a: { name: string; verb: string }) => `${a.name} is off, so there is nothing to ${a.verb}.`,
    todo: (a) => `Power it on with \`espalier lab heal ${a.name}\`.`,
  },
  'daemon-silent': {
    status: 503,
    title: 'A daemon was started and does not answer',
    detail: (a: { name: string; seconds: number; logPath: string }) =>
      `${a.name} was started, but does not answer after ${a.seconds} s.`,
    todo: (a) => `Read the end of ${a.logPath}, correct the cause and run \`espalier up\` again.`,
  },
});

/** Exit codes: done, failed or rolled back, usage, timed out, not allowed, interrupted. */
export const exitCodes = { done: 0, failed: 1, usage: 2, timedOut: 3, notAllowed: 4, interrupted: 130 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The exit code that a problem means. */
export function exitCodeOf(problem: Problem): ExitCode {
  if (['cli.usage', 'cli.here-only', 'cli.not-confirmed'].includes(problem.code)) return exitCodes.usage;
  if (problem.document.status === 504) return exitCodes.timedOut;
  if (problem.document.status === 401 || problem.document.status === 403) return exitCodes.notAllowed;
  return exitCodes.failed;
}
