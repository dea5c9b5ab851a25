// The controller killed (SIGKILL) at the steps of its operations, over the real engines. One operation is killed at
// point after point: each new controller goes on with it until it dies at the next. In the end the operation has
// succeeded or is undone, Incus, MariaDB and Valkey hold what the store says, and visitors have noticed nothing.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { OperationDocument } from '../../src/cli/documents.ts';
import { renderOperation } from './live-api.ts';
import { type LiveDaemons, takeDaemons } from './live-controller.ts';
import { until } from './live-http.ts';
import { type LivePlace, openLivePlace } from './live-place.ts';
import { startVisitor, type Visitor } from './live-visitor.ts';

const POOL = 'wordpress';
const SITE = 'killed';
const HOST = 'killed.localhost';
/** What the edge answers for a host name that no site has. */
const NO_SITE = 421;

let place: LivePlace;
let daemons: LiveDaemons;
let visitor: Visitor;

before(async () => {
  place = await openLivePlace();
  daemons = await takeDaemons(place);
  for (const name of [SITE, 'undone']) {
    if ((await place.api.ask('GET', `/v1/sites/${name}`)).status === 200) await place.api.removeSite(name);
  }
  visitor = startVisitor(place.api, { host: 'wordpress.localhost', path: '/', words: 'wp-block' });
});
after(async () => {
  await visitor.stop();
  await daemons.release();
  await place.leave();
});

/** Points `KIND/STEP/WHEN` of every step, after it was done and before that was stored: the hardest moment. */
const afterEach = (kind: string, steps: readonly string[], when = 'after-do') =>
  steps.map((step) => `${kind}/${step}/${when}`);

/**
 * Begins something and kills the controller at each point in order; then one lives, and the operation ends. Without an
 * id from `begin` it is the newest of its kind, which the controller has begun by itself.
 */
async function killAt(
  points: readonly string[],
  begin: () => Promise<string | undefined>,
  firstFault?: string,
): Promise<OperationDocument> {
  let begun: { id: string | undefined } | undefined;
  for (const point of points) {
    await daemons.controller.kill();
    const fault = `${point}:kill`;
    const faults = begun === undefined && firstFault !== undefined ? `${firstFault},${fault}` : fault;
    await daemons.controller.start({ fault: faults });
    begun ??= { id: await begin() };
    await daemons.controller.died();
  }
  await daemons.controller.start();
  const id = begun?.id ?? (await place.api.readNewest(points[0]?.split('/')[0] ?? '')).id;
  return await place.api.ended(id);
}

/** What must hold after every one of them. */
async function assertAllWell(operation: OperationDocument, state: string): Promise<void> {
  assert.equal(operation.state, state, renderOperation(operation));
  await place.api.assertInOrder();
  const { good, bad } = visitor.take();
  assert.deepEqual(bad, [], `visitors of another site, beside ${good} good answers`);
  assert.ok(good > 0, 'there were visitors');
}

const newSite = (name: string, host: string) => ({ name, app: 'wordpress', hosts: [host], pool: POOL });

async function assertServed(host: string, status = 200): Promise<void> {
  const { body, status: got } = await place.api.visit(host, '/');
  assert.equal(got, status, `${host}: ${body.subarray(0, 200)}`);
}

void describe('the controller killed at the steps of', () => {
  void it('site.create', async () => {
    const steps = ['place', 'accounts', 'configure', 'install', 'check', 'open'];
    const points = steps.flatMap((step) => [`site.create/${step}/before-do`, `site.create/${step}/after-do`]);
    const created = await killAt(points, () => place.api.begin('POST', '/v1/sites', newSite(SITE, HOST)));
    await assertAllWell(created, 'succeeded');
    await assertServed(HOST);
  });

  void it('site.create, in the middle of the installer', async () => {
    const id = await place.api.begin('POST', '/v1/sites', newSite('undone', 'undone.localhost'));
    await until('the installer at work', 60_000, async () => {
      const { steps } = await place.api.read<OperationDocument>(`/v1/operations/${id}`);
      return steps.some(({ name, state }) => name === 'install' && state === 'running') ? true : undefined;
    });
    await daemons.controller.kill();
    await daemons.controller.start();
    await assertAllWell(await place.api.ended(id), 'succeeded');
    await assertServed('undone.localhost');
    await place.api.removeSite('undone');
  });

  void it('site.create while it is undone', async () => {
    const undone = ['configure', 'accounts', 'place'];
    const operation = await killAt(
      undone.flatMap((step) => [`site.create/${step}/before-undo`, `site.create/${step}/after-undo`]),
      () => place.api.begin('POST', '/v1/sites', newSite('undone', 'undone.localhost')),
      'site.create/check/after-do:fail',
    );
    await assertAllWell(operation, 'recovered');
    assert.equal((await place.api.ask('GET', '/v1/sites/undone')).status, 404, 'its name is free');
    await assertServed('undone.localhost', NO_SITE);
  });

  void it('site.set-hosts', async () => {
    const set = await killAt(afterEach('site.set-hosts', ['apply', 'note']), () =>
      place.api.begin('PUT', `/v1/sites/${SITE}/hosts`, { hosts: ['moved.localhost', HOST] }),
    );
    await assertAllWell(set, 'succeeded');
    await assertServed('moved.localhost');
  });

  void it('site.suspend and site.resume', async () => {
    const suspended = await killAt(afterEach('site.suspend', ['close', 'lock-database']), () =>
      place.api.begin('POST', `/v1/sites/${SITE}/suspend`),
    );
    await assertAllWell(suspended, 'succeeded');
    await assertServed('moved.localhost', 503);
    const resumed = await killAt(afterEach('site.resume', ['unlock-database', 'open', 'check']), () =>
      place.api.begin('POST', `/v1/sites/${SITE}/resume`),
    );
    await assertAllWell(resumed, 'succeeded');
    await assertServed('moved.localhost');
  });

  void it('site.delete and site.purge', async () => {
    const { id } = await place.api.readSite(SITE);
    const points = [
      ...afterEach('site.delete', ['close', 'lock-database', 'backup', 'archive']),
      ...afterEach('site.purge', ['files', 'accounts', 'forget']),
    ];
    const deleted = await killAt(points, () => place.api.begin('DELETE', `/v1/sites/${SITE}?graceS=0`));
    await until('the purge', 60_000, async () =>
      (await place.api.ask('GET', `/v1/sites/${id}`)).status === 404 ? true : undefined,
    );
    await assertAllWell(deleted, 'succeeded');
    await assertServed('moved.localhost', NO_SITE);
  });

  void it('pool.scale and node.create', async () => {
    const points = [
      'pool.scale/want/after-do',
      ...afterEach('node.create', ['place', 'container', 'configure', 'probe', 'register']),
      'pool.scale/nodes/after-do',
    ];
    const scaled = await killAt(points, () => place.api.begin('POST', `/v1/pools/${POOL}/scale`, { size: 3 }));
    await assertAllWell(scaled, 'succeeded');
    assert.equal((await place.api.readNodes(POOL)).length, 3);
  });

  void it('node.remove', async () => {
    const [oldest] = await place.api.readNodes(POOL);
    assert.ok(oldest !== undefined);
    const removed = await killAt(afterEach('node.remove', ['drain', 'unregister', 'container', 'forget']), () =>
      place.api.begin('POST', `/v1/nodes/${oldest.name}/replace`),
    );
    await until('another node in its place', 120_000, async () =>
      (await place.api.readNodes(POOL)).length === 3 ? true : undefined,
    );
    await assertAllWell(removed, 'succeeded');
  });

  void it('node.create while it is undone, and pool.scale with it', async () => {
    const operation = await killAt(
      [...afterEach('node.create', ['register', 'container', 'place'], 'after-undo'), 'pool.scale/want/after-undo'],
      () => place.api.begin('POST', `/v1/pools/${POOL}/scale`, { size: 4 }),
      'node.create/register/after-do:fail',
    );
    await until('three nodes', 120_000, async () =>
      (await place.api.readNodes(POOL)).length === 3 ? true : undefined,
    );
    await assertAllWell(operation, 'recovered');
    await place.api.succeed('POST', `/v1/pools/${POOL}/scale`, { size: 2 });
    await place.api.assertInOrder();
  });

  void it('image.bake', async () => {
    const steps = ['parent', 'seed', 'packages', 'files', 'prepare', 'publish', 'clean'];
    const points = afterEach('image.bake', steps).toSpliced(-2, 0, 'image.bake/publish/before-do');
    const baked = await killAt(points, () => place.api.begin('POST', '/v1/images', { recipe: 'hello' }));
    await assertAllWell(baked, 'succeeded');
  });

  void it('deployment.up', async () => {
    const up = await killAt(afterEach('deployment.up', ['place', 'start', 'build', 'sites', 'ready']), () =>
      place.api.begin('POST', '/v1/deployment', {}),
    );
    await assertAllWell(up, 'succeeded');
  });

  void it('database.create and database.delete', async () => {
    const created = await killAt(afterEach('database.create', ['place', 'volumes', 'container', 'healthy']), () =>
      place.api.begin('POST', '/v1/databases', { name: 'db2', memoryMb: 256 }),
    );
    await assertAllWell(created, 'succeeded');
    assert.equal(created.steps.length, 4, 'every step was killed at');
    await place.api.succeed('DELETE', '/v1/databases/db2');
    await place.api.assertInOrder();
  });

  // The last one: the only edge is away meanwhile.
  void it('edge.create, when it heals', async () => {
    const [edge] = await place.fleet.instances.list({ labels: { kind: 'edge' } });
    assert.ok(edge !== undefined);
    const healed = await killAt(afterEach('edge.create', ['place', 'container', 'configure', 'open']), async () => {
      await place.fleet.instances.delete(edge.name, { force: true });
      return undefined;
    });
    assert.equal(healed.by, 'heal');
    visitor.take();
    await until('pages through the new edge', 60_000, async () => (visitor.take().good > 0 ? true : undefined));
    await assertAllWell(healed, 'succeeded');
  });
});
