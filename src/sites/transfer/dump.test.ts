import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findPrefix, lookAtDump } from './dump.ts';

const ENDS = ['options', 'postmeta', 'usermeta'];
const create = (name: string) =>
  `DROP TABLE IF EXISTS \`${name}\`;\nCREATE TABLE \`${name}\` (\n  \`id\` int\n) ENGINE=MyISAM;\n`;

async function* cut(text: string, bytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < text.length; at += bytes) yield Buffer.from(text.slice(at, at + bytes));
}

void test('tables are seen however the dump is cut into pieces, and never in the middle of a line', async () => {
  const text = `-- a dump\n${create('wp_options')}INSERT INTO \`wp_options\` VALUES (1,'CREATE TABLE \`fake\` (');\n${create('wp_postmeta')}USE \`shop\`;\n`;
  for (const bytes of [1, 7, 64, 1_000]) {
    const { tables, databases } = await lookAtDump(cut(text, bytes));
    assert.deepEqual([...tables], ['wp_options', 'wp_postmeta'], `${bytes}`);
    assert.deepEqual([...databases], ['shop']);
  }
});

void test("an app's tables tell their prefix, and a dump without them is refused by name", async () => {
  const seen = (names: string[], databases: string[] = []) => ({
    ...{ tables: new Set(names), databases: new Set(databases), bytes: 1 },
  });
  assert.equal(
    findPrefix('wordpress', ENDS, seen(['x7_options', 'x7_postmeta', 'x7_usermeta', 'x7_2_options'])),
    'x7_',
  );
  assert.equal(findPrefix('mediawiki', ['page', 'revision'], seen(['page', 'revision'])), '');
  for (const wrong of [
    seen([]),
    seen(['page', 'revision']),
    seen(['a_options', 'a_postmeta', 'a_usermeta', 'b_options', 'b_postmeta', 'b_usermeta']),
    seen(['a-b_options', 'a-b_postmeta', 'a-b_usermeta']),
    seen(['wp_options', 'wp_postmeta', 'wp_usermeta'], ['one', 'two']),
  ]) {
    assert.throws(() => findPrefix('wordpress', ENDS, wrong), { code: 'transfer.wrong-dump' });
  }
});
