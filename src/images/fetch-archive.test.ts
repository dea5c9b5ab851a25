// The release archive of a recipe: looked for before the bake, and refused when it is another one.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { listRecipes, readBase, readLayer } from '../apps/read-recipe.ts';
import { assertArchiveAtHand, fetchArchive } from './fetch-archive.ts';
import type { ImageParts } from './parts.ts';
import { findBakeable } from './recipes.ts';

const root = join(import.meta.dirname, '../..');
const dir = await mkdtemp(join(tmpdir(), 'espalier-archive-'));
after(() => rm(dir, { recursive: true }));
const archive = join(dir, 'mautic.tar.gz');
await writeFile(archive, 'the archive');
const sha256 = createHash('sha256').update('the archive').digest('hex');

const { recipes } = await listRecipes([join(root, 'apps'), join(root, 'services')]);
const shelf = {
  base: await readBase(join(root, 'apps/base')),
  node: await readLayer(join(root, 'apps/node')),
  recipes,
};
const mautic = findBakeable(shelf, 'mautic');
const never = new AbortController().signal;
const withEnvironment = (environment: Record<string, string>) => ({ environment }) as unknown as ImageParts;
const fetchWith = (environment: Record<string, string>) => fetchArchive(withEnvironment(environment), mautic, never);

void test('an archive is read from its path, and its checksum compared', async () => {
  const ESPALIER_MAUTIC_ARCHIVE = archive;
  assert.equal(Buffer.from((await fetchWith({ ESPALIER_MAUTIC_ARCHIVE })) ?? []).toString(), 'the archive');
  const right = { ESPALIER_MAUTIC_ARCHIVE, ESPALIER_MAUTIC_ARCHIVE_SHA256: sha256 };
  assert.ok(await fetchWith(right));
  await assert.rejects(fetchWith({ ...right, ESPALIER_MAUTIC_ARCHIVE_SHA256: 'f'.repeat(64) }), {
    code: 'image.wrong-checksum',
    message: new RegExp(sha256),
  });
});

void test('an archive is read from an address; one that answers otherwise is said to', async () => {
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/mautic.tar.gz' ? 200 : 404;
    response.end('the archive');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const ESPALIER_MAUTIC_ARCHIVE_SHA256 = sha256;
    assert.ok(await fetchWith({ ESPALIER_MAUTIC_ARCHIVE: `${base}/mautic.tar.gz`, ESPALIER_MAUTIC_ARCHIVE_SHA256 }));
    await assert.rejects(fetchWith({ ESPALIER_MAUTIC_ARCHIVE: `${base}/other` }), {
      code: 'image.no-archive',
      message: /answered 404/,
    });
  } finally {
    server.close();
  }
});

void test('before the bake it is said which variable is missing, or names no file', async () => {
  const look = (environment: Record<string, string>) => assertArchiveAtHand(withEnvironment(environment), mautic);
  await assert.rejects(look({}), {
    code: 'image.no-archive',
    message: /ESPALIER_MAUTIC_ARCHIVE: the variable is not set/,
  });
  const nowhere = join(dir, 'nothing');
  await assert.rejects(look({ ESPALIER_MAUTIC_ARCHIVE: nowhere }), { message: /there is no file .*nothing/ });
  await look({ ESPALIER_MAUTIC_ARCHIVE: archive });
  await look({ ESPALIER_MAUTIC_ARCHIVE: 'https://example.org/mautic.tar.gz' });
});

void test('a recipe without an archive wants none', async () => {
  assert.equal(await fetchArchive(withEnvironment({}), findBakeable(shelf, 'wordpress'), never), undefined);
});

void test('what can be baked stands on what is below it, and is stale when that changes', () => {
  const wordpress = findBakeable(shelf, 'wordpress');
  assert.equal(wordpress.parent, 'node-trixie');
  assert.equal(findBakeable(shelf, 'node-trixie').parent, 'base-trixie');
  assert.equal(findBakeable(shelf, 'base-trixie').parent, undefined);
  assert.equal(mautic.parent, 'node-bookworm');
  assert.equal(findBakeable(shelf, 'database').parent, 'base-trixie');
  const newer = { ...shelf, base: { ...shelf.base, hash: 'another' } };
  for (const name of ['wordpress', 'node-trixie', 'base-trixie', 'database']) {
    assert.notEqual(findBakeable(newer, name).hash, findBakeable(shelf, name).hash, name);
  }
  const newerNode = { ...shelf, node: { ...shelf.node, hash: 'another' } };
  assert.notEqual(findBakeable(newerNode, 'wordpress').hash, wordpress.hash);
  assert.equal(findBakeable(newerNode, 'database').hash, findBakeable(shelf, 'database').hash);
  for (const name of ['nothing', 'node-sid', 'base-', '']) {
    assert.throws(() => findBakeable(shelf, name), { code: 'image.no-recipe' }, name);
  }
});
