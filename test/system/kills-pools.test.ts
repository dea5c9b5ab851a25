// The controller killed (SIGKILL) at the steps of what is done to pools, images, databases, the edge and the deployment;
// as in kills.test.ts, from which it is apart because each takes minutes.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from './live-http.ts';
import { afterEach, type KillPlace, openKillPlace, VISITED_POOL } from './live-kills.ts';

let place: KillPlace;

before(async () => {
  place = await openKillPlace();
  for (const path of ['/v1/databases/db2', '/v1/pools/killed']) {
    if ((await place.api.ask('GET', path)).status === 200) await place.api.succeed('DELETE', path);
  }
});
after(() => place.leave());

void describe('the controller killed at the steps of', () => {
  void it('pool.scale and node.create', async () => {
    const points = [
      'pool.scale/want/after-do',
      ...afterEach('node.create', ['place', 'container', 'configure', 'probe', 'register']),
      'pool.scale/nodes/after-do',
    ];
    const scaled = await place.killAt(points, () =>
      place.api.begin('POST', `/v1/pools/${VISITED_POOL}/scale`, { size: 3 }),
    );
    await place.assertAllWell(scaled, 'succeeded');
    assert.equal((await place.api.readNodes(VISITED_POOL)).length, 3);
  });

  void it('node.remove', async () => {
    const [oldest] = await place.api.readNodes(VISITED_POOL);
    assert.ok(oldest !== undefined);
    const removed = await place.killAt(afterEach('node.remove', ['drain', 'unregister', 'container', 'forget']), () =>
      place.api.begin('POST', `/v1/nodes/${oldest.name}/replace`),
    );
    await until('another node in its place', 120_000, async () =>
      (await place.api.readNodes(VISITED_POOL)).length === 3 ? true : undefined,
    );
    await place.assertAllWell(removed, 'succeeded');
  });

  void it('node.create while it is undone, and pool.scale with it', async () => {
    const operation = await place.killAt(
      [...afterEach('node.create', ['register', 'container', 'place'], 'after-undo'), 'pool.scale/want/after-undo'],
      () => place.api.begin('POST', `/v1/pools/${VISITED_POOL}/scale`, { size: 4 }),
      'node.create/register/after-do:fail',
    );
    await until('three nodes', 120_000, async () =>
      (await place.api.readNodes(VISITED_POOL)).length === 3 ? true : undefined,
    );
    await place.assertAllWell(operation, 'recovered');
    await place.api.succeed('POST', `/v1/pools/${VISITED_POOL}/scale`, { size: 2 });
    await place.api.assertInOrder();
  });

  void it('pool.roll, on its way and on its way back', async () => {
    await place.api.succeed('POST', '/v1/images', { recipe: VISITED_POOL });
    const imagesOf = async () => (await place.api.readNodes(VISITED_POOL)).map(({ imageNumber }) => imageNumber);
    const [before] = await imagesOf();
    const beginRoll = (image?: number) => () =>
      place.api.begin('POST', `/v1/pools/${VISITED_POOL}/roll`, { image, bakeTimeS: 2 });
    const rolled = await place.killAt(
      afterEach('pool.roll', ['check', 'first', 'bake', 'rest', 'settle', 'commit']),
      beginRoll(),
    );
    await place.assertAllWell(rolled, 'succeeded');
    const [after] = await imagesOf();
    assert.ok(before !== undefined && after !== undefined && after > before);
    assert.equal(new Set(await imagesOf()).size, 1, 'every node has the new image');
    const back = await place.killAt(
      afterEach('pool.roll', ['rest', 'first', 'check'], 'after-undo'),
      beginRoll(before),
      'pool.roll/rest/after-do:fail',
    );
    await place.assertAllWell(back, 'recovered');
    assert.deepEqual([...new Set(await imagesOf())], [after], 'every node has the image from before');
  });

  void it('image.bake', async () => {
    const steps = ['parent', 'seed', 'packages', 'files', 'prepare', 'publish', 'clean'];
    const points = afterEach('image.bake', steps).toSpliced(-2, 0, 'image.bake/publish/before-do');
    const baked = await place.killAt(points, () => place.api.begin('POST', '/v1/images', { recipe: 'hello' }));
    await place.assertAllWell(baked, 'succeeded');
  });

  void it('deployment.up', async () => {
    const up = await place.killAt(afterEach('deployment.up', ['place', 'start', 'build', 'sites', 'ready']), () =>
      place.api.begin('POST', '/v1/deployment', {}),
    );
    await place.assertAllWell(up, 'succeeded');
  });

  void it('database.create and database.remove', async () => {
    const created = await place.killAt(afterEach('database.create', ['place', 'volumes', 'container', 'healthy']), () =>
      place.api.begin('POST', '/v1/databases', { name: 'db2', memoryMb: 256 }),
    );
    await place.assertAllWell(created, 'succeeded');
    const deleted = await place.killAt(afterEach('database.remove', ['close', 'container', 'volumes', 'forget']), () =>
      place.api.begin('DELETE', '/v1/databases/db2'),
    );
    await place.assertAllWell(deleted, 'succeeded');
  });

  void it('pool.create and pool.delete', async () => {
    const created = await place.killAt(afterEach('pool.create', ['volume', 'nodes', 'open']), () =>
      place.api.begin('POST', '/v1/pools', { name: 'killed', app: 'hello', size: 1, nodeMemoryMb: 64 }),
    );
    await place.assertAllWell(created, 'succeeded');
    const steps = ['node', 'backups', 'nodes', 'volume', 'directories', 'forget'];
    const deleted = await place.killAt(afterEach('pool.delete', steps), () =>
      place.api.begin('DELETE', '/v1/pools/killed'),
    );
    await place.assertAllWell(deleted, 'succeeded');
  });

  // The last one: the only edge is away meanwhile.
  void it('edge.create, when it heals', async () => {
    const [edge] = await place.fleet.instances.list({ labels: { kind: 'edge' } });
    assert.ok(edge !== undefined);
    const healed = await place.killAt(
      afterEach('edge.create', ['place', 'container', 'configure', 'open']),
      async () => {
        await place.fleet.instances.delete(edge.name, { force: true });
        return undefined;
      },
    );
    assert.equal(healed.by, 'heal');
    place.visitor.take();
    await until('pages through the new edge', 60_000, async () => (place.visitor.take().good > 0 ? true : undefined));
    place.visitor.renew();
    await until('nothing but pages', 60_000, async () => {
      const { good, bad } = place.visitor.take();
      assert.deepEqual(bad, []);
      return good > 0 ? true : undefined;
    });
    await place.assertAllWell(healed, 'succeeded');
  });
});
