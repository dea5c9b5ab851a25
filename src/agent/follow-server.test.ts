// What an agent knows of its server after a restart without the controller.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeSilentLogger } from '../lib/log.ts';
import type { ControllerContract, ServerDocument } from '../protocol/contract.ts';
import type { Peer } from '../protocol/peer.ts';
import { makeServerFollower } from './follow-server.ts';

const document: ServerDocument = {
  server: 's1',
  nodes: [{ name: 'n1', pool: 'p', address: '10.0.0.9', wanted: true }],
  trustedProxies: [],
  edges: ['edge1'],
};

void test('what was heard last is there after a restart; a copy that cannot be read is as good as none', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'espalier-server-'));
  const file = join(dir, 'agent', 'server.json');
  const heard: ServerDocument[] = [];
  let isThere = true;
  const make = () =>
    makeServerFollower({
      file,
      controller: () => (isThere ? ({ call: async () => document } as unknown as Peer<ControllerContract>) : undefined),
      onChange: (one) => heard.push(one),
      log: makeSilentLogger(),
    });
  try {
    const first = make();
    await first.load();
    assert.equal(first.current(), undefined);
    await first.sync();
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), document);

    isThere = false;
    const second = make();
    await second.load();
    assert.deepEqual(second.current(), document);
    assert.deepEqual(heard, [document, document]);
    await assert.rejects(second.sync(), { code: 'protocol.disconnected' });

    for (const broken of ['', '{"server"', '{"server":"s1"}', 'null']) {
      await writeFile(file, broken);
      const third = make();
      await third.load();
      assert.equal(third.current(), undefined, broken);
    }
    assert.equal(heard.length, 2);
  } finally {
    await rm(dir, { recursive: true });
  }
});
