// Snapshots of containers, and custom volumes with theirs. Apart from containers: content that outlives them.
import type { CallOptions, FleetPlace, Snapshot, Snapshots, VolumeSpec, Volumes } from '../fleet.ts';
import { boundBy, CHANGE_TIMEOUT_MS, type IncusClient, READ_TIMEOUT_MS, toPath } from './client.ts';
import { hasLabels, isOurs, toVolume } from './parse.ts';
import type { ServerFacts } from './place.ts';
import { incusProblems, isProblem, unless } from './problems.ts';
import {
  renderVolumeCarryRequest,
  renderVolumeCopyRequest,
  renderVolumeRequest,
  renderVolumeSendRequest,
  type VolumeSender,
} from './render.ts';
import type { WireSnapshot, WireVolume } from './wire.ts';

/** Of a large volume over a network. */
const CARRY_TIMEOUT_MS = 3_600_000;

/** What container snapshots and volume snapshots have in common: only the path differs. */
function makeSnapshots(client: IncusClient, pathOf: (of: string) => string, noun: string) {
  const whatIs = (of: string, snapshot: string) => `snapshot ${snapshot} of ${noun} ${of}`;
  return {
    async create(of: string, snapshot: string, options?: CallOptions): Promise<void> {
      await client.operate(
        {
          method: 'POST',
          path: `${pathOf(of)}/snapshots`,
          what: whatIs(of, snapshot),
          json: { name: snapshot },
        },
        options,
      );
    },

    async list(of: string, options?: CallOptions): Promise<Snapshot[]> {
      const { metadata } = await client.send<WireSnapshot[]>(
        { method: 'GET', path: `${pathOf(of)}/snapshots`, query: { recursion: '1' }, what: `${noun} ${of}` },
        boundBy(READ_TIMEOUT_MS, options),
      );
      return metadata
        .map(({ name, created_at }) => ({ name: name.slice(name.lastIndexOf('/') + 1), createdAt: created_at }))
        .sort((a, b) => Date.parse(a.createdAt) - Date.parse(b.createdAt));
    },

    async restore(of: string, snapshot: string, options?: CallOptions): Promise<void> {
      await client.operate(
        { method: 'PUT', path: pathOf(of), what: whatIs(of, snapshot), json: { restore: snapshot } },
        options,
      );
    },

    async delete(of: string, snapshot: string, options?: CallOptions): Promise<void> {
      const path = `${pathOf(of)}/snapshots/${encodeURIComponent(snapshot)}`;
      await client.operate({ method: 'DELETE', path, what: whatIs(of, snapshot) }, options).catch(unless('not-found'));
    },
  };
}

/** Snapshots of a place's containers. */
export function makeIncusSnapshots(client: IncusClient): Snapshots {
  return makeSnapshots(client, (instance) => toPath('instances', instance), 'container');
}

/** Custom volumes of a place. */
export function makeIncusVolumes(client: IncusClient, place: FleetPlace, server: ServerFacts): Volumes {
  const top = toPath('storage-pools', place.storagePool, 'volumes', 'custom');
  const pathOf = (name: string) => `${top}/${encodeURIComponent(name)}`;
  const whatIs = (name: string) => `volume ${name}`;
  const snapshots = makeSnapshots(client, pathOf, 'volume');

  async function find(name: string, options: CallOptions | undefined) {
    const request = { method: 'GET', path: pathOf(name), what: whatIs(name) } as const;
    return (await client.find<WireVolume>(request, boundBy(READ_TIMEOUT_MS, options)))?.metadata;
  }

  async function make(spec: VolumeSpec, json: object, options: CallOptions | undefined) {
    const query = { target: await server.toTarget(spec.server, options) };
    await client.operate(
      { method: 'POST', path: top, query, what: whatIs(spec.name), json },
      {
        ...boundBy(CHANGE_TIMEOUT_MS, options),
        isDone: async () => (await api.read(spec.name, options)) !== undefined,
      },
    );
    const made = await api.read(spec.name, options);
    if (made === undefined) throw incusProblems.make('outcome-unknown', { what: whatIs(spec.name) });
    return made;
  }

  /**
   * Has a volume's member wait for another one that reads it. Incus's own way (`source.location`) does this too, but 6.0 refuses it in
   * every project: it asks the member to move the volume into the project where it is.
   */
  async function openSender(name: string, member: string, options: CallOptions | undefined): Promise<VolumeSender> {
    const { url, certificate } = await server.readDoor(member, options);
    const json = renderVolumeSendRequest(place, name);
    const request = { method: 'POST', path: pathOf(name), what: whatIs(name), json } as const;
    const { id, metadata } = await client.begin(request, boundBy(CHANGE_TIMEOUT_MS, options));
    const secrets = Object.entries(metadata ?? {}).filter((one): one is [string, string] => typeof one[1] === 'string');
    return { operation: `${url}${toPath('operations', id)}`, secrets: Object.fromEntries(secrets), certificate };
  }

  const api: Volumes = {
    async list(filter = {}, options) {
      const request = { method: 'GET', path: top, query: { recursion: '1' }, what: 'list of volumes' } as const;
      const { metadata } = await client.send<WireVolume[]>(request, boundBy(READ_TIMEOUT_MS, options));
      const localName = await server.readName(options);
      return metadata
        .filter(({ name, config }) => !name.includes('/') && isOurs(place, config))
        .map((wire) => toVolume(wire, localName))
        .filter(({ labels }) => hasLabels(labels, filter.labels));
    },

    async read(name, options) {
      const found = await find(name, options);
      if (found === undefined || !isOurs(place, found.config)) return undefined;
      return toVolume(found, await server.readName(options));
    },

    async create(spec, options) {
      return await make(spec, renderVolumeRequest(place, spec), options);
    },

    async copy(from, spec, options) {
      try {
        return await make(spec, renderVolumeCopyRequest(place, spec, from), options);
      } catch (thrown) {
        if (!isProblem(thrown, 'not-found')) throw thrown;
        const why = `there is no volume ${from}`;
        throw incusProblems.make('source-not-found', { what: whatIs(spec.name), why }, thrown);
      }
    },

    async carry(from, spec, options) {
      const what = whatIs(spec.name);
      const source = await api.read(from, options);
      if (source === undefined)
        throw incusProblems.make('source-not-found', { what, why: `there is no volume ${from}` });
      const found = await find(spec.name, options);
      if (found !== undefined && !isOurs(place, found.config)) throw incusProblems.make('not-ours', { what });
      const target = await server.toTarget(spec.server, options);
      const isHere = target === undefined || source.server === spec.server;
      const sender = isHere ? undefined : await openSender(from, source.server, options);
      const json = renderVolumeCarryRequest(place, spec, { name: from, sender }, found !== undefined);
      await client.operate(
        { method: 'POST', path: top, query: { target }, what, json },
        boundBy(CARRY_TIMEOUT_MS, options),
      );
      const made = await api.read(spec.name, options);
      if (made === undefined) throw incusProblems.make('outcome-unknown', { what });
      return made;
    },

    async delete(name, options) {
      const found = await find(name, options);
      if (found === undefined) return;
      if (!isOurs(place, found.config)) throw incusProblems.make('not-ours', { what: whatIs(name) });
      await client
        .operate({ method: 'DELETE', path: pathOf(name), what: whatIs(name) }, options)
        .catch(unless('not-found'));
    },

    createSnapshot: snapshots.create,
    listSnapshots: snapshots.list,
    restoreSnapshot: snapshots.restore,
    deleteSnapshot: snapshots.delete,
  };
  return api;
}
