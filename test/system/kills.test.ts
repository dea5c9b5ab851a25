// The controller killed (SIGKILL) at the steps of what is done to sites, over the real engines. One operation is killed at
// point after point: each new controller goes on with it until it dies at the next. In the end the operation has
// succeeded or is undone, Incus, MariaDB and Valkey hold what the store says, and visitors have noticed nothing.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { OperationDocument } from '../../src/cli/documents.ts';
import { until } from './live-http.ts';
import { afterEach, type KillPlace, openKillPlace, VISITED_POOL } from './live-kills.ts';

const SITE = 'killed';
const HOST = 'killed.localhost';
/** What the edge answers for a host name that no site has. */
const NO_SITE = 421;

let place: KillPlace;

before(async () => {
  place = await openKillPlace();
  for (const name of [SITE, 'undone']) {
    if ((await place.api.ask('GET', `/v1/sites/${name}`)).status === 200) await place.api.removeSite(name);
  }
});
after(() => place.leave());

const newSite = (name: string, host: string) => ({ name, app: 'wordpress', hosts: [host], pool: VISITED_POOL });

async function assertServed(host: string, status = 200): Promise<void> {
  const { body, status: got } = await place.api.visit(host, '/');
  assert.equal(got, status, `${host}: ${body.subarray(0, 200)}`);
}

/** What an installer leaves that died after its first tables is made anew; tables that are broken in another way are not touched. */
async function assertMadeAnew(name: string): Promise<void> {
  const { id } = await place.api.readSite(name);
  const [node] = await place.api.readNodes(VISITED_POOL);
  const admin = { user: 'admin', email: 'gardener@example.org', password: 'half-way there' };
  const stdin = JSON.stringify({ title: 'Half way', url: `http://${name}.localhost`, admin });
  const inSite = (...argv: string[]) =>
    place.fleet.exec(node?.name ?? '', ['/usr/lib/espalier/site-exec', id, '--', ...argv], {
      timeoutMs: 60_000,
      stdin,
    });
  const spoil = async (sql: string) => {
    const code = `$d = json_decode(file_get_contents(getenv('ESPALIER_SITE_FILE')), true)['database'];
      (new mysqli($d['host'], $d['user'], $d['password'], $d['name'], $d['port']))->query('${sql}');`;
    assert.equal((await inSite('php', '-r', code)).code, 0);
  };
  await spoil('DROP TABLE wp_options');
  assert.notEqual((await inSite('/usr/lib/espalier/app/install')).code, 0, 'WordPress says no, and ends well');
  await spoil('CREATE TABLE espalier_installing (since datetime NOT NULL DEFAULT now())');
  const again = await inSite('/usr/lib/espalier/app/install');
  assert.deepEqual([again.code, again.stdout.trim()], [0, 'installed'], again.stderr);
}

void describe('the controller killed at the steps of', () => {
  void it('site.create', async () => {
    const steps = ['place', 'accounts', 'configure', 'install', 'check', 'open'];
    const points = steps.flatMap((step) => [`site.create/${step}/before-do`, `site.create/${step}/after-do`]);
    const created = await place.killAt(points, () => place.api.begin('POST', '/v1/sites', newSite(SITE, HOST)));
    await place.assertAllWell(created, 'succeeded');
    await assertServed(HOST);
  });

  void it('site.create, in the middle of the installer', async () => {
    const id = await place.api.begin('POST', '/v1/sites', newSite('undone', 'undone.localhost'));
    await until('the installer at work', 60_000, async () => {
      const { steps } = await place.api.read<OperationDocument>(`/v1/operations/${id}`);
      return steps.some(({ name, state }) => name === 'install' && state !== 'pending') ? true : undefined;
    });
    await place.restartController();
    await place.assertAllWell(await place.api.ended(id), 'succeeded');
    await assertServed('undone.localhost');
    await assertMadeAnew('undone');
    await assertServed('undone.localhost');
    await place.api.removeSite('undone');
  });

  void it('site.create while it is undone', async () => {
    const undone = ['configure', 'accounts', 'place'];
    const operation = await place.killAt(
      undone.flatMap((step) => [`site.create/${step}/before-undo`, `site.create/${step}/after-undo`]),
      () => place.api.begin('POST', '/v1/sites', newSite('undone', 'undone.localhost')),
      'site.create/check/after-do:fail',
    );
    await place.assertAllWell(operation, 'recovered');
    assert.equal((await place.api.ask('GET', '/v1/sites/undone')).status, 404, 'its name is free');
    await assertServed('undone.localhost', NO_SITE);
  });

  void it('site.clone, on its way and on its way back', async () => {
    const begin = (name: string) => () =>
      place.api.begin('POST', `/v1/sites/${SITE}/clone`, { name, hosts: [`${name}.localhost`] });
    const steps = ['place', 'accounts', 'configure', 'database', 'files', 'rewrite', 'password', 'check', 'open'];
    const cloned = await place.killAt(afterEach('site.clone', steps), begin('cloned'));
    await place.assertAllWell(cloned, 'succeeded');
    await assertServed('cloned.localhost');
    await place.api.succeed('DELETE', '/v1/sites/cloned?graceS=0');
    const undone = await place.killAt(
      afterEach('site.clone', ['database', 'configure', 'accounts', 'place'], 'after-undo'),
      begin('unmade'),
      'site.clone/check/after-do:fail',
    );
    await place.assertAllWell(undone, 'recovered');
    await assertServed('unmade.localhost', NO_SITE);
  });

  void it('site.set-hosts', async () => {
    const set = await place.killAt(afterEach('site.set-hosts', ['apply', 'note']), () =>
      place.api.begin('PUT', `/v1/sites/${SITE}/hosts`, { hosts: ['moved.localhost', HOST] }),
    );
    await place.assertAllWell(set, 'succeeded');
    await assertServed('moved.localhost');
  });

  void it('site.suspend and site.resume', async () => {
    const suspended = await place.killAt(afterEach('site.suspend', ['close', 'lock-database']), () =>
      place.api.begin('POST', `/v1/sites/${SITE}/suspend`),
    );
    await place.assertAllWell(suspended, 'succeeded');
    await assertServed('moved.localhost', 503);
    const resumed = await place.killAt(afterEach('site.resume', ['unlock-database', 'open', 'check']), () =>
      place.api.begin('POST', `/v1/sites/${SITE}/resume`),
    );
    await place.assertAllWell(resumed, 'succeeded');
    await assertServed('moved.localhost');
  });

  void it('site.delete and site.purge', async () => {
    const { id } = await place.api.readSite(SITE);
    const points = [
      ...afterEach('site.delete', ['close', 'lock-database', 'backup', 'archive']),
      ...afterEach('site.purge', ['files', 'accounts', 'forget']),
    ];
    const deleted = await place.killAt(points, () => place.api.begin('DELETE', `/v1/sites/${SITE}?graceS=0`));
    await until('the purge', 60_000, async () =>
      (await place.api.ask('GET', `/v1/sites/${id}`)).status === 404 ? true : undefined,
    );
    await place.assertAllWell(deleted, 'succeeded');
    await assertServed('moved.localhost', NO_SITE);
  });
});
