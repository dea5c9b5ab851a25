// Where sshd listens, as its configuration says: whoever is locked out cannot correct it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSshPorts } from './firewall.ts';

test('every port that any of the files names, or 22', () => {
  assert.deepEqual(parseSshPorts(['', '#Port 2022\nListenAddress 0.0.0.0\n']), [22]);
  assert.deepEqual(parseSshPorts(['Port 22\nPort 2222\n', '  port 2222  \n']), [22, 2222]);
});
