// What every file of this room is given: it stands above the others and uses their beginnings.
import type { Caches } from '../caches/caches.ts';
import type { Databases } from '../databases/databases.ts';
import type { EdgeParts } from '../edge/create.ts';
import type { Fleet } from '../engines/fleet.ts';
import type { ImageParts } from '../images/parts.ts';
import type { Clock } from '../lib/clock.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Store } from '../platform/store.ts';
import type { PoolParts } from '../pools/parts.ts';
import type { SiteParts } from '../sites/parts.ts';

export interface DeploymentParts {
  name: string;
  store: Store;
  operations: Operations;
  fleet: Fleet;
  clock: Clock;
  images: ImageParts;
  databases: Databases;
  caches: Caches;
  edge: EdgeParts;
  pools: PoolParts;
  sites: SiteParts;
  /** Whether nothing listens on this port of the machine. */
  isPortFree(port: number): Promise<boolean>;
  /** Networks that this machine has already, as `address/prefix`. */
  readTakenNetworks(): string[];
  /** The file system of the storage pool. */
  storageDriver: string;
  /** Hears that the deployment's row changed (port, wanted state). */
  onChange(): Promise<void>;
}

export const DEPLOYMENT_LOCK = 'deployment';
/** Apps that a new deployment begins with: a pool of two nodes and one site each. */
export const FIRST_APPS: readonly string[] = ['wordpress', 'mediawiki'];
export const FIRST_POOL_SIZE = 2;
