// What can go wrong with controllers. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const controllerProblems = makeCatalogue('controller', {
  'needs-postgresql': {
    status: 409,
    title: 'The state is in this one controller',
    detail: () => 'The controller keeps its state in its own data directory, so no other controller can have it.',
    todo: () =>
      'A second controller needs a deployment that was begun with ESPALIER_DATABASE_URL: see docs/how-to/use-postgresql.md.',
  },
  'database-here-only': {
    status: 409,
    title: 'Other servers cannot reach the database',
    detail: (a: { host: string }) => `ESPALIER_DATABASE_URL names ${a.host}, which is another machine on each server.`,
    todo: () =>
      'Give `espalier up` here an ESPALIER_DATABASE_URL with an address that every server reaches, then try again.',
  },
  'not-a-server': {
    status: 404,
    title: 'There is no such server to run a controller on',
    detail: (a: { server: string; why: string }) => `${a.server} cannot run a controller: ${a.why}.`,
    todo: () => 'Let the machine join as a server first (`espalier server add`), then add its controller.',
  },
  'there-already': {
    status: 409,
    title: 'The server has a controller',
    detail: (a: { server: string }) => `A controller runs on ${a.server} already.`,
    todo: () => 'Look at `espalier controller list`; remove one that is gone with `espalier controller remove`.',
  },
  'token-unknown': {
    status: 401,
    title: 'The token lets no controller in',
    detail: (a: { why: string }) => `The token is of no use: ${a.why}.`,
    todo: (_: { why: string }) => 'Make a new one with `espalier controller add SERVER`.',
  },
  leads: {
    status: 409,
    title: 'This controller leads',
    detail: (a: { name: string }) => `The controller on ${a.name} leads, so it cannot be removed.`,
    todo: () => 'Stop it first (`systemctl stop espalier-controller` there); another takes over within seconds.',
  },
  'none-leads': {
    status: 503,
    title: 'No controller leads now',
    detail: (a: { name: string }) =>
      `The controller on ${a.name} stands by, and none leads: the last one ended a moment ago, or cannot be reached.`,
    todo: () =>
      'Ask again in some seconds; if it stays so, look at `espalier doctor` and at the logs of the controllers.',
    retryable: true,
  },
  'leader-away': {
    status: 503,
    title: 'The controller that leads does not answer',
    detail: (a: { name: string; leader: string; why: string }) =>
      `The controller on ${a.name} stands by and asked the one on ${a.leader}, which leads: ${a.why}.`,
    todo: () => 'Ask again in some seconds: when it is gone, another takes over.',
    retryable: true,
  },
});
