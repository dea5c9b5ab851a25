// The committed reference page of the command line is that of the code.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { cliPagePathOf, renderCliPage } from './reference.ts';

void test('docs/reference/cli.md is current', async () => {
  const committed = await readFile(cliPagePathOf(), 'utf8').catch(() => '');
  assert.ok(
    committed === (await renderCliPage()),
    'docs/reference/cli.md is not what the code says; run: node src/cli/reference.ts',
  );
});
