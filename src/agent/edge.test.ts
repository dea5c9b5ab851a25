// Tests of the applier while no HAProxy runs; test/system/edge.test.ts has one.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeSystemClock } from '../lib/clock.ts';
import { Problem } from '../lib/errors.ts';
import { makeSilentLogger } from '../lib/log.ts';
import { type EdgeDocument, edgeDocument } from '../protocol/edge-document.ts';
import { makeEdgeApplier } from './edge.ts';

const document: EdgeDocument = {
  version: 7,
  trustedProxies: [],
  pools: [{ name: 'shop', servers: [{ name: 'shop-1', address: '10.0.0.11', port: 80, drain: false }] }],
  hosts: [{ host: 'acme.test', site: 's00000acme', pool: 'shop', state: 'ready', requestsPerS: 0, connections: 0 }],
};

async function withApplier(work: (dir: string, applier: ReturnType<typeof makeEdgeApplier>) => Promise<void>) {
  const parent = await mkdtemp(join(tmpdir(), 'edge-'));
  const dir = join(parent, 'edge');
  try {
    await work(dir, makeEdgeApplier({ dir, log: makeSilentLogger(), clock: makeSystemClock() }));
  } finally {
    await rm(parent, { recursive: true });
  }
}

void test('a new directory is for root only and serves nothing yet', () =>
  withApplier(async (dir, applier) => {
    await applier.prepare();
    assert.equal((await stat(dir)).mode & 0o777, 0o700);
    assert.deepEqual((await readdir(dir)).sort(), [
      'certs',
      'errors',
      'haproxy.cfg',
      'hold.lua',
      'maps',
      'servers.state',
    ]);
    assert.equal(await readFile(join(dir, 'maps/hosts.map'), 'utf8'), '');
    assert.equal(await readFile(join(dir, 'servers.state'), 'utf8'), '1\n');
    assert.equal(await applier.readLast(), undefined);
    assert.deepEqual(applier.status(), {});
  }));

void test('preparing again leaves what was applied', () =>
  withApplier(async (dir, applier) => {
    await applier.prepare();
    await writeFile(join(dir, 'haproxy.cfg'), 'mine');
    await applier.prepare();
    assert.equal(await readFile(join(dir, 'haproxy.cfg'), 'utf8'), 'mine');
  }));

void test('with HAProxy away the files are written, so that it starts from them, and the problem is one that passes', () =>
  withApplier(async (dir, applier) => {
    await assert.rejects(applier.apply(document, new AbortController().signal), (error) => {
      assert.ok(error instanceof Problem);
      assert.equal(error.code, 'haproxy.away');
      assert.ok(error.retryable);
      return true;
    });
    assert.match(
      await readFile(join(dir, 'haproxy.cfg'), 'utf8'),
      /\nbackend shop\n {4}server shop-1 10\.0\.0\.11:80 /,
    );
    assert.equal(await readFile(join(dir, 'maps/hosts.map'), 'utf8'), 'acme.test ready/s00000acme/shop/0/0\n');
    assert.deepEqual(await applier.readLast(), document);
    assert.equal(applier.status().problem?.code, 'haproxy.away');
    assert.equal(applier.status().applied, undefined);
    const drafts = (await readdir(dir, { recursive: true })).filter((name) => name.includes('.draft'));
    assert.deepEqual(drafts, []);
  }));

void test('a document whose hosts and pools contradict each other is refused', () => {
  const [pool] = document.pools;
  const [host] = document.hosts;
  const messages = (change: object) => {
    const parsed = edgeDocument.safeParse({ ...document, ...change });
    return parsed.success ? [] : parsed.error.issues.map((issue) => issue.message);
  };
  assert.deepEqual(messages({}), []);
  assert.deepEqual(messages({ pools: [pool, pool] }), ['the pool shop is listed twice']);
  assert.deepEqual(messages({ hosts: [host, host] }), ['the host acme.test is listed twice']);
  assert.deepEqual(messages({ pools: [] }), ['the host acme.test is on the pool shop, which is not listed']);
  assert.equal(messages({ hosts: [{ ...host, host: 'Acme.test' }] }).length, 1);
  assert.equal(messages({ hosts: [{ ...host, host: 'acme.test\nother.test' }] }).length, 1);
});
