// No kind of operation is left out of the trials.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeWorld, withWorld } from './world.ts';

/** Kinds that these files name, as `site.create` or `${noun}.create`. */
async function readTried(): Promise<Set<string>> {
  const files = (await readdir(import.meta.dirname)).filter((file) => file.endsWith('.test.ts'));
  const texts = await Promise.all(files.map((file) => readFile(join(import.meta.dirname, file), 'utf8')));
  const named = texts.flatMap((text) =>
    [...text.matchAll(/(?:kind: |persist\(world, )['`]([^'`]+)['`]/g)].map(([, kind = '']) => kind),
  );
  const nouns = ['database', 'cache'];
  return new Set(named.flatMap((kind) => nouns.map((noun) => kind.replace(/^\$\{noun\}/, noun))));
}

void test('every registered kind of operation is tried under faults', () =>
  withWorld(makeWorld, async (world) => {
    const registered: string[] = [];
    world.dress = (operations) => ({
      ...operations,
      register(kind) {
        registered.push(kind.kind);
        operations.register(kind);
      },
    });
    world.kill();
    await world.start();
    const tried = await readTried();
    assert.ok(registered.length > 15);
    assert.deepEqual(
      registered.filter((kind) => !tried.has(kind)),
      [],
    );
  }));
