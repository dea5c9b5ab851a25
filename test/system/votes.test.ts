// A pool that resizes itself, over the real edge, agents and nodes: it follows a number that a page of its site tells, and
// it goes to sleep until a visitor comes.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { OperationDocument } from '../../src/cli/documents.ts';
import type { LiveApi } from './live-api.ts';
import { until } from './live-http.ts';
import { type LivePlace, openLivePlace } from './live-place.ts';
import { startVisitor } from './live-visitor.ts';

const POOL = 'voting';
const HOST = 'voting.localhost';
const RESIZE_MS = 60_000;
/** Times are short, so that the test is. */
const QUICK = { growBy: 1, calmS: 3, stabiliseS: 1, jitterS: 0, max: 2 };

let place: LivePlace;
let api: LiveApi;

before(async () => {
  place = await openLivePlace();
  api = place.api;
  await removeAll();
  for (const argv of [
    ['image', 'build', 'hello'],
    ['pool', 'create', POOL, '--app', 'hello', '--size', '1', '--node-memory', '64'],
    ['site', 'create', POOL, '--app', 'hello', '--pool', POOL, '--host', HOST],
  ]) {
    const { code, stderr } = await place.espalier(argv);
    assert.equal(code, 0, `${argv.join(' ')}\n${stderr}`);
  }
});
after(async () => {
  await removeAll();
  await place.leave();
});

async function removeAll(): Promise<void> {
  if ((await api.ask('GET', `/v1/sites/${POOL}`)).status === 200) await api.removeSite(POOL);
  if ((await api.ask('GET', `/v1/pools/${POOL}`)).status === 200)
    await api.succeed('DELETE', `/v1/pools/${POOL}?deleteBackups=true`);
  await api.assertInOrder();
}

async function setPolicy(policy: object): Promise<void> {
  const { status, body } = await api.ask('PUT', `/v1/pools/${POOL}/policy`, { body: { ...QUICK, ...policy } });
  assert.equal(status, 200, JSON.stringify(body));
}

/** Puts the number where the site tells it. */
async function tell(number: number): Promise<void> {
  const boundary = 'espalier-boundary';
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="number.txt"\r\n\r\n`;
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}` };
  const body = `${head}${number}\r\n--${boundary}--\r\n`;
  assert.equal((await api.visit(HOST, '/', { method: 'POST', body, headers })).status, 200);
}

interface RoundView {
  decision: string;
  reason: string;
  wanted: number;
  size: number;
}
const readRounds = async () => (await api.read<{ items: RoundView[] }>(`/v1/pools/${POOL}/votes?pageSize=200`)).items;
const readWhy = async () => (await api.read<{ reason: string }>(`/v1/pools/${POOL}/policy`)).reason;

async function untilSize(size: number): Promise<void> {
  let why = '';
  await until(
    `${size} nodes that serve`,
    RESIZE_MS,
    async () => {
      why = await readWhy();
      const { state } = await api.read<{ state: string; wanted: number }>(`/v1/pools/${POOL}`);
      const nodes = await place.fleet.instances.list({ labels: { kind: 'node', pool: POOL } });
      const serving = await api.readNodes(POOL);
      return state === 'ready' && serving.length === size && nodes.length === size ? true : undefined;
    },
    () => why,
  );
}

void describe('a pool that votes', () => {
  void it('grows by one and shrinks by one with what its site tells, and no visitor notices', async () => {
    await tell(4);
    await setPolicy({
      min: 1,
      siteNumberUrl: `http://${HOST}:${place.httpPort}/files/number.txt`,
      alerts: [
        { metric: 'site-number', is: '>', threshold: 5, forS: 1, vote: 'grow' },
        { metric: 'site-number', is: '<', threshold: 2, forS: 1, vote: 'shrink' },
      ],
    });
    const visitor = startVisitor(api, { host: HOST, path: '/', words: 'visits' }, 4);
    await tell(8);
    await untilSize(2);
    await tell(1);
    await untilSize(1);
    await visitor.stop();
    const { good, bad } = visitor.take();
    assert.deepEqual(bad, [], `beside ${good} good answers`);
    assert.ok(good > 50, `${good} answers`);
    const resizes = (await readRounds()).filter(({ wanted, size }) => wanted !== size).reverse();
    assert.deepEqual(
      resizes.map(({ decision, wanted, size }) => [decision, wanted, size]),
      [
        ['grow', 1, 2],
        ['shrink', 2, 1],
      ],
    );
    assert.match(resizes[0]?.reason ?? '', /^1 of 1 voter for growing, .*site-number is 8 \(> 5 for 1 s\)$/);
  });

  void it('falls asleep when nobody visits it, and its first visitor waits for a page and gets it', async () => {
    await setPolicy({
      min: 0,
      idleS: 3,
      alerts: [{ metric: 'busy-workers', is: '>', threshold: 50, forS: 60, vote: 'grow' }],
    });
    await untilSize(0);
    assert.match(await readWhy(), /^(nobody has visited for \d+ s|nobody visits it, and the first visitor wakes it)$/);
    const { status, body } = await api.visit(HOST, '/');
    assert.equal(status, 200, body.toString().slice(0, 300));
    assert.equal((JSON.parse(body.toString()) as { title: string }).title.length > 0, true);
    const woken = (await readRounds()).find(({ wanted, size }) => wanted === 0 && size === 1);
    assert.match(woken?.reason ?? '', /^(a visitor waits|\d+ visitors wait) at the edge of an empty pool$/);
  });

  void it('asleep, is woken by what is done with its sites and for a look at its backups before it is deleted', async () => {
    await untilSize(0);
    await api.removeSite(POOL);
    await untilSize(0);
    const id = await api.begin('DELETE', `/v1/pools/${POOL}`);
    const refused: OperationDocument = await api.ended(id);
    assert.deepEqual([refused.state, refused.problem?.code], ['recovered', 'pool.holds-backups']);
    await untilSize(0);
  });
});
