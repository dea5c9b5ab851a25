// The committed reference pages are those of the code, and every problem is complete.
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { listCatalogues, renderErrors, renderReference } from './reference.ts';

const SRC = join(import.meta.dirname, '..');

void test('the reference pages are current', async () => {
  for (const [file, text] of await renderReference()) {
    const committed = await readFile(file, 'utf8').catch(() => '');
    const what = `docs/reference/${basename(file)} is not what the code says; run: node src/api/reference.ts`;
    assert.ok(committed === text, what);
  }
});

void test('no two catalogues share a room, and every problem has a status, a title and words to act on', async () => {
  const catalogues = await listCatalogues();
  const rooms = catalogues.map(({ room }) => room);
  assert.deepEqual([...new Set(rooms)], rooms);
  for (const { room, entries } of catalogues) {
    for (const [name, { status, title }] of Object.entries(entries)) {
      assert.match(`${room}.${name}`, /^[a-z]+\.[a-z][a-z-]*$/);
      assert.ok(status >= 400 && status < 600, `${room}.${name} has the status ${status}`);
      assert.match(title, /^[A-Z][^.]+$/, `${room}.${name}`);
    }
  }
});

void test('a sentence shows what it is told by name, also through lists', () => {
  const detail = (a: { host: string; sites: string[] }) => `${a.host} belongs to ${a.sites.map((s) => s).join(', ')}.`;
  const entry = { status: 409, title: 'Taken', detail, todo: () => 'Choose another.', retryable: true };
  const page = renderErrors([{ room: 'demo', entries: { taken: entry as never }, make: () => assert.fail() }]);
  assert.ok(
    page.endsWith(`## demo

### <a id="demo-taken"></a>demo.taken

Taken (HTTP 409, operations wait and try again).

- ‹host› belongs to ‹sites›.
- Choose another.
`),
  );
});

void test('the OpenAPI page has the routes of every file of routes, whatever it is called and however deep it lies', async () => {
  const page = JSON.parse(await readFile(join(SRC, '../docs/reference/openapi.json'), 'utf8')) as { paths: object };
  const files = globSync('**/{routes,*-routes}.ts', { cwd: SRC });
  assert.ok(files.length > 10);
  for (const file of files) {
    const text = await readFile(join(SRC, file), 'utf8');
    for (const [, path = ''] of text.matchAll(/^\s+path: '(\/v1[^']*)',$/gm))
      assert.ok(path in page.paths, `${path} of ${file}`);
  }
});
