// A deployment as a whole, by the command line: `up` again, `down`, `up` with all data, `destroy`. The last of the live
// tests by its name, since it ends what they share.
import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { makeIncusClient, toPath } from '../../src/engines/incus/client.ts';
import { INCUS_SOCKET } from '../../src/engines/incus/fleet.ts';
import type { LiveApi } from './live-api.ts';
import { keepsLivePlace, type LivePlace, openLivePlace } from './live-place.ts';

let place: LivePlace;
let api: LiveApi;

before(async () => {
  place = await openLivePlace();
  api = place.api;
});
after(() => place.leave());

async function run(...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.espalier(argv);
  assert.equal(code, 0, `${argv.join(' ')}\n${stderr}`);
  return stdout;
}

/** What must not be made anew: containers, by name and birth. */
const listContainers = async () =>
  (await place.fleet.instances.list()).map(({ name, createdAt }) => `${name} ${createdAt}`).sort();

void describe('a deployment', () => {
  void it('is left as it is by another up, which tells its addresses and first passwords again', async () => {
    const before = await listContainers();
    const shown = await run('up');
    assert.match(shown, /^mediawiki +mediawiki +http:\/\/mediawiki\.localhost:\d+ +\S+ +Admin +\S{16}$/m);
    assert.match(shown, /^wordpress +wordpress +http:\/\/wordpress\.localhost:\d+ +\S+ +admin +\S{16}$/m);
    assert.deepEqual(await listContainers(), before);
    await run('doctor');
  });

  void it('goes down whole, and comes back with all it had', async () => {
    const before = await listContainers();
    const login = await api.readLogin('wordpress');
    await run('down');
    const running = (await place.fleet.instances.list()).filter(({ status }) => status === 'running');
    assert.deepEqual(running, []);
    await assert.rejects(api.read('/v1/about'), 'the controller is gone');
    await run('up');
    assert.deepEqual(await listContainers(), before, 'nothing was made anew');
    assert.deepEqual(await api.readLogin('wordpress'), login);
    for (const [site, words] of [
      ['wordpress', 'wp-block'],
      ['mediawiki', 'mw-body'],
    ] as const) {
      const path = site === 'wordpress' ? '/' : '/wiki/Special:BlankPage';
      const { status, body } = await api.visit(`${site}.localhost`, path);
      assert.equal(status, 200, site);
      assert.ok(body.includes(words), site);
    }
    await api.assertInOrder();
  });

  const keeps = keepsLivePlace();
  void it('is destroyed without a trace', { skip: keeps && 'KEPT: ESPALIER_TEST_KEEP=1' }, async () => {
    const refused = await place.espalier(['destroy']);
    assert.notEqual(refused.code, 0, 'not without its name');
    await run('destroy', '--confirm', place.name);
    await assert.rejects(access(place.dataDir), { code: 'ENOENT' });
    const incus = makeIncusClient({ socketPath: INCUS_SOCKET, project: 'default' });
    const { project, network, storagePool } = place.fleet.place;
    for (const [kind, name] of Object.entries({ projects: project, networks: network, 'storage-pools': storagePool })) {
      const found = await incus.find({ method: 'GET', path: toPath(kind, name), what: name }, undefined);
      assert.equal(found, undefined, `${kind}: ${name}`);
    }
    await incus.close();
  });
});
