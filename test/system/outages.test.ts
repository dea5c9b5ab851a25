// Parts that go away one at a time, over the real engines: the agent, the database, the controller, a node, the edge.
// Operations wait with a reason and go on; sites serve whatever serves without the part.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type { OperationDocument } from '../../src/cli/documents.ts';
import { renderOperation } from './live-api.ts';
import { type LiveDaemons, takeDaemons } from './live-controller.ts';
import { until } from './live-http.ts';
import { type LivePlace, openLivePlace } from './live-place.ts';
import { startVisitor } from './live-visitor.ts';

const POOL = 'wordpress';
const HOST = 'wordpress.localhost';
const SITE = 'patient';
const HOME = { host: HOST, path: '/', words: 'wp-block' };

let place: LivePlace;
let daemons: LiveDaemons;

before(async () => {
  place = await openLivePlace();
  daemons = await takeDaemons(place);
  await removeSite();
});
afterEach(async () => {
  await removeSite();
  await place.api.assertInOrder();
});
after(async () => {
  await daemons.release();
  await place.leave();
});

async function removeSite(): Promise<void> {
  if ((await place.api.ask('GET', `/v1/sites/${SITE}`)).status === 200) await place.api.removeSite(SITE);
}

const beginSite = () =>
  place.api.begin('POST', '/v1/sites', { name: SITE, app: 'wordpress', hosts: [`${SITE}.localhost`], pool: POOL });
const readOperation = (id: string) => place.api.read<OperationDocument>(`/v1/operations/${id}`);

/** Waits until an operation says that it waits for such a problem, and gives it; before, it may wait for something else. */
function untilWaiting(id: string, code: RegExp) {
  let last: OperationDocument | undefined;
  return until(
    `the operation ${id} waiting for ${code}`,
    60_000,
    async () => {
      last = await readOperation(id);
      const problem = last.waiting?.problem;
      return problem !== undefined && code.test(problem.code) ? problem : undefined;
    },
    () => renderOperation(last),
  );
}

const untilRunning = (id: string, step: string) =>
  until(`the step ${step} at work`, 60_000, async () =>
    (await readOperation(id)).steps.some(({ name, state }) => name === step && state === 'running') ? true : undefined,
  );

async function assertSucceeds(id: string): Promise<void> {
  const operation = await place.api.ended(id);
  assert.equal(operation.state, 'succeeded', renderOperation(operation));
}

/** Every node by itself, and the edge. */
async function assertServed(): Promise<void> {
  for (const address of [undefined, ...(await readAddresses())]) {
    const { status, body } = await place.api.visit(HOST, '/', address === undefined ? {} : { address });
    assert.equal(status, 200, `${address ?? 'the edge'}: ${body.subarray(0, 200)}`);
  }
}
/** From Incus, since the controller may be away. */
async function readAddresses(): Promise<string[]> {
  const nodes = await place.fleet.instances.list({ labels: { kind: 'node', pool: POOL }, withState: true });
  return nodes.flatMap((node) => node.state?.addresses ?? []);
}

void describe('without its agent', () => {
  void it('an operation waits and says for whom, and goes on when the agent is back', async () => {
    await daemons.agent.kill();
    const id = await beginSite();
    const problem = await untilWaiting(id, /^protocol\.disconnected$/);
    assert.match(problem.detail, /agent on \S+ is not connected/);
    await assertServed();
    await daemons.agent.start();
    await assertSucceeds(id);
  });

  void it('an installer that is cut off in the middle is run again', async () => {
    const id = await beginSite();
    await untilRunning(id, 'install');
    await daemons.agent.kill();
    await daemons.agent.start();
    await assertSucceeds(id);
    assert.equal((await place.api.visit(`${SITE}.localhost`, '/')).status, 200);
  });
});

void describe('without its database', () => {
  void it('an operation waits and says why; the container is started again, and the operation goes on', async () => {
    const [database] = await place.fleet.instances.list({ labels: { kind: 'database' } });
    assert.ok(database !== undefined);
    // A container that runs is left alone by who heals it, until the operation has met a server that is away.
    const halt = ['systemctl', 'stop', 'mariadb.service'];
    assert.equal((await place.fleet.exec(database.name, halt, { timeoutMs: 60_000 })).code, 0);
    const id = await beginSite();
    await untilWaiting(id, /^(mariadb|database)\./);
    await place.fleet.instances.stop(database.name, { force: true });
    await assertSucceeds(id);
    await assertServed();
  });
});

void describe('without its controller', () => {
  void it('sites serve, and nodes and the edge that are started anew serve what they were told last', async () => {
    await using _back = { [Symbol.asyncDispose]: () => daemons.controller.start() };
    await daemons.controller.kill();
    await assertServed();
    // The agent too knows only what it has on disk.
    await daemons.agent.kill();
    await daemons.agent.start({ alone: true });
    const [node] = await place.fleet.instances.list({ labels: { kind: 'node', pool: POOL } });
    const [edge] = await place.fleet.instances.list({ labels: { kind: 'edge' } });
    assert.ok(node !== undefined && edge !== undefined);
    const visitor = startVisitor(place.api, HOME);
    try {
      await place.fleet.instances.restart(node.name, { force: true });
      await untilServed();
    } finally {
      await visitor.stop();
    }
    const { bad, good } = visitor.take();
    assert.deepEqual(bad, [], `while a node started anew, beside ${good} good answers`);
    await place.fleet.instances.restart(edge.name, { force: true });
    await untilServed();
  });

  /** The edge and both nodes. */
  const untilServed = () =>
    until('pages from everyone', 60_000, async () => {
      const addresses = await readAddresses();
      const answers = await Promise.all(
        [{}, ...addresses.map((address) => ({ address }))].map((where) =>
          place.api.visit(HOST, '/', where).catch(() => ({ status: 0 })),
        ),
      );
      return addresses.length === 2 && answers.every(({ status }) => status === 200) ? true : undefined;
    });
});

void describe('under the eyes of visitors', () => {
  void it('a node that dies costs no answer, and another one serves in its place', async () => {
    const visitor = startVisitor(place.api, HOME, 4);
    const [victim] = await place.api.readNodes(POOL);
    assert.ok(victim !== undefined);
    await place.fleet.instances.stop(victim.name, { force: true });
    await until('another node', 120_000, async () => {
      const nodes = await place.api.readNodes(POOL);
      return nodes.length === 2 && !nodes.some(({ name }) => name === victim.name) ? true : undefined;
    });
    await visitor.stop();
    const { good, bad } = visitor.take();
    assert.deepEqual(bad, [], `beside ${good} good answers`);
    assert.ok(good > 20, `${good} answers`);
  });

  void it('nodes come and go without costing an answer', async () => {
    const visitor = startVisitor(place.api, HOME, 4);
    await place.api.succeed('POST', `/v1/pools/${POOL}/scale`, { size: 3 });
    await place.api.succeed('POST', `/v1/pools/${POOL}/scale`, { size: 2 });
    await visitor.stop();
    const { good, bad } = visitor.take();
    assert.deepEqual(bad, [], `beside ${good} good answers`);
  });

  void it('an edge that dies is started again', async () => {
    const [edge] = await place.fleet.instances.list({ labels: { kind: 'edge' } });
    assert.ok(edge !== undefined);
    await place.fleet.instances.stop(edge.name, { force: true });
    await until('pages through the edge', 60_000, async () =>
      (await place.api.visit(HOST, '/').catch(() => ({ status: 0 }))).status === 200 ? true : undefined,
    );
  });
});
