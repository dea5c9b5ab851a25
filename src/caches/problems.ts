// What can go wrong with cache servers. Apart as each room's catalogue is.
import { makeServiceProblems } from '../services/problems.ts';

export const cacheProblems = makeServiceProblems('cache');
