// Mautic, the app that this project exists for, wherever a release archive is at hand: baked, installed, logged in to on
// both nodes, its tasks run. Nothing of Mautic is kept here, so without an archive the test says loudly that it did not run.
import assert from 'node:assert/strict';
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readRecipe } from '../../src/apps/read-recipe.ts';
import { openBrowser } from './live-browser.ts';
import { type LivePlace, openLivePlace } from './live-place.ts';

const ARCHIVE = process.env.ESPALIER_MAUTIC_ARCHIVE;
const SKIPPED =
  'NOT TESTED: MAUTIC. Set ESPALIER_MAUTIC_ARCHIVE to a full release of Mautic 5.2 (docs/how-to/use-mautic.md).';
const HOST = 'mautic.localhost';

const skip = ARCHIVE === undefined && SKIPPED;
if (ARCHIVE === undefined) {
  const line = '!'.repeat(SKIPPED.length);
  process.stdout.write(`\n${line}\n${SKIPPED}\n${line}\n\n`);
}

void it('the archive of Mautic is there', { skip }, async () => {
  if (!(ARCHIVE ?? '').startsWith('https:')) await access(ARCHIVE ?? '');
});

void describe('Mautic', { skip }, () => {
  let place: LivePlace;

  before(async () => {
    // The archive's name reaches the controller by the environment of `up`.
    place = await openLivePlace();
    await removeAll();
  });
  after(async () => {
    await removeAll();
    await place.leave();
  });

  async function removeAll(): Promise<void> {
    const { api } = place;
    for (const name of ['mautic', 'mautic-came'])
      if ((await api.ask('GET', `/v1/sites/${name}`)).status === 200) await api.removeSite(name);
    if ((await api.ask('GET', '/v1/pools/mautic')).status === 404) return;
    await api.succeed('DELETE', '/v1/pools/mautic?deleteBackups=true');
  }

  void it('is baked from the archive, and gets a pool and a site', async () => {
    for (const argv of [
      ['image', 'build', 'mautic'],
      ['pool', 'create', 'mautic', '--app', 'mautic', '--size', '2'],
      ['site', 'create', 'mautic', '--app', 'mautic', '--host', HOST, '--email', 'gardener@example.org'],
    ]) {
      const { code, stderr } = await place.espalier(argv);
      assert.equal(code, 0, `${argv.join(' ')}\n${stderr.slice(-6_000)}`);
    }
    const { status, body } = await place.api.visit(HOST, '/s/login');
    assert.equal(status, 200);
    assert.match(body.toString(), /Mautic/);
  });

  void it('lets its administrator in with the first password, on one node and then on the other', async () => {
    const { url } = await place.api.readSite('mautic');
    const login = await place.api.readLogin('mautic');
    const nodes = await place.api.readNodes('mautic');
    assert.equal(nodes.length, 2);
    let cookies: Awaited<ReturnType<Awaited<ReturnType<typeof openBrowser>>['context']['cookies']>> = [];
    for (const { address } of nodes) {
      const { page, context, close } = await openBrowser({ hostPort: new URL(url).host, address: `${address}:80` });
      try {
        await context.addCookies(cookies);
        await page.goto(`${url}/s/dashboard`);
        if (cookies.length === 0) {
          await page.fill('#username', login.user);
          await page.fill('#password', login.password);
          await page.click('button[type=submit]');
        }
        await page.waitForURL('**/s/dashboard**');
        await page.locator('.app-content, #app-content').first().waitFor({ state: 'attached' });
        cookies = await context.cookies();
      } finally {
        await close();
      }
    }
  });

  void it('runs every task that its recipe declares', async () => {
    const { id } = await place.api.readSite('mautic');
    const [node] = await place.api.readNodes('mautic');
    const recipe = await readRecipe(join(import.meta.dirname, '../../apps/mautic'));
    assert.ok(recipe.kind === 'app' && recipe.value.tasks.length > 0);
    for (const { name, command } of recipe.value.tasks) {
      const argv = ['/usr/lib/espalier/site-exec', id, '--', ...command];
      const { code, stdout, stderr } = await place.fleet.exec(node?.name ?? '', argv, { timeoutMs: 120_000 });
      assert.equal(code, 0, `${name}: ${stdout}\n${stderr}`);
    }
  });

  void it('comes in from elsewhere by a dump and a folder, with its contacts, pages and media', async () => {
    const { id, databaseServer, url } = await place.api.read<{ id: string; databaseServer: string; url: string }>(
      '/v1/sites/mautic',
    );
    const [node] = await place.api.readNodes('mautic');
    const run = async (container: string, ...argv: string[]): Promise<string> => {
      const bounds = { timeoutMs: 120_000, maxOutputBytes: 64 * 2 ** 20 };
      const { code, stdout, stderr } = await place.fleet.exec(container, argv, bounds);
      assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`);
      return stdout;
    };
    const database = `database-${databaseServer}`;
    const query = async (name: string, sql: string) =>
      (await run(database, 'mariadb', '--skip-column-names', `--database=${name}`, `--execute=${sql}`)).trim();
    await query(id, `INSERT INTO leads (is_published, points, email) VALUES (1, 7, 'visitor@example.org')`);
    await query(
      id,
      `INSERT INTO pages (is_published, title, alias, hits, unique_hits, variant_hits, revision, lang, custom_html)
       VALUES (1, 'Old', 'old', 0, 0, 0, 1, 'en', '<a href="${url}/asset/1">here</a>')`,
    );
    const folder = await mkdtemp(join(tmpdir(), 'espalier-mautic-'));
    try {
      const old = 'https://mautic.old.example';
      const dump = (await run(database, 'mariadb-dump', id)).replaceAll(url, old);
      await writeFile(join(folder, 'dump.sql'), dump);
      const settings = await run(node?.name ?? '', 'cat', `/srv/content/${id}/config/local.php`);
      await mkdir(join(folder, 'app/config'), { recursive: true });
      await mkdir(join(folder, 'app/media/images'), { recursive: true });
      await writeFile(join(folder, 'app/config/local.php'), settings.replaceAll(url, old));
      await writeFile(join(folder, 'app/media/images/logo.png'), 'a logo');
      const source = ['--app', 'mautic', '--dump', join(folder, 'dump.sql'), '--files', join(folder, 'app')];
      const wish = ['--name', 'mautic-came', '--host', 'came.localhost'];
      const { code, stderr } = await place.espalier(['site', 'import', ...source, ...wish]);
      assert.equal(code, 0, stderr.slice(-6_000));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    const came = await place.api.read<{ id: string; url: string }>('/v1/sites/mautic-came');
    assert.equal(await query(came.id, `SELECT points FROM leads WHERE email = 'visitor@example.org'`), '7');
    const page = await query(came.id, `SELECT custom_html FROM pages WHERE alias = 'old'`);
    assert.equal(page, `<a href="${came.url}/asset/1">here</a>`);
    const { status, body } = await place.api.visit('came.localhost', '/s/login');
    assert.equal(status, 200);
    assert.match(body.toString(), /Mautic/);
    assert.equal((await place.api.visit('came.localhost', '/media/images/logo.png')).body.toString(), 'a logo');
    await place.api.removeSite('mautic-came');
  });
});
