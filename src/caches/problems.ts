// What can go wrong with cache servers. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';
import { makeServiceEntries } from '../services/problems.ts';

export const cacheProblems = makeCatalogue('cache', makeServiceEntries('cache'));
