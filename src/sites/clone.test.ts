import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderCopy } from './clone.ts';

void test('files are copied by shared blocks where that can be, and only those of the source site change hands', () => {
  const commands = renderCopy({ id: 'saaaaaaaaa', uid: 20_001 }, { id: 'sbbbbbbbbb', uid: 20_002 });
  assert.deepEqual(commands, [
    ['cp', '--archive', '--reflink=auto', '/srv/content/saaaaaaaaa/.', '/srv/content/sbbbbbbbbb'],
    ['rm', '--recursive', '--force', '/srv/content/sbbbbbbbbb/.held-mail'],
    ['chown', '--recursive', '--no-dereference', '--from=20001', '20002', '/srv/content/sbbbbbbbbb'],
    ['chown', '--recursive', '--no-dereference', '--from=:20001', ':20002', '/srv/content/sbbbbbbbbb'],
  ]);
});
