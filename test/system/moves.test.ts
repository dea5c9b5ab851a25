// A real WordPress moves to nodes and code of its own and back, with visitors on that very site all the time, and the
// controller killed on the way. Its uploads are the same afterwards, and nobody has noticed more than a wait.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { until } from './live-http.ts';
import { afterEach, type KillPlace, openKillPlace, VISITED_POOL } from './live-kills.ts';

const SITE = 'wordpress';
const OWN = 'wordpress-own';
const FOOTER = 'a footer of its own';
const MOVES = ['prepare', 'copy', 'check', 'tasks', 'switch', 'leave'];

let place: KillPlace;
let code: string;

before(async () => {
  place = await openKillPlace();
  code = await mkdtemp(join(tmpdir(), 'espalier-own-'));
  const plugins = join(code, 'wp-content/mu-plugins');
  await mkdir(plugins, { recursive: true });
  const hook = `add_action('wp_footer', function () { echo '<!-- ${FOOTER} -->'; });`;
  await writeFile(join(plugins, 'own.php'), `<?php\n${hook}\n`);
  // What Espalier needs there is not theirs to replace.
  await writeFile(join(code, 'wp-config.php'), '<?php exit;');
});
after(async () => {
  if ((await place.api.readSite(SITE)).pool === OWN) await place.api.succeed('POST', `/v1/sites/${SITE}/move`, back);
  if ((await place.api.ask('GET', `/v1/pools/${OWN}`)).status === 200)
    await place.api.succeed('DELETE', `/v1/pools/${OWN}`);
  await rm(code, { recursive: true, force: true });
  await place.leave();
});

const away = { to: OWN };
const back = { to: VISITED_POOL };
/** A node that was silent while the machine was busy is healed first. */
const begin = (body: { to: string }) => async () => {
  await until(`a node of ${body.to}`, 60_000, async () => (await place.api.readNodes(body.to))[0]);
  return place.api.begin('POST', `/v1/sites/${SITE}/move`, body);
};
const readPage = async () => (await place.api.visit(`${SITE}.localhost`, '/')).body.toString();

/** Its files with their modes, owners, times and checksums, on the pool where it lives. */
async function listFiles(): Promise<string[]> {
  const { id, pool } = await place.api.readSite(SITE);
  const [node] = await place.api.readNodes(pool);
  const each = `stat -c '%n %a %u %g %s %y' "$1"; sha256sum "$1"`;
  const script = `cd /srv/content/${id} && find . -type f -exec sh -c '${each.replaceAll("'", `'\\''`)}' - {} \\;`;
  const { code: exit, stdout } = await place.fleet.exec(node?.name ?? '', ['bash', '-c', script]);
  assert.equal(exit, 0);
  return stdout.split('\n').filter((line) => line !== '');
}

void describe('a site with code of its own', () => {
  void it('gets an image with it and nodes for it alone, which have their limits', async () => {
    await place.api.succeed('POST', `/v1/sites/${SITE}/code`, { from: code });
    const limits = { cpus: 1.5, memoryMb: 512, processes: 500 };
    await place.api.succeed('POST', '/v1/pools', { name: OWN, dedicatedTo: SITE, size: 1, limits });
    const [node] = await place.api.readNodes(OWN);
    const { stdout } = await place.fleet.exec(node?.name ?? '', ['cat', '/proc/meminfo']);
    assert.ok(node !== undefined && stdout.includes('MemTotal'));
    assert.equal((await place.fleet.instances.read(node.name))?.config['limits.memory'], '512MiB');
    assert.doesNotMatch(await readPage(), new RegExp(FOOTER), 'it has not moved yet');
  });

  void it('moves there with its files although the controller is killed after every step, and serves its code', async () => {
    const { id } = await place.api.readSite(SITE);
    const [node] = await place.api.readNodes(VISITED_POOL);
    const write = `mkdir -p own && head -c 20000000 /dev/urandom >own/large && echo small >own/small && chown -R --reference=. own`;
    const argv = ['bash', '-c', `cd /srv/content/${id}/uploads && ${write}`];
    assert.equal((await place.fleet.exec(node?.name ?? '', argv)).code, 0);
    const files = await listFiles();
    assert.ok(files.length >= 4);
    const moved = await place.killAt(afterEach('site.move', MOVES), begin(away));
    await place.assertAllWell(moved, 'succeeded');
    assert.equal((await place.api.readSite(SITE)).pool, OWN);
    assert.match(await readPage(), new RegExp(FOOTER));
    // Visitors and tasks may have added some meanwhile.
    const now = new Set(await listFiles());
    assert.deepEqual(
      files.filter((line) => !now.has(line)),
      [],
    );
    const left = await place.fleet.exec(node?.name ?? '', ['test', '-e', `/srv/content/${id}`]);
    assert.equal(left.code, 1, 'nothing of it is left where it was');
  });

  void it('stays where it is when a step fails, the controller killed while all is taken back', async () => {
    const undone = await place.killAt(
      afterEach('site.move', ['tasks', 'copy', 'prepare'], 'after-undo'),
      begin(back),
      'site.move/tasks/after-do:fail',
    );
    await place.assertAllWell(undone, 'recovered');
    assert.equal((await place.api.readSite(SITE)).pool, OWN);
    assert.match(await readPage(), new RegExp(FOOTER));
  });

  void it('goes back to the shared pool, and its own goes only then', async () => {
    const refused = await place.api.ask<{ code: string }>('DELETE', `/v1/pools/${OWN}`);
    assert.deepEqual([refused.status, refused.body.code], [409, 'pool.in-use']);
    await place.assertAllWell(await place.api.ended(await begin(back)()), 'succeeded');
    assert.doesNotMatch(await readPage(), new RegExp(FOOTER));
    await place.api.succeed('DELETE', `/v1/pools/${OWN}`);
    await place.api.assertInOrder();
  });
});
