// Containers: made, changed, started, stopped, deleted. Apart from images and volumes, whose lives are their own.
// Whatever lacks our managed key is neither listed nor touched.
import { Problem } from '../../lib/errors.ts';
import type { CallOptions, FleetPlace, InstanceSpec, Instances } from '../fleet.ts';
import { boundBy, CHANGE_TIMEOUT_MS, type IncusClient, READ_TIMEOUT_MS, toPath } from './client.ts';
import { hasLabels, isOurs, toInstance, toInstanceState, toLabels } from './parse.ts';
import type { ServerFacts } from './place.ts';
import { incusProblems, isProblem, unless } from './problems.ts';
import {
  renderChangedConfig,
  renderCopySource,
  renderDevices,
  renderImageSource,
  renderInstanceRequest,
  renderInstanceUpdate,
  renderLabels,
  renderStateChange,
  toEngineConfig,
} from './render.ts';
import type { WireConfig, WireDevices, WireInstance, WireInstanceState } from './wire.ts';

/** Launching from an image that was never used unpacks it first. */
const CREATE_TIMEOUT_MS = 120_000;
/** How much longer we wait than the engine itself for a container to stop when asked. */
const STOP_GRACE_MS = 5_000;
const LOG_BYTES = 64 * 1024;

/** The containers of a place. */
export function makeIncusInstances(client: IncusClient, place: FleetPlace, server: ServerFacts): Instances {
  const pathOf = (name: string) => toPath('instances', name);
  const whatIs = (name: string) => `container ${name}`;

  async function find(name: string, options: CallOptions | undefined) {
    const request = { method: 'GET', path: pathOf(name), what: whatIs(name) } as const;
    return await client.find<WireInstance>(request, boundBy(READ_TIMEOUT_MS, options));
  }

  /** The container if it is there; refused when it is not ours. */
  async function findOurs(name: string, options: CallOptions | undefined) {
    const found = await find(name, options);
    if (found && !isOurs(place, found.metadata.config)) {
      throw incusProblems.make('not-ours', { what: whatIs(name) });
    }
    return found;
  }

  async function readOurs(name: string, options: CallOptions | undefined) {
    const found = await findOurs(name, options);
    if (found === undefined) throw incusProblems.make('not-found', { what: whatIs(name) });
    return found;
  }

  async function put(
    current: { metadata: WireInstance; etag: string },
    wanted: { config?: WireConfig; devices?: WireDevices },
    options: CallOptions | undefined,
  ) {
    const { metadata, etag } = current;
    const { config = metadata.config, devices = metadata.devices } = wanted;
    if (isSame(config, metadata.config) && isSame(devices, metadata.devices)) return;
    await client.operate(
      {
        method: 'PUT',
        path: pathOf(metadata.name),
        what: whatIs(metadata.name),
        json: renderInstanceUpdate(metadata, config, devices),
        headers: { 'if-match': etag },
      },
      options,
    );
  }

  /**
   * The request for a copy. It starts only later, when the source's config and devices are gone from it; its
   * architecture must be said, or it cannot go to another member.
   */
  async function renderCopy(spec: InstanceSpec, copyOf: string, options: CallOptions | undefined): Promise<object> {
    const source = await findOurs(copyOf.split('/')[0] ?? '', options);
    if (source === undefined) {
      const why = `there is no container to copy ${copyOf} from`;
      throw incusProblems.make('source-not-found', { what: whatIs(spec.name), why });
    }
    const { architecture } = source.metadata;
    const stopped = { ...spec, start: false };
    return { ...renderInstanceRequest(place, stopped, renderCopySource(place.project, copyOf)), architecture };
  }

  /** Brings an existing container to a spec's config and devices, all of it and nothing else. */
  async function shape(name: string, spec: InstanceSpec, options: CallOptions | undefined) {
    const current = await readOurs(name, options);
    const config = {
      ...toEngineConfig(current.metadata.config),
      ...spec.config,
      ...renderLabels(place, spec.labels),
    };
    await put(current, { config, devices: renderDevices(place, spec.devices) }, options);
  }

  async function changeState(
    name: string,
    action: 'start' | 'stop' | 'restart',
    options: (CallOptions & { force?: boolean }) | undefined,
  ) {
    await readOurs(name, options);
    const timeoutMs = options?.timeoutMs ?? CHANGE_TIMEOUT_MS;
    const wanted = action === 'stop' ? 'stopped' : 'running';
    const request = {
      method: 'PUT',
      path: `${pathOf(name)}/state`,
      what: whatIs(name),
      json: renderStateChange(action, options?.force ?? false, timeoutMs),
    } as const;
    await client.operate(request, {
      signal: options?.signal,
      timeoutMs: timeoutMs + STOP_GRACE_MS,
      isDone: async () => (await api.read(name, options))?.status === wanted,
    });
  }

  const api: Instances = {
    async list(filter = {}, options) {
      const request = {
        method: 'GET',
        path: toPath('instances'),
        query: { recursion: filter.withState ? '2' : '1' },
        what: 'list of containers',
      } as const;
      const { metadata } = await client.send<WireInstance[]>(request, boundBy(READ_TIMEOUT_MS, options));
      const localName = await server.readName(options);
      // Of a member that it does not reach, the engine gives bare names.
      const isBare = ({ config }: { config: WireInstance['config'] | null }) => Object.keys(config ?? {}).length === 0;
      if (filter.server !== undefined && metadata.some((one) => one.location === filter.server && isBare(one)))
        throw incusProblems.make('away', { why: `${filter.server} does not tell of its containers yet` });
      return metadata
        .filter(({ config }) => isOurs(place, config) && hasLabels(toLabels(config), filter.labels))
        .map((wire) => toInstance(wire, localName))
        .filter((instance) => filter.server === undefined || instance.server === filter.server);
    },

    async read(name, options) {
      const found = await find(name, options);
      if (found === undefined || !isOurs(place, found.metadata.config)) return undefined;
      return toInstance(found.metadata, await server.readName(options));
    },

    async readState(name, options) {
      const request = { method: 'GET', path: `${pathOf(name)}/state`, what: whatIs(name) } as const;
      return toInstanceState((await client.send<WireInstanceState>(request, options)).metadata);
    },

    async create(spec, options) {
      const bound = boundBy(CREATE_TIMEOUT_MS, options);
      const query = { target: await server.toTarget(spec.server, options) };
      const made =
        'copyOf' in spec.source
          ? await renderCopy(spec, spec.source.copyOf, options)
          : renderInstanceRequest(place, spec, renderImageSource(spec.source.image));
      try {
        await client.operate(
          { method: 'POST', path: toPath('instances'), query, what: whatIs(spec.name), json: made },
          { ...bound, isDone: async () => (await api.read(spec.name, options)) !== undefined },
        );
      } catch (thrown) {
        if (!isProblem(thrown, 'not-found')) throw thrown;
        const why = 'its image, the snapshot it is to be copied from, or a volume of its devices does not exist';
        throw incusProblems.make('source-not-found', { what: whatIs(spec.name), why }, thrown);
      }
      if ('copyOf' in spec.source) {
        await shape(spec.name, spec, bound);
        if (spec.start) await api.start(spec.name, bound);
      }
      return toInstance((await readOurs(spec.name, options)).metadata, await server.readName(options));
    },

    async ensure(spec, options) {
      const bound = boundBy(CREATE_TIMEOUT_MS, options);
      const found = await findOurs(spec.name, options);
      if (found === undefined) return await api.create(spec, bound);
      if (!hasLabels(toLabels(found.metadata.config), spec.labels)) {
        throw incusProblems.make('exists', { what: whatIs(spec.name) });
      }
      await shape(spec.name, spec, bound);
      if (spec.start) await api.start(spec.name, bound);
      return toInstance((await readOurs(spec.name, options)).metadata, await server.readName(options));
    },

    async start(name, options) {
      await changeState(name, 'start', options).catch(unless('running'));
    },

    async stop(name, options) {
      await changeState(name, 'stop', options).catch(unless('not-running'));
    },

    async restart(name, options) {
      await changeState(name, 'restart', options);
    },

    async delete(name, options) {
      const found = await findOurs(name, options);
      if (found === undefined) return;
      if (options?.force && found.metadata.status !== 'Stopped') await api.stop(name, { ...options, force: true });
      await client
        .operate(
          { method: 'DELETE', path: pathOf(name), what: whatIs(name) },
          { ...options, isDone: async () => (await find(name, options)) === undefined },
        )
        .catch(unless('not-found'));
    },

    async updateConfig(name, change, options) {
      const current = await readOurs(name, options);
      await put(current, { config: renderChangedConfig(current.metadata.config, change) }, options);
    },

    async updateDevices(name, devices, options) {
      const current = await readOurs(name, options);
      await put(current, { devices: renderDevices(place, devices) }, options);
    },

    async readLog(name, options) {
      await readOurs(name, options);
      const read = async (path: string) => {
        const request = { method: 'GET', path, what: `log of ${whatIs(name)}` } as const;
        // Either may be absent (never started; console not there while it is stopped).
        const { bytes } = await client.download(request, options).catch((thrown: unknown) => {
          if (thrown instanceof Problem && !thrown.retryable) return { bytes: new Uint8Array() };
          throw thrown;
        });
        return Buffer.from(bytes.subarray(-LOG_BYTES / 2)).toString('utf8');
      };
      const console = await read(`${pathOf(name)}/console`);
      const engine = await read(`${pathOf(name)}/logs/lxc.log`);
      return [console, engine].filter((text) => text !== '').join('\n');
    },
  };
  return api;
}

function isSame(a: WireConfig | WireDevices, b: WireConfig | WireDevices): boolean {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => [key, sorted(inner)]);
}
