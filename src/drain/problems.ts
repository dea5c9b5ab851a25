// What can go wrong when servers are emptied and updated. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const drainProblems = makeCatalogue('drain', {
  'wrong-state': {
    status: 409,
    title: 'The server cannot be emptied now',
    detail: (a: { server: string; state: string; reason: string }) => `${a.server} is ${a.state}: ${a.reason}.`,
    todo: (a) =>
      `Only a ready server is emptied: what a lost one carried is made anew elsewhere. Look at \`espalier server show ${a.server}\`.`,
  },
  lost: {
    status: 409,
    title: 'The server was lost while it was emptied',
    detail: (a: { server: string; reason: string }) => `${a.server} is fenced: ${a.reason}.`,
    todo: (a) =>
      `What was left on it is made anew elsewhere, as after any loss. When it is back, empty it again: \`espalier server drain ${a.server}\`.`,
  },
  'home-lost': {
    status: 409,
    title: 'The move ended with the loss of a server',
    detail: (a: { noun: string; name: string; server: string }) =>
      `The ${a.noun} server ${a.name} was moving, and ${a.server} was fenced meanwhile.`,
    todo: (a) =>
      `It lives where it did, with all its data; \`espalier server show ${a.server}\` says what becomes of that server.`,
  },
  'not-draining': {
    status: 409,
    title: 'The server is not being emptied',
    detail: (a: { server: string; state: string }) => `${a.server} is ${a.state} and takes what is placed on it.`,
    todo: () => 'There is nothing to take back.',
  },
  'stays-behind': {
    status: 409,
    title: 'Not everything can leave the server',
    detail: (a: { server: string; what: string }) => `On ${a.server} there would stay: ${a.what}.`,
    todo: () =>
      'Give --leave-behind to move what can be moved all the same: what stays is away while the server is. Nothing was changed.',
  },
  busy: {
    status: 503,
    title: 'Something else is under way there',
    detail: (a: { what: string; why: string }) => `${a.what} cannot leave yet: ${a.why}.`,
    todo: () => 'It goes on by itself when that is over; `espalier operation list` shows it.',
    retryable: true,
  },
  'requests-last': {
    status: 409,
    title: 'Requests under way do not end',
    detail: (a: { noun: string; name: string; seconds: number }) =>
      `Requests to sites of the ${a.noun} server ${a.name} were still under way after ${a.seconds} s.`,
    todo: () => 'It serves where it was, and visitors were let go. Try at a quieter time.',
  },
  'update-failed': {
    status: 500,
    title: 'The packages of the server could not be upgraded',
    detail: (a: { server: string; why: string }) => `On ${a.server}: ${a.why}`,
    todo: (a) =>
      `${a.server} stays empty, no other server was touched. Mend it, then give the same command again, or \`espalier server undrain ${a.server}\`.`,
  },
  'not-back': {
    status: 503,
    title: 'The server is not back yet',
    detail: (a: { server: string; why: string }) => `${a.server} ${a.why}.`,
    todo: () => 'It is waited for. If it stays away, look at its console; `espalier up` there starts its agent.',
    retryable: true,
  },
  'not-well': {
    status: 503,
    title: 'The deployment is not well enough for the next server',
    detail: (a: { why: string }) => `Before another server is emptied: ${a.why}.`,
    todo: () => 'It is waited for; `espalier doctor` says what is wrong.',
    retryable: true,
  },
});
