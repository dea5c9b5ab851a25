// What can go wrong with edges. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const edgeProblems = makeCatalogue('edge', {
  silent: {
    status: 503,
    title: 'The edge does not answer yet',
    detail: (a: { edge: string; why: string }) => `The edge ${a.edge} does not answer: ${a.why}.`,
    todo: () => 'It is waited for; `espalier doctor` says how its container is.',
    retryable: true,
  },
});
