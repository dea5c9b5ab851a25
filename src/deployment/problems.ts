// What can go wrong with the deployment as a whole. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const deploymentProblems = makeCatalogue('deployment', {
  'port-taken': {
    status: 409,
    title: 'The port for visitors is taken',
    detail: (a: { port: number }) => `Something else listens on port ${a.port} of this machine.`,
    todo: () => 'Choose another: `espalier up --http-port 8081`.',
  },
  'port-held': {
    status: 409,
    title: 'Something else holds the port for visitors',
    detail: (a: { port: number }) => `Sites are served on port ${a.port}, where something else listens now.`,
    todo: (a) => `Stop it (\`ss -ltnp 'sport = :${a.port}'\` names it), then run \`espalier up\` again.`,
  },
  'port-fixed': {
    status: 409,
    title: 'The port for visitors is chosen already',
    detail: (a: { port: number; asked: number }) => `Sites are served on port ${a.port}; ${a.asked} was asked for.`,
    todo: () =>
      "The port is part of every site's address. Leave it out, or make another deployment with `--deployment NAME`.",
  },
  'not-made': {
    status: 409,
    title: 'The deployment has not been made yet',
    detail: () => 'The deployment has no network yet.',
    todo: () => 'Run `espalier up` first.',
  },
});
