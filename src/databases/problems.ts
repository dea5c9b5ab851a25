// What can go wrong with database servers. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';
import { makeServiceEntries } from '../services/problems.ts';

export const databaseProblems = makeCatalogue('database', makeServiceEntries('database'));
