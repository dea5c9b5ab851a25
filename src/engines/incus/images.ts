// Images: imported from files of the host, published from containers, listed, deleted. Apart from containers:
// an image's identity is its content's fingerprint, and its labels are properties.
import { createHash } from 'node:crypto';
import { createReadStream, openAsBlob } from 'node:fs';
import { FormData } from 'undici';
import { Problem } from '../../lib/errors.ts';
import type { CallOptions, FleetPlace, Image, ImageFiles, Images, ImageWish } from '../fleet.ts';
import {
  boundBy,
  CHANGE_TIMEOUT_MS,
  IMAGE_TIMEOUT_MS,
  type IncusClient,
  type IncusRequest,
  READ_TIMEOUT_MS,
  toPath,
} from './client.ts';
import { hasLabels, isOurs, toImage } from './parse.ts';
import { incusProblems, isProblem, unless } from './problems.ts';
import { renderImageProperties, renderPublishRequest } from './render.ts';
import type { WireImage } from './wire.ts';

/** The images of a place. */
export function makeIncusImages(client: IncusClient, place: FleetPlace): Images {
  async function find(id: string, options: CallOptions | undefined) {
    const bound = boundBy(READ_TIMEOUT_MS, options);
    const what = `image ${id}`;
    const path = toPath('images', 'aliases', id);
    const alias = await client.find<{ target: string }>({ method: 'GET', path, what }, bound);
    const fingerprint = alias?.metadata.target ?? id;
    return await client.find<WireImage>({ method: 'GET', path: toPath('images', fingerprint), what }, bound);
  }

  async function read(fingerprint: string, options: CallOptions | undefined): Promise<Image> {
    const image = await api.read(fingerprint, options);
    if (image === undefined) throw incusProblems.make('not-found', { what: `image ${fingerprint}` });
    return image;
  }

  async function setAlias(alias: string, fingerprint: string, options: CallOptions | undefined) {
    const bound = boundBy(CHANGE_TIMEOUT_MS, options);
    const path = toPath('images', 'aliases', alias);
    const what = `alias ${alias}`;
    const found = await client.find<{ target: string }>({ method: 'GET', path, what }, bound);
    if (found?.metadata.target === fingerprint) return;
    const json = { name: alias, target: fingerprint, description: '' };
    if (found) await client.send({ method: 'PUT', path, what, json }, bound);
    else await client.send({ method: 'POST', path: toPath('images', 'aliases'), what, json }, bound);
  }

  /** Gives an image that was already there the wish's labels. */
  async function setProperties(fingerprint: string, wish: ImageWish, options: CallOptions | undefined) {
    await client.send(
      {
        method: 'PATCH',
        path: toPath('images', fingerprint),
        what: `image ${fingerprint}`,
        json: { properties: renderImageProperties(place, wish) },
      },
      boundBy(CHANGE_TIMEOUT_MS, options),
    );
  }

  /** Runs a request that makes an image; `toExisting` names the one that it would have doubled. */
  async function make(
    request: IncusRequest,
    wish: ImageWish,
    toExisting: (thrown: unknown) => Promise<string | undefined>,
    options: CallOptions | undefined,
  ): Promise<Image> {
    const bound = boundBy(IMAGE_TIMEOUT_MS, options);
    let fingerprint: string | undefined;
    try {
      const made = await client.operate(request, bound);
      fingerprint = String(made.fingerprint);
    } catch (thrown) {
      if (!isProblem(thrown, 'exists')) throw thrown;
      fingerprint = await toExisting(thrown);
      if (fingerprint === undefined) throw thrown;
      await setProperties(fingerprint, wish, options);
    }
    if (wish.alias !== undefined) await setAlias(wish.alias, fingerprint, options);
    return await read(fingerprint, options);
  }

  const api: Images = {
    async list(filter = {}, options) {
      const request = {
        method: 'GET',
        path: toPath('images'),
        query: { recursion: '1' },
        what: 'list of images',
      } as const;
      const { metadata } = await client.send<WireImage[]>(request, boundBy(READ_TIMEOUT_MS, options));
      return metadata
        .filter(({ properties }) => isOurs(place, properties))
        .map(toImage)
        .filter(({ labels }) => hasLabels(labels, filter.labels));
    },

    async read(id, options) {
      const found = await find(id, options);
      return found && isOurs(place, found.metadata.properties) ? toImage(found.metadata) : undefined;
    },

    async import(files, wish, options) {
      const properties = new URLSearchParams(renderImageProperties(place, wish)).toString();
      const request = { method: 'POST', path: toPath('images'), what: 'image to import' } as const;
      const headers = { 'x-incus-properties': properties };
      const sent: IncusRequest =
        'unified' in files
          ? {
              ...request,
              headers: { ...headers, 'content-type': 'application/octet-stream' },
              body: await openFile(files.unified),
            }
          : { ...request, headers, body: await renderForm(files) };
      return await make(sent, wish, () => hashFiles(files), options);
    },

    async publish(from, wish, options) {
      const json = renderPublishRequest(place, from, wish);
      const request = { method: 'POST', path: toPath('images'), what: `image of ${from}`, json } as const;
      // The engine names the image that it would have doubled.
      const toExisting = async (thrown: unknown) =>
        thrown instanceof Problem ? /[0-9a-f]{64}/.exec(String(thrown.cause))?.[0] : undefined;
      return await make(request, wish, toExisting, options);
    },

    async delete(id, options) {
      const found = await find(id, options);
      if (found === undefined) return;
      const { fingerprint, properties } = found.metadata;
      const what = `image ${id}`;
      if (!isOurs(place, properties)) throw incusProblems.make('not-ours', { what });
      await client
        .operate({ method: 'DELETE', path: toPath('images', fingerprint), what }, boundBy(CHANGE_TIMEOUT_MS, options))
        .catch(unless('not-found'));
    },
  };
  return api;
}

/** A file whose bytes are read when they are sent. */
async function openFile(path: string): Promise<Blob> {
  try {
    return await openAsBlob(path);
  } catch (thrown) {
    const why = `there is no readable file ${path}`;
    throw incusProblems.make('source-not-found', { what: 'image to import', why }, thrown);
  }
}

/** The parts of a split image. */
async function renderForm(files: { metadata: string; rootfs: string }): Promise<FormData> {
  const form = new FormData();
  form.set('metadata', await openFile(files.metadata), 'metadata');
  form.set('rootfs', await openFile(files.rootfs), 'rootfs');
  return form;
}

/** The fingerprint that the engine gives: SHA-256 over the file, or over metadata and then root file system. */
export async function hashFiles(files: ImageFiles): Promise<string> {
  const hash = createHash('sha256');
  const paths = 'unified' in files ? [files.unified] : [files.metadata, files.rootfs];
  for (const path of paths) for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest('hex');
}
