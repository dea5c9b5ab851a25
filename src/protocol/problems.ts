// What can go wrong between controller and agent. Apart so that both programs throw the same.
import { makeCatalogue } from '../lib/errors.ts';

export const protocolProblems = makeCatalogue('protocol', {
  disconnected: {
    status: 503,
    title: 'The other side is not connected',
    detail: (a: { name: string }) => `The ${a.name} is not connected.`,
    todo: () => 'It is waited for; if it stays away, run `espalier doctor`, then `espalier up`.',
    retryable: true,
  },
  'no-answer': {
    status: 504,
    title: 'The other side did not answer in time',
    detail: (a: { name: string; method: string; seconds: number }) =>
      `The ${a.name} did not answer ${a.method} within ${a.seconds} s.`,
    todo: () => 'It is tried again; if it goes on, run `espalier doctor`.',
    retryable: true,
  },
  'unknown-method': {
    status: 501,
    title: 'The other side is of another version',
    detail: (a: { method: string }) => `The method ${a.method} is not known here.`,
    todo: () => 'Bring controller and agents to the same version: run `espalier up` on every server.',
  },
  'bad-reply': {
    status: 502,
    title: 'The other side answered something unexpected',
    detail: (a: { name: string; method: string }) =>
      `The ${a.name} answered ${a.method} in a shape that is not the protocol's.`,
    todo: () => 'Bring controller and agents to the same version: run `espalier up` on every server.',
  },
  'no-identity': {
    status: 500,
    title: 'The server does not know who it is',
    detail: (a: { file: string }) =>
      `${a.file} is missing or not whole: it holds the key with which the agent is let in.`,
    todo: () => 'Let this machine join anew: `espalier server join TOKEN`, with a token of `espalier server add`.',
  },
  'other-authority': {
    status: 502,
    title: 'The controller is of another cluster',
    detail: (a: { where: string; why: string }) =>
      `What answers at ${a.where} is not the controller of the cluster that this server belongs to, by its certificate: ${a.why}.`,
    todo: () =>
      'See that the address leads to the right controller and that the clock here is right; to change to that cluster, let this machine join it: `espalier server join TOKEN`.',
  },
  'command-failed': {
    status: 500,
    title: 'A command on the server failed',
    detail: (a: { command: string; code: number; why: string }) =>
      `${a.command} ended with exit code ${a.code}: ${a.why}`,
    todo: () => 'Read the output above; the same command can be given on that server.',
  },
  'content-away': {
    status: 503,
    title: 'The shared folder is not there',
    detail: (a: { why: string }) => `Nothing can be done with content on this server: ${a.why}.`,
    todo: () => 'Mount it on that server again; what waits for it goes on by itself.',
    retryable: true,
  },
});
