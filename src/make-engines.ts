// The engines behind the rooms: the real ones, or their simulated twins. Part of the composition root; apart from it
// because tests compose with twins too.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AgentMemory, makeAgentMemory } from './agent/simulated-memory.ts';
import { connectValkey } from './caches/kind.ts';
import { connectMariadb } from './databases/kind.ts';
import type { CacheEngine } from './engines/cache-engine.ts';
import { runCommand } from './engines/command.ts';
import type { DatabaseEngine } from './engines/database-engine.ts';
import type { Fleet } from './engines/fleet.ts';
import { makeIncusFleet } from './engines/incus/fleet.ts';
import { makeSimulatedCache } from './engines/simulated/cache.ts';
import { makeSimulatedDatabase } from './engines/simulated/database.ts';
import { makeSimulatedFleet } from './engines/simulated/fleet.ts';
import type { Clock } from './lib/clock.ts';
import { toFleetPlace } from './lib/deployment.ts';
import type { ServiceLogin } from './services/kind.ts';

export interface Engines {
  simulated: boolean;
  /** Where the agents' twins keep what they have done, when the engines are simulated. */
  agentMemory?: AgentMemory;
  fleet: Fleet;
  /** The storage driver of a new deployment's pool. */
  storageDriver: string;
  buildRootfs: typeof runCommand;
  connectDatabase(login: ServiceLogin): DatabaseEngine;
  connectCache(login: ServiceLogin): CacheEngine;
}

/** The real engines, or twins that keep the fleet in a file of the data directory. */
export function makeEngines(options: {
  deployment: string;
  dataDir: string;
  simulated: boolean;
  clock: Clock;
}): Engines {
  const { deployment, dataDir, simulated, clock } = options;
  const place = toFleetPlace(deployment);
  if (!simulated) {
    const fleet = makeIncusFleet({ place, clock });
    return {
      simulated,
      fleet,
      storageDriver: 'btrfs',
      buildRootfs: runCommand,
      connectDatabase: connectMariadb(fleet),
      connectCache: connectValkey(),
    };
  }
  const fleet = makeSimulatedFleet({ place, clock, file: join(dataDir, 'simulated-fleet.json') });
  const databases = new Map<string, DatabaseEngine>();
  const caches = new Map<string, CacheEngine>();
  const once = <T>(kept: Map<string, T>, name: string, make: () => T): T => {
    const value = kept.get(name) ?? make();
    kept.set(name, value);
    return value;
  };
  return {
    simulated,
    agentMemory: makeAgentMemory(),
    fleet,
    storageDriver: 'btrfs',
    async buildRootfs(argv) {
      await writeFile(argv.at(-1) ?? '', argv.join(' '));
      return { code: 0, stdout: Buffer.alloc(0), stderr: '' };
    },
    connectDatabase: ({ instance }) =>
      once(databases, instance, () => makeSimulatedDatabase({ server: instance, clock })),
    connectCache: ({ instance }) => once(caches, instance, () => makeSimulatedCache({ server: instance, clock })),
  };
}
