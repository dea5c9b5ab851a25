// What can go wrong with database servers. Apart as each room's catalogue is.
import { makeServiceProblems } from '../services/problems.ts';

export const databaseProblems = makeServiceProblems('database');
