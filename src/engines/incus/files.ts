// Files in containers: single ones through Incus's file API (also in stopped containers), trees through tar's
// standard input. Apart from exec, on which writeTree stands.
import { Readable } from 'node:stream';
import type { CallOptions, FileAttributes, Files } from '../fleet.ts';
import { boundBy, CHANGE_TIMEOUT_MS, type IncusClient, READ_TIMEOUT_MS, toPath } from './client.ts';
import { runExec } from './exec.ts';
import { parseListing, renderFind } from './listing.ts';
import { incusProblems, toIncusProblem, unless } from './problems.ts';
import { readTree, renderTar } from './tree.ts';

const TREE_TIMEOUT_MS = 120_000;
const LIST_TIMEOUT_MS = 300_000;
/** Of gigabytes over a busy disk. */
const PIECES_TIMEOUT_MS = 3_600_000;
/** A Debian with an app has thirty thousand files, at about a hundred bytes each. */
const LIST_BYTES = 64 * 1024 ** 2;

/** The files of a place's containers. */
export function makeIncusFiles(client: IncusClient): Files {
  const requestOf = (name: string, path: string) => ({
    path: `${toPath('instances', name)}/files`,
    query: { path },
    what: `${path} in container ${name}`,
  });
  const headersOf = (attributes: FileAttributes = {}) => ({
    'content-type': 'application/octet-stream',
    'x-incus-type': 'file',
    'x-incus-write': 'overwrite',
    'x-incus-mode': `0${(attributes.mode ?? 0o644).toString(8)}`,
    'x-incus-uid': String(attributes.uid ?? 0),
    'x-incus-gid': String(attributes.gid ?? 0),
  });
  const api: Files = {
    async write(name, path, content, options) {
      const body = Buffer.from(content);
      // The engine leaves owner and mode of an existing file as they are, so it goes first.
      await api.remove(name, path, options);
      await client.send(
        { method: 'POST', ...requestOf(name, path), headers: headersOf(options), body },
        boundBy(CHANGE_TIMEOUT_MS, options),
      );
    },

    async read(name, path, options) {
      const request = { method: 'GET', ...requestOf(name, path) } as const;
      const { bytes, type } = await client.download(request, boundBy(READ_TIMEOUT_MS, options));
      if (type !== 'directory') return bytes;
      throw incusProblems.make('refused', { what: request.what, why: 'it is a folder' });
    },

    async readPieces(name, path, options) {
      const request = { method: 'GET', ...requestOf(name, path) } as const;
      const { pieces, type } = await client.downloadPieces(request, boundBy(PIECES_TIMEOUT_MS, options));
      if (type !== 'directory') return pieces;
      throw incusProblems.make('refused', { what: request.what, why: 'it is a folder' });
    },

    async writePieces(name, path, pieces, options) {
      const bound = { ...options, ...boundBy(PIECES_TIMEOUT_MS, options) };
      // The engine leaves owner and mode of an existing file as they are, so it goes first.
      await api.remove(name, path, options);
      await client.send(
        { method: 'POST', ...requestOf(name, path), headers: headersOf(options), body: Readable.from(pieces) },
        bound,
      );
    },

    async writeTree(name, tree, to, options) {
      const stdin = renderTar(await readTree(tree), to);
      const bound: CallOptions = boundBy(TREE_TIMEOUT_MS, options);
      const { code, stderr } = await runExec(client, name, ['tar', '-x', '-p', '-f', '-', '-C', '/'], {
        ...bound,
        stdin,
      });
      if (code !== 0)
        throw toIncusProblem(`Files for ${to} in container ${name}`, 0, stderr || `tar ended with ${code}`);
    },

    async list(name, folder, options = {}) {
      const { skip = [], ...rest } = options;
      const what = `Files of ${folder} in container ${name}`;
      // One after the other: they read the same disk.
      const outputs: string[] = [];
      for (const argv of renderFind(folder, skip)) {
        const bound = { ...boundBy(LIST_TIMEOUT_MS, rest), maxOutputBytes: LIST_BYTES, env: { LC_ALL: 'C' } };
        const { code, stdout, stderr, truncated } = await runExec(client, name, argv, bound);
        if (truncated) throw incusProblems.make('refused', { what, why: 'there are too many of them' });
        // find ends with 1 for a file that went away meanwhile.
        if (code > 1) throw toIncusProblem(what, 0, stderr || `find ended with ${code}`);
        outputs.push(stdout);
      }
      const [sums = '', links = '', attributes = ''] = outputs;
      return parseListing({ sums, links, attributes });
    },

    async remove(name, path, options) {
      await client
        .send({ method: 'DELETE', ...requestOf(name, path) }, boundBy(CHANGE_TIMEOUT_MS, options))
        .catch(unless('not-found'));
    },
  };
  return api;
}
