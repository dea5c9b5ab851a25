// What can go wrong with servers. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const serverProblems = makeCatalogue('server', {
  'not-connected': {
    status: 503,
    title: 'The agent of a server is not connected',
    detail: (a: { server: string }) => `The agent on ${a.server} is not connected to the controller.`,
    todo: () => 'It is waited for. If it stays away, run `espalier doctor` there, then `espalier up`.',
    retryable: true,
  },
  'no-address-left': {
    status: 507,
    title: 'The network has no free address',
    detail: (a: { network: string }) => `Every address of ${a.network} is in use.`,
    todo: () => 'Delete containers that are no longer needed, or make the deployment anew with a larger network.',
  },
  'none-ready': {
    status: 503,
    title: 'No server can take a container now',
    detail: (a: { why: string }) => `No server is ready: ${a.why}.`,
    todo: () => 'Look at `espalier server list`; start the agent of a server with `espalier up`.',
    retryable: true,
  },
  'no-memory': {
    status: 507,
    title: 'No server has enough free memory',
    detail: (a: { neededMb: number; best: string }) => `${a.neededMb} MB are needed; ${a.best}.`,
    todo: () => 'Remove nodes that are not needed, add memory, or add a server.',
  },
  'no-disk': {
    status: 507,
    title: 'There is not enough free disk',
    detail: (a: { neededMb: number; freeMb: number; where: string }) =>
      `${a.neededMb} MB are needed on ${a.where}; ${a.freeMb} MB are free.`,
    todo: () => 'Free some disk (`espalier image list`, old backups), then try again.',
  },
  'agent-other-version': {
    status: 409,
    title: 'The agent speaks another version',
    detail: (a: { server: string; agent: number; controller: number }) =>
      `The agent on ${a.server} speaks protocol ${a.agent}, the controller ${a.controller}.`,
    todo: () => 'Run `espalier up` on that server so that both are of one version.',
  },
  'cluster-not-made': {
    status: 409,
    title: 'The deployment is one server alone',
    detail: () => 'Others can join only when this server has been made the first of a cluster.',
    todo: () =>
      'Run `espalier cluster make --address ADDRESS`, with the address at which the others reach this server.',
  },
  'cluster-made': {
    status: 409,
    title: 'The cluster is made already',
    detail: (a: { address: string }) => `This deployment is a cluster, which others reach at ${a.address}.`,
    todo: () => 'Add a server with `espalier server add`; `espalier cluster show` tells how the cluster was made.',
  },
  'address-elsewhere': {
    status: 400,
    title: 'The address is not one of this server',
    detail: (a: { address: string; known: string }) => `This server has no address ${a.address}; it has ${a.known}.`,
    todo: () => 'Give the one at which the other servers reach this one.',
  },
  'content-unusable': {
    status: 400,
    title: 'The shared folder cannot be used',
    detail: (a: { path: string; why: string }) => `${a.path} cannot hold the content of sites: ${a.why}.`,
    todo: () => 'Mount it on this server, writable for root and without changing owners, then try again.',
  },
  'join-token-unknown': {
    status: 401,
    title: 'The token is not one of this cluster',
    detail: () => 'The controller knows no such token: it was mistyped, or made by another cluster.',
    todo: () => 'Make a new one there with `espalier server add`.',
  },
  'join-token-used': {
    status: 409,
    title: 'The token was used by another machine',
    detail: (a: { server: string }) => `Each token is good for one machine, and with this one ${a.server} joined.`,
    todo: () => 'Make a new one with `espalier server add`.',
  },
  'join-token-expired': {
    status: 403,
    title: 'The token has expired',
    detail: () => 'The time in which this token could be used is over.',
    todo: () => 'Make a new one with `espalier server add`.',
  },
  'join-other-version': {
    status: 409,
    title: 'The machine has another version of Espalier',
    detail: (a: { server: string; agent: string; controller: string }) =>
      `${a.server} has ${a.agent}, the controller ${a.controller}.`,
    todo: () => 'Bring the checkout there to the same version, then run the same command again.',
  },
  'clock-off': {
    status: 409,
    title: "The machine's clock is wrong",
    detail: (a: { server: string; seconds: number }) =>
      `The clock of ${a.server} is ${Math.abs(a.seconds)} s ${a.seconds > 0 ? 'ahead of' : 'behind'} the controller's.`,
    todo: () => 'Let both follow a time server (`timedatectl set-ntp true`), then run the same command again.',
  },
  'name-taken': {
    status: 409,
    title: 'There is a server of that name',
    detail: (a: { server: string }) => `The cluster has a server ${a.server}, and this machine is another one.`,
    todo: () => 'Give this machine another host name (`hostnamectl hostname NAME`), then run the same command again.',
  },
  'certificate-refused': {
    status: 403,
    title: 'The certificate of the server does not count',
    detail: (a: { why: string }) => `The certificate that the agent shows is refused: ${a.why}.`,
    todo: () => 'Let the machine join anew with a token of `espalier server add`.',
  },
  'only-one-away': {
    status: 503,
    title: 'The only server that can take it is away',
    detail: (a: { server: string; why: string }) => `It can be on ${a.server} only, which is not ready: ${a.why}.`,
    todo: (a) => `Bring ${a.server} back; \`espalier server show ${a.server}\` says what it lacks.`,
    retryable: true,
  },
  'being-fenced': {
    status: 503,
    title: 'The server is being fenced',
    detail: (a: { server: string }) =>
      `${a.server} was gone and is being kept from the databases; it is let in again when that is done and it is cleaned.`,
    todo: (a) => `Wait. \`espalier operation list\` shows what the fence of ${a.server} waits for.`,
    retryable: true,
  },
  'not-lost': {
    status: 409,
    title: 'Only a lost server can be fenced',
    detail: (a: { server: string; state: string }) => `${a.server} is ${a.state}.`,
    todo: () =>
      'A server that is heard is not fenced. Switch it off if it must stop, and wait until it counts as lost.',
  },
  'has-controller': {
    status: 409,
    title: 'The controller runs on this server',
    detail: (a: { server: string }) => `${a.server} has the controller that leads.`,
    todo: () =>
      'Let one on another server lead first (docs/how-to/add-a-controller.md), or run `espalier destroy` there to end the whole deployment.',
  },
  'not-empty': {
    status: 409,
    title: 'Something lives on the server',
    detail: (a: { server: string; tenants: string }) => `On ${a.server} there are still ${a.tenants}.`,
    todo: () => 'Empty it first: `espalier server drain NAME` says what cannot go and why.',
  },
});
