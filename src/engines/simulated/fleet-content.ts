// Files, images and volumes of the simulated fleet: what containers are made from and keep. Apart from the
// containers' own life (fleet-instances.ts).
import { createHash } from 'node:crypto';
import type { Files, Image, Images, ImageWish, ListedFile, TreeEntry, Volume, VolumeSpec, Volumes } from '../fleet.ts';
import { hashFiles } from '../incus/images.ts';
import { hasLabels } from '../incus/parse.ts';
import { incusProblems } from '../incus/problems.ts';
import { readTree } from '../incus/tree.ts';
import { readSimulatedInstance, type SimulatedContext } from './fleet-instances.ts';
import type { SimulatedFile, SimulatedFiles, SimulatedImage, SimulatedVolume } from './fleet-world.ts';
import { volumeAt } from './volume-commands.ts';

/** Files in simulated containers. */
export function makeSimulatedFiles(context: SimulatedContext): Files {
  const filesOf = (name: string) => readSimulatedInstance(context, name).files;
  const whatIs = (name: string, path: string) => `${path} in container ${name}`;

  /** A folder is there when it was made, when something is in it, or when every system has it. */
  function isFolder(files: SimulatedFiles, path: string): boolean {
    const made = files[path];
    if (made) return made.content === undefined && made.link === undefined;
    return SYSTEM_FOLDERS.has(path) || Object.keys(files).some((other) => other.startsWith(`${path}/`));
  }

  const api: Files = {
    async write(name, path, content, options) {
      const files = filesOf(name);
      const folder = path.slice(0, path.lastIndexOf('/'));
      if (!isFolder(files, folder)) throw incusProblems.make('not-found', { what: whatIs(name, path) });
      files[path] = toFile({ path, content, ...options });
    },

    async read(name, path, _options) {
      const files = filesOf(name);
      const content = files[path]?.content;
      if (content !== undefined) return new Uint8Array(Buffer.from(content, 'base64'));
      const what = whatIs(name, path);
      if (isFolder(files, path)) throw incusProblems.make('refused', { what, why: 'it is a folder' });
      throw incusProblems.make('not-found', { what });
    },

    async readPieces(name, path, options) {
      const { files } = volumeAt(context, name, path) ?? {};
      const content = files === undefined ? await api.read(name, path, options) : files[path];
      if (content === undefined) throw incusProblems.make('not-found', { what: whatIs(name, path) });
      return (async function* () {
        yield Buffer.from(content);
      })();
    },

    async writePieces(name, path, pieces, options) {
      const all: Uint8Array[] = [];
      for await (const piece of pieces) all.push(piece);
      const content = Buffer.concat(all);
      const volume = volumeAt(context, name, path);
      if (volume === undefined) await api.write(name, path, content, options);
      else volume.files = { ...volume.files, [path]: content.toString() };
    },

    async writeTree(name, tree, to, _options) {
      const instance = readSimulatedInstance(context, name);
      if (instance.status !== 'running') throw incusProblems.make('not-running', { what: `container ${name}` });
      const below = to.replace(/\/+$/, '');
      for (const entry of await readTree(tree)) instance.files[`${below}/${entry.path}`] = toFile(entry);
    },

    async list(name, folder, options = {}) {
      const instance = readSimulatedInstance(context, name);
      if (instance.status !== 'running') throw incusProblems.make('not-running', { what: `container ${name}` });
      const isBelow = (path: string, top: string) => path.startsWith(`${top.replace(/\/+$/, '')}/`);
      return Object.entries(instance.files)
        .filter(([path]) => isBelow(path, folder) && !(options.skip ?? []).some((top) => isBelow(path, top)))
        .flatMap(([path, { mode, uid, gid, content, link }]): ListedFile[] => {
          if (link !== undefined) return [{ path, mode, uid, gid, link }];
          if (content === undefined) return [];
          const sha256 = createHash('sha256').update(Buffer.from(content, 'base64')).digest('hex');
          return [{ path, mode, uid, gid, sha256 }];
        })
        .sort((one, other) => (one.path < other.path ? -1 : 1));
    },

    async remove(name, path, _options) {
      delete filesOf(name)[path];
    },
  };
  return api;
}

/** The top of every Debian, as far as tests and recipes write there. */
const SYSTEM_FOLDERS = new Set([
  '',
  '/etc',
  '/tmp',
  '/root',
  '/srv',
  '/var',
  '/var/tmp',
  '/run',
  '/opt',
  '/usr',
  '/usr/lib',
]);

function toFile(entry: TreeEntry): SimulatedFile {
  if ('link' in entry) return { link: entry.link, mode: 0o777, uid: 0, gid: 0 };
  const { uid = 0, gid = 0 } = entry;
  if ('directory' in entry) return { mode: entry.mode ?? 0o755, uid, gid };
  return { content: Buffer.from(entry.content).toString('base64'), mode: entry.mode ?? 0o644, uid, gid };
}

/** The images of the simulated fleet. */
export function makeSimulatedImages(context: SimulatedContext): Images {
  const images = () => Object.values(context.project().images);
  const find = (id: string) => images().find(({ fingerprint, aliases }) => fingerprint === id || aliases.includes(id));

  function add(fingerprint: string, wish: ImageWish, files: SimulatedFiles): Image {
    const known = context.project().images[fingerprint];
    const image: SimulatedImage = known ?? {
      fingerprint,
      aliases: [],
      labels: {},
      sizeBytes: 1_000_000 + Object.values(files).reduce((sum, { content = '' }) => sum + content.length, 0),
      createdAt: context.now(),
      files: structuredClone(files),
    };
    image.labels = { ...wish.labels };
    for (const other of images()) other.aliases = other.aliases.filter((alias) => alias !== wish.alias);
    if (wish.alias !== undefined) image.aliases.push(wish.alias);
    context.project().images[fingerprint] = image;
    if (!known) context.emit('image-created', fingerprint, '');
    return toImage(image);
  }

  return {
    async list(filter = {}, _options) {
      return images()
        .filter(({ labels }) => hasLabels(labels, filter.labels))
        .map(toImage);
    },

    async read(id, _options) {
      const image = find(id);
      return image && toImage(image);
    },

    async import(files, wish, _options) {
      const fingerprint = await hashFiles(files).catch((thrown: unknown) => {
        const why = thrown instanceof Error ? thrown.message : String(thrown);
        throw incusProblems.make('source-not-found', { what: 'image to import', why }, thrown);
      });
      return add(fingerprint, wish, {});
    },

    async publish(from, wish, _options) {
      const [name = '', snapshot] = from.split('/');
      const instance = readSimulatedInstance(context, name);
      if (snapshot === undefined && instance.status === 'running') {
        throw incusProblems.make('running', { what: `image of ${from}` });
      }
      const taken = instance.snapshots.find((one) => one.name === snapshot);
      if (snapshot !== undefined && !taken) throw incusProblems.make('not-found', { what: `image of ${from}` });
      const files = taken?.files ?? instance.files;
      const content = JSON.stringify([name, instance.createdAt, taken?.createdAt, files]);
      return add(createHash('sha256').update(content).digest('hex'), wish, files);
    },

    async delete(id, _options) {
      const image = find(id);
      if (!image) return;
      delete context.project().images[image.fingerprint];
      context.emit('image-deleted', image.fingerprint, '');
    },
  };
}

function toImage({ fingerprint, aliases, labels, sizeBytes, createdAt }: SimulatedImage): Image {
  return { fingerprint, aliases: [...aliases], labels: { ...labels }, sizeBytes, createdAt };
}

/** The volumes of the simulated fleet; they have no content. */
export function makeSimulatedVolumes(context: SimulatedContext): Volumes {
  const whatIs = (name: string) => `volume ${name}`;

  function read(name: string): SimulatedVolume {
    const volume = context.project().volumes[name];
    if (!volume) throw incusProblems.make('not-found', { what: whatIs(name) });
    context.guard.assertReachable(volume.server);
    return volume;
  }

  const users = (name: string) =>
    Object.values(context.project().instances).filter(({ devices }) =>
      Object.values(devices).some((device) => device.kind === 'volume' && device.volume === name),
    );

  const toVolume = ({ name, server, labels, shifted, createdAt }: SimulatedVolume): Volume => ({
    name,
    server,
    labels: { ...labels },
    shifted,
    createdAt,
    usedBy: users(name).map((instance) => instance.name),
  });

  function add(spec: VolumeSpec): Volume {
    const { volumes } = context.project();
    if (volumes[spec.name]) throw incusProblems.make('exists', { what: whatIs(spec.name) });
    const volume: SimulatedVolume = {
      name: spec.name,
      server: spec.server ?? context.serverNames[0] ?? '',
      labels: { ...spec.labels },
      shifted: spec.shifted ?? false,
      createdAt: context.now(),
      snapshots: [],
    };
    volumes[spec.name] = volume;
    context.emit('storage-volume-created', spec.name, volume.server);
    return toVolume(volume);
  }

  return {
    async list(filter = {}, _options) {
      return Object.values(context.project().volumes)
        .filter(({ labels }) => hasLabels(labels, filter.labels))
        .map(toVolume);
    },

    async read(name, _options) {
      const volume = context.project().volumes[name];
      return volume && toVolume(volume);
    },

    async create(spec, _options) {
      return add(spec);
    },

    async copy(from, spec, _options) {
      const [name = '', snapshot] = from.split('/');
      const source = context.project().volumes[name];
      if (!source || (snapshot !== undefined && !source.snapshots.some((one) => one.name === snapshot))) {
        const why = `there is no volume ${from}`;
        throw incusProblems.make('source-not-found', { what: whatIs(spec.name), why });
      }
      return add(spec);
    },

    async carry(from, spec, _options) {
      const { volumes } = context.project();
      const source = volumes[from];
      const what = whatIs(spec.name);
      if (!source) throw incusProblems.make('source-not-found', { what, why: `there is no volume ${from}` });
      for (const server of [source.server, spec.server]) context.guard.assertReachable(server);
      const running = users(spec.name).find(({ status }) => status === 'running');
      if (running) throw incusProblems.make('in-use', { what, why: `${running.name} runs` });
      if (!volumes[spec.name]) add(spec);
      const copy = read(spec.name);
      if (source.files !== undefined) copy.files = { ...source.files };
      return toVolume(copy);
    },

    async delete(name, _options) {
      if (!context.project().volumes[name]) return;
      const { server } = read(name);
      const using = users(name).map((instance) => instance.name);
      if (using.length > 0) {
        throw incusProblems.make('in-use', { what: whatIs(name), why: `mounted by ${using.join(', ')}` });
      }
      delete context.project().volumes[name];
      context.emit('storage-volume-deleted', name, server);
    },

    async createSnapshot(volume, snapshot, _options) {
      const { snapshots } = read(volume);
      if (snapshots.some(({ name }) => name === snapshot)) {
        throw incusProblems.make('exists', { what: `snapshot ${snapshot} of volume ${volume}` });
      }
      snapshots.push({ name: snapshot, createdAt: context.now() });
    },

    async listSnapshots(volume, _options) {
      return read(volume).snapshots.map((snapshot) => ({ ...snapshot }));
    },

    async restoreSnapshot(volume, snapshot, _options) {
      const { snapshots } = read(volume);
      const what = `snapshot ${snapshot} of volume ${volume}`;
      if (!snapshots.some(({ name }) => name === snapshot)) throw incusProblems.make('not-found', { what });
      const running = users(volume).find(({ status }) => status === 'running');
      if (running) throw incusProblems.make('in-use', { what, why: `${running.name} runs` });
    },

    async deleteSnapshot(volume, snapshot, _options) {
      const one = context.project().volumes[volume];
      if (one) one.snapshots = one.snapshots.filter(({ name }) => name !== snapshot);
    },
  };
}
