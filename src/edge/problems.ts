// What can go wrong with edges. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const edgeProblems = makeCatalogue('edge', {
  'none-yet': {
    status: 409,
    title: 'There is no edge yet',
    detail: () => 'The first edge is made when the deployment is brought up.',
    todo: () => 'Run `espalier up` first.',
  },
  taken: {
    status: 409,
    title: 'There is an edge of that name',
    detail: (a: { edge: string }) => `There is an edge ${a.edge} already.`,
    todo: () => 'Give another name, or none; `espalier edge list` shows them.',
  },
  'not-there': {
    status: 409,
    title: 'The edge cannot be on that server',
    detail: (a: { server: string; why: string }) => `The edge cannot be on ${a.server}: ${a.why}.`,
    todo: () => 'Name another one of `espalier server list`, or none.',
  },
  'no-other-server': {
    status: 409,
    title: 'Every server has an edge',
    detail: (a: { edges: number }) =>
      `Each edge is on a server of its own, and all servers that are ready have one (${a.edges} in all).`,
    todo: () => 'Add a server with `espalier server add`.',
  },
  last: {
    status: 409,
    title: 'It is the only edge that serves',
    detail: (a: { edge: string }) => `Without ${a.edge} no visitor would reach a site.`,
    todo: () => 'Make another one first: `espalier edge create`.',
  },
  'address-taken': {
    status: 409,
    title: 'The address belongs to a server',
    detail: (a: { address: string; server: string }) => `${a.address} is the address of ${a.server} itself.`,
    todo: () => 'Choose one in the same network that nobody has.',
  },
  'nobody-holds': {
    status: 503,
    title: 'No edge holds the shared address yet',
    detail: (a: { address: string }) => `No server with an edge has taken ${a.address}.`,
    todo: () =>
      'It is waited for. If it stays so, see whether the package keepalived is on these servers (`espalier up` there) and read the log of their agents.',
    retryable: true,
  },
  silent: {
    status: 503,
    title: 'The edge does not answer yet',
    detail: (a: { edge: string; why: string }) => `The edge ${a.edge} does not answer: ${a.why}.`,
    todo: () => 'It is waited for; `espalier doctor` says how its container is.',
    retryable: true,
  },
});
