// What can go wrong with operations as such, whatever they do. Apart so that the whole catalogue is read in one go.
import { makeCatalogue } from '../../lib/errors.ts';

export const operationProblems = makeCatalogue('operations', {
  locked: {
    status: 409,
    title: 'Another operation is under way',
    detail: (a: { lock: string; holder: string; title: string; state: string }) =>
      a.state === 'fatal'
        ? `${a.lock} is still held by operation ${a.holder} (${a.title}), which could not undo what it had done.`
        : `${a.lock} is being changed by operation ${a.holder} (${a.title}), which is ${a.state}.`,
    todo: (a) =>
      a.state === 'fatal'
        ? `See \`espalier operation show ${a.holder}\`; then \`espalier operation resume ${a.holder}\` once the cause is gone, or \`espalier operation release ${a.holder}\` once you have cleaned up by hand.`
        : `Wait for it with \`espalier operation wait ${a.holder}\`, or stop it with \`espalier operation cancel ${a.holder}\`.`,
  },
  'unknown-kind': {
    status: 500,
    title: 'There is no such kind of operation',
    detail: (a: { kind: string }) => `No operation of the kind ${a.kind} is known to this program.`,
    todo: () => 'Start the version of Espalier that knows it.',
  },
  ended: {
    status: 409,
    title: 'The operation has ended',
    detail: (a: { id: string; state: string }) => `Operation ${a.id} has ended: it is ${a.state}.`,
    todo: (a) => `See what it did with \`espalier operation show ${a.id}\`.`,
  },
  'not-fatal': {
    status: 409,
    title: 'The operation is not fatal',
    detail: (a: { id: string; state: string }) =>
      `Operation ${a.id} is ${a.state}, so there is nothing to take up again.`,
    todo: (a) => `See \`espalier operation show ${a.id}\`.`,
  },
  cancelled: {
    status: 409,
    title: 'The operation was cancelled',
    detail: (a: { by: string }) => `${a.by} cancelled it.`,
    todo: () => 'Start it again when it is wanted after all.',
  },
  'step-timed-out': {
    status: 504,
    title: 'A step took longer than its bound',
    detail: (a: { step: string; seconds: number; last: string | null }) =>
      `The step ${a.step} did not succeed within ${a.seconds} s.${a.last === null ? '' : ` The last reason: ${a.last}`}`,
    todo: () => 'Run `espalier doctor` to see which engine is slow or away, then try again.',
  },
  interrupted: {
    status: 500,
    title: 'A step was interrupted again and again',
    detail: (a: { step: string; times: number }) =>
      `The controller ended ${a.times} times in the middle of the step ${a.step}.`,
    todo: () => 'Look at the controller log for what ends it, then try again.',
  },
  'undo-failed': {
    status: 500,
    title: 'What was done could not be undone',
    detail: (a: { step: string; attempts: number; why: string; innerTodo: string }) =>
      `Undoing the step ${a.step} failed ${a.attempts} times. ${a.why}`,
    todo: (a) =>
      `${a.innerTodo} Then let the operation go on with \`espalier operation resume ID\`, or clean up by hand and \`espalier operation release ID\`.`,
  },
  'cannot-resume': {
    status: 500,
    title: 'The operation cannot go on with this version',
    detail: (a: { why: string }) => `The operation was begun by another version of Espalier: ${a.why}.`,
    todo: () => 'Start the version that began it and let the operation end, or clean up by hand and release it.',
  },
});
