// The fleet over a real Incus (6.0 or later; one server or a cluster) through its Unix socket. This file only puts
// the parts together:
//   client.ts   requests, operations, websockets      wire.ts      Incus's JSON
//   render.ts   request bodies (pure)                 parse.ts     answers (pure)     problems.ts  failures
//   place.ts    project, network, pool, servers       instances.ts containers         exec.ts      commands
//   files.ts    files and trees (tree.ts)             images.ts    images             volumes.ts   snapshots, volumes
//   events.ts   lifecycle events                     cluster.ts   members
import { type Clock, makeSystemClock } from '../../lib/clock.ts';
import type { CallOptions, Fleet, FleetPlace } from '../fleet.ts';
import { boundBy, IMAGE_TIMEOUT_MS, makeIncusClient } from './client.ts';
import { makeIncusCluster } from './cluster.ts';
import { watchEvents } from './events.ts';
import { runExec } from './exec.ts';
import { makeIncusFiles } from './files.ts';
import { makeIncusImages } from './images.ts';
import { makeIncusInstances } from './instances.ts';
import {
  hasProject,
  listServers,
  makeServerFacts,
  readCapabilities,
  readUsage,
  removePlace,
  setUpPlace,
} from './place.ts';
import { makeIncusSnapshots, makeIncusVolumes } from './volumes.ts';

export const INCUS_SOCKET = '/var/lib/incus/unix.socket';

export interface IncusFleetOptions {
  place: FleetPlace;
  /** Default /var/lib/incus/unix.socket. */
  socketPath?: string;
  /** Paces the event stream's reconnection. */
  clock?: Clock;
}

/** A fleet over the Incus at a Unix socket. Nothing is asked before the first call. */
export function makeIncusFleet({
  place,
  socketPath = INCUS_SOCKET,
  clock = makeSystemClock(),
}: IncusFleetOptions): Fleet {
  const client = makeIncusClient({ socketPath, project: place.project });
  const server = makeServerFacts(client);
  const instances = makeIncusInstances(client, place, server);
  const images = makeIncusImages(client, place);
  const volumes = makeIncusVolumes(client, place, server);

  /** Deletes what is ours in the project. One after another: the engine's database is the bottleneck anyway. */
  async function empty(options: CallOptions): Promise<void> {
    for (const { name } of await instances.list({}, options)) await instances.delete(name, { ...options, force: true });
    for (const { fingerprint } of await images.list({}, options)) await images.delete(fingerprint, options);
    for (const { name } of await volumes.list({}, options)) await volumes.delete(name, options);
  }

  return {
    place,
    instances,
    images,
    volumes,
    cluster: makeIncusCluster(client),
    files: makeIncusFiles(client),
    snapshots: makeIncusSnapshots(client),
    capabilities: (options) => readCapabilities(client, place, options),
    setUp: (wanted, options) => setUpPlace(client, place, wanted, options),
    usage: (options) => readUsage(client, place, options),
    localServer: (options) => server.readName(options),
    servers: (options) => listServers(client, place, options),
    exec: (name, argv, options) => runExec(client, name, argv, options),
    events: (signal) => watchEvents(client, server, clock, signal),
    close: () => client.close(),

    async tearDown(options) {
      const bound = boundBy(IMAGE_TIMEOUT_MS, options);
      if (await hasProject(client, place, bound)) await empty(bound);
      await removePlace(client, place, bound);
    },
  };
}
