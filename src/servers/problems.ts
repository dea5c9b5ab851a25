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
});
