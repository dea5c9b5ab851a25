// A wave over real WordPress sites: one is upgraded, one breaks and is as it was, visitors notice nothing; then the first is brought back
// as well. The second image is the first with a plugin that upgrades a table of its own, and fails where it is told to.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { WaveDocument } from '../../src/cli/commands/wave.ts';
import type { PageDocument } from '../../src/cli/documents.ts';
import type { LiveApi, NodeView } from './live-api.ts';
import { until } from './live-http.ts';
import { type LivePlace, openLivePlace } from './live-place.ts';

const POOL = 'wordpress';
const GOOD = 'wave-a';
const BAD = 'wave-b';
const SEED = 'wave-seed';

const PLUGIN = `<?php
add_action('wp_upgrade', static function (): void {
    global $wpdb;
    $wpdb->query('CREATE TABLE wp_wave (id int PRIMARY KEY)');
    file_put_contents(ESPALIER_UPLOADS . '/wave.txt', 'new');
    if (get_option('wave_break')) exit(1);
});
`;
const BUMP = String.raw`$p = '/usr/share/wordpress/wp-includes/version.php';
file_put_contents($p, preg_replace_callback('/(\$wp_db_version = )(\d+)/', fn($m) => $m[1] . ($m[2] + 1), file_get_contents($p)));`;
/** All that a site is: its tables, its file, its versions of tables and code. */
const WHOLE = `require '/usr/share/wordpress/wp-load.php'; global $wpdb;
$tables = [];
foreach ($wpdb->get_col('SHOW TABLES') as $t) {
    $where = $t === 'wp_options' ? "WHERE option_name NOT LIKE '%transient%' AND option_name <> 'cron'" : '';
    $tables[$t] = md5(serialize($wpdb->get_results("SELECT * FROM $t $where ORDER BY 1", ARRAY_N)));
}
echo json_encode([$tables, @file_get_contents(ESPALIER_UPLOADS . '/wave.txt'), get_option('db_version'), $GLOBALS['wp_db_version']]);`;

let place: LivePlace;
let api: LiveApi;

before(async () => {
  place = await openLivePlace();
  api = place.api;
  await clear();
});
after(async () => {
  await clear();
  await place.leave();
});

async function clear(): Promise<void> {
  for (const name of [GOOD, BAD])
    if ((await api.ask('GET', `/v1/sites/${name}`)).status === 200) await api.removeSite(name);
  if ((await api.ask('GET', `/v1/seeds/${SEED}`)).status === 200) await api.succeed('DELETE', `/v1/seeds/${SEED}`);
}

/** PHP as a site's user, in a node that has the site. */
async function php(site: string, code: string): Promise<string> {
  const { id } = await api.readSite(site);
  for (const { name } of await api.readNodes(POOL)) {
    const known = await place.fleet.exec(name, ['test', '-e', `/etc/espalier/sites/${id}`]);
    if (known.code !== 0) continue;
    const argv = ['/usr/lib/espalier/site-exec', id, '--', 'php', '-r', code];
    const { code: exit, stdout, stderr } = await place.fleet.exec(name, argv, { timeoutMs: 60_000 });
    assert.equal(exit, 0, stdout + stderr);
    return stdout;
  }
  throw new Error(`no node has ${site}`);
}

async function bake(): Promise<number> {
  await api.succeed('POST', '/v1/seeds', { name: SEED, app: POOL });
  const instance = `seed-${SEED}`;
  await place.fleet.files.write(instance, '/usr/share/wordpress/wp-content/mu-plugins/wave.php', PLUGIN);
  assert.equal((await place.fleet.exec(instance, ['php', '-r', BUMP])).code, 0);
  await api.succeed('POST', `/v1/seeds/${SEED}/bake`, { upgrade: false });
  const { items } = await api.read<PageDocument<{ recipe: string; number: number }>>('/v1/images');
  return Math.max(...items.filter(({ recipe }) => recipe === POOL).map(({ number }) => number));
}

/** Visits both sites without a pause until it is told to stop; gives what was not well. */
function visitBoth(): { stop(): Promise<string[]> } {
  let goesOn = true;
  const wrong: string[] = [];
  const visitor = async (name: string, method: string) => {
    while (goesOn) {
      const { status } = await api.visit(`${name}.localhost`, method === 'POST' ? '/?s=x' : '/', { method });
      if (status !== 200) wrong.push(`${method} ${name}: ${status}`);
    }
  };
  const all = [GOOD, BAD].flatMap((name) => ['GET', 'POST'].map((method) => visitor(name, method)));
  return {
    async stop() {
      goesOn = false;
      await Promise.all(all);
      return wrong;
    },
  };
}

void describe('a wave over WordPress', () => {
  void it('upgrades one site, brings back whole the one that breaks, and loses no visit; then it goes back', async () => {
    const own = (await api.read<{ imageNumber: number }>(`/v1/pools/${POOL}`)).imageNumber;
    const image = await bake();
    for (const name of [GOOD, BAD]) {
      await api.succeed('POST', '/v1/sites', { name, app: POOL, pool: POOL, hosts: [`${name}.localhost`] });
      assert.equal((await place.espalier(['site', 'label', name, 'try=wave'])).code, 0);
      // Its first run writes into the tables that are compared, and is due at any moment.
      assert.equal((await place.espalier(['task', 'pause', `${name}/cron`])).code, 0);
      await until(`no run of ${name}/cron`, 60_000, async () => {
        const { items } = await api.read<PageDocument<{ state: string }>>(`/v1/tasks/${name}/cron/runs`);
        return items.some(({ state }) => ['queued', 'leased', 'running'].includes(state)) ? undefined : true;
      });
      await php(
        name,
        `require '/usr/share/wordpress/wp-load.php'; wp_mkdir_p(ESPALIER_UPLOADS); file_put_contents(ESPALIER_UPLOADS . '/wave.txt', 'old');`,
      );
    }
    await php(BAD, `require '/usr/share/wordpress/wp-load.php'; update_option('wave_break', 1);`);
    // What WordPress writes at a first visit is written now.
    for (const name of [GOOD, BAD]) assert.equal((await api.visit(`${name}.localhost`, '/')).status, 200);
    const before = new Map([
      [GOOD, await php(GOOD, WHOLE)],
      [BAD, await php(BAD, WHOLE)],
    ]);

    const visits = visitBoth();
    const wish = ['--image', String(image), '--sites', 'try=wave', '--canary', GOOD, '--canary', BAD];
    const ran = await place.espalier(['wave', 'create', '--pool', POOL, ...wish, '--at-once', '1', '--json']);
    assert.deepEqual(await visits.stop(), []);
    assert.equal(ran.code, 1, ran.stderr);
    const wave = JSON.parse(ran.stdout) as WaveDocument;
    assert.equal(wave.state, 'stopped', wave.reason);
    assert.deepEqual(
      wave.items.map(({ name, state }) => [name, state]),
      [
        [GOOD, 'upgraded'],
        [BAD, 'failed'],
      ],
    );
    assert.equal(await php(BAD, WHOLE), before.get(BAD), 'database, files and code are as they were');
    const [tables, file, version, code] = JSON.parse(await php(GOOD, WHOLE)) as [object, string, string, number];
    assert.ok('wp_wave' in tables);
    assert.deepEqual([file, Number(version)], ['new', code]);
    const nodes = await api.read<PageDocument<NodeView>>(`/v1/nodes?pool=${POOL}`);
    assert.deepEqual(new Set(nodes.items.map(({ imageNumber }) => imageNumber)), new Set([own, image]));

    const refused = await place.espalier(['wave', 'abort', wave.id, '--back']);
    assert.match(refused.stderr, /lose what was entered meanwhile/);
    const confirm = ['--accept-loss', '--confirm', wave.id];
    const back = await place.espalier(['wave', 'abort', wave.id, '--back', ...confirm]);
    assert.match(back.stdout, /is aborted/, back.stderr);
    assert.equal(await php(GOOD, WHOLE), before.get(GOOD), 'the upgraded site is as it was too');
    await until('one image again', 120_000, async () =>
      (await api.read<{ otherImage: number | null }>(`/v1/pools/${POOL}`)).otherImage === null ? true : undefined,
    );
    assert.deepEqual(new Set((await api.readNodes(POOL)).map(({ imageNumber }) => imageNumber)), new Set([own]));
    await api.assertInOrder();
  });
});
