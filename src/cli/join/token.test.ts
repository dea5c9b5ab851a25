import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderPreseed } from './incus.ts';
import { parseJoinToken } from './token.ts';

const encode = (parts: unknown) => `esj_${Buffer.from(JSON.stringify(parts)).toString('base64url')}`;

void test('a token tells where the controller is, by what to know it, the secret and the deployment', () => {
  assert.deepEqual(parseJoinToken(encode(['10.0.0.1:7443', 'ab12', 'secret', 'espalier'])), {
    ...{ controller: '10.0.0.1:7443', fingerprint: 'ab12', secret: 'secret', deployment: 'espalier' },
  });
});

void test('what is not whole, or something else, is refused before anything is asked', () => {
  const whole = encode(['10.0.0.1:7443', 'ab12', 'secret', 'espalier']);
  for (const text of ['', 'esp_x', whole.slice(0, -6), whole.slice(4), encode(['a', 'b', 'c']), encode({ a: 1 })])
    assert.throws(() => parseJoinToken(text), { code: 'cli.bad-join-token' });
});

void test('Incus is told address and token by a document, not by arguments that others could read', () => {
  assert.deepEqual(JSON.parse(renderPreseed('10.0.0.2', 'TOKEN')), {
    cluster: { enabled: true, server_address: '10.0.0.2:8443', cluster_token: 'TOKEN' },
  });
});
