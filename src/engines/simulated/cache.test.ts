// The simulated cache server against the suite of all cache engines.
import { describeCacheEngine } from '../cache-conformance.ts';
import { makeSimulatedCache } from './cache.ts';

const twin = makeSimulatedCache();

describeCacheEngine('the simulated cache server', async () => ({
  engine: twin,
  login: async (site) => {
    const session = twin.login(site.name, site.password);
    return {
      set: async (key, value) => session.set(key, value),
      get: async (key) => session.get(key),
      close: async () => {},
    };
  },
}));
