// Mautic, the app that this project exists for.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { describeBrought } from './brought-app.ts';

const mautic = {
  ...{ name: 'mautic', title: 'Mautic', variable: 'ESPALIER_MAUTIC_ARCHIVE', release: 'a full release of Mautic 5.2' },
  page: { path: '/s/login', contains: /Mautic/ },
  inside: { path: '/s/dashboard', selector: '.app-content, #app-content' },
};

describeBrought(
  {
    ...mautic,
    async login(page, { user, password }) {
      await page.fill('#username', user);
      await page.fill('#password', password);
      await page.click('button[type=submit]');
    },
  },
  (place) => {
    void it('comes in from elsewhere by a dump and a folder, with its contacts, pages and media', async () => {
      const { id, databaseServer, url } = await place().api.read<{ id: string; databaseServer: string; url: string }>(
        '/v1/sites/mautic',
      );
      const [node] = await place().api.readNodes('mautic');
      const run = async (container: string, ...argv: string[]): Promise<string> => {
        const bounds = { timeoutMs: 120_000, maxOutputBytes: 64 * 2 ** 20 };
        const { code, stdout, stderr } = await place().fleet.exec(container, argv, bounds);
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
        const { code, stderr } = await place().espalier(['site', 'import', ...source, ...wish]);
        assert.equal(code, 0, stderr.slice(-6_000));
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
      const came = await place().api.read<{ id: string; url: string }>('/v1/sites/mautic-came');
      assert.equal(await query(came.id, `SELECT points FROM leads WHERE email = 'visitor@example.org'`), '7');
      const page = await query(came.id, `SELECT custom_html FROM pages WHERE alias = 'old'`);
      assert.equal(page, `<a href="${came.url}/asset/1">here</a>`);
      const { status, body } = await place().api.visit('came.localhost', '/s/login');
      assert.equal(status, 200);
      assert.match(body.toString(), /Mautic/);
      assert.equal((await place().api.visit('came.localhost', '/media/images/logo.png')).body.toString(), 'a logo');
      await place().api.removeSite('mautic-came');
    });
  },
);
