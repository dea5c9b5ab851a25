// What can go wrong with policies of pools. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const votesProblems = makeCatalogue('votes', {
  'bad-policy': {
    status: 422,
    title: 'The policy contradicts itself',
    detail: (a: { pool: string; wrong: string[] }) => `The policy for ${a.pool} cannot be: ${a.wrong.join('; ')}.`,
    todo: () => 'Change what is named and set it again; the policy that was in force stays in force.',
  },
  'no-policy': {
    status: 404,
    title: 'The pool has no policy',
    detail: (a: { pool: string }) => `The pool ${a.pool} keeps the size that people give it.`,
    todo: (a) =>
      `Give it one: \`espalier pool policy set ${a.pool} --min 1 --max 4 --grow "cpu > 80 for 60s" --shrink "cpu < 30 for 5m"\`.`,
  },
});
