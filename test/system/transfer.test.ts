// Real WordPress sites that are kept, put back, carried away as a file, and brought in from elsewhere: rows, files, links.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type LivePlace, openLivePlace } from './live-place.ts';

const SOURCE = 'carried';
const EXEC_MS = 120_000;

let place: LivePlace;
let folder: string;

interface Site {
  id: string;
  databaseServer: string;
  url: string;
}
const readSite = (name: string) => place.api.read<Site>(`/v1/sites/${name}`);

async function runIn(container: string, ...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.fleet.exec(container, argv, {
    ...{ timeoutMs: EXEC_MS, maxOutputBytes: 64 * 2 ** 20 },
  });
  assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`);
  return stdout;
}
async function query(name: string, sql: string): Promise<string> {
  const { id, databaseServer } = await readSite(name);
  return await runIn(
    `database-${databaseServer}`,
    'mariadb',
    '--skip-column-names',
    `--database=${id}`,
    `--execute=${sql}`,
  );
}
async function runAsSite(name: string, ...argv: string[]): Promise<string> {
  const [node] = await place.api.readNodes('wordpress');
  const { id } = await readSite(name);
  return await runIn(node?.name ?? '', '/usr/lib/espalier/site-exec', id, '--', ...argv);
}
const readUpload = async (name: string, file: string) =>
  await place.api.visit(`${name}.localhost`, `/wp-content/uploads/${file}`);

async function espalier(...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.espalier(argv);
  assert.equal(code, 0, stderr.slice(-3_000));
  return `${stdout}\n${stderr}`;
}

void describe('a WordPress', () => {
  before(async () => {
    place = await openLivePlace();
    folder = await mkdtemp(join(tmpdir(), 'espalier-transfer-'));
    await place.api.succeed('POST', '/v1/sites', { name: SOURCE, app: 'wordpress', hosts: [`${SOURCE}.localhost`] });
    const { url, id } = await readSite(SOURCE);
    await query(SOURCE, `UPDATE wp_posts SET post_content = 'see ${url}/somewhere' WHERE ID = 1`);
    await runAsSite(
      SOURCE,
      'cp',
      '/usr/share/wordpress/wp-admin/images/wordpress-logo.png',
      `/srv/content/${id}/uploads/logo.png`,
    );
  });
  after(async () => {
    for (const name of [SOURCE, 'carried-there', 'from-elsewhere'])
      await place.api.removeSite(name).catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
    await place.leave();
  });

  void it('is put back to its snapshot, rows and files, after both were spoilt', async () => {
    await espalier('site', 'snapshot', SOURCE);
    const { id } = await readSite(SOURCE);
    await query(SOURCE, `UPDATE wp_posts SET post_content = 'spoilt' WHERE ID = 1`);
    await runAsSite(SOURCE, 'rm', `/srv/content/${id}/uploads/logo.png`);
    assert.equal((await readUpload(SOURCE, 'logo.png')).status, 404);
    await espalier('site', 'restore', SOURCE, '--snapshot', '1', '--confirm', SOURCE);
    assert.match(await query(SOURCE, 'SELECT post_content FROM wp_posts WHERE ID = 1'), /somewhere/);
    assert.equal((await readUpload(SOURCE, 'logo.png')).status, 200);
    assert.equal((await place.api.visit(`${SOURCE}.localhost`, '/')).status, 200);
    await place.api.assertInOrder();
  });

  void it('comes back from its file under another host, with its picture and its links', async () => {
    const file = join(folder, 'site.espalier');
    await espalier('site', 'export', SOURCE, '--to', file);
    await espalier('site', 'import', file, '--name', 'carried-there', '--host', 'carried-there.localhost');
    const [source, copy] = [await readSite(SOURCE), await readSite('carried-there')];
    const content = await query('carried-there', 'SELECT post_content FROM wp_posts WHERE ID = 1');
    assert.equal(content.trim(), `see ${copy.url}/somewhere`);
    assert.notEqual(copy.url, source.url);
    const [there, here] = [await readUpload('carried-there', 'logo.png'), await readUpload(SOURCE, 'logo.png')];
    assert.ok(there.status === 200 && there.body.equals(here.body));
    await place.api.assertInOrder();
  });

  void it('comes in from elsewhere with another prefix and another engine, and nothing of its folder but uploads', async () => {
    const { id, databaseServer, url } = await readSite(SOURCE);
    const dump = (await runIn(`database-${databaseServer}`, 'mariadb-dump', id))
      .replaceAll('`wp_', '`x7_')
      .replaceAll(/'wp_(user_roles|capabilities|user_level)'/g, "'x7_$1'")
      .replaceAll('ENGINE=InnoDB', 'ENGINE=MyISAM')
      .replaceAll(url, 'https://old-shop.example');
    const link = 'a:1:{s:1:"u";s:30:"https://old-shop.example/a/b/c";}';
    const rows = `INSERT INTO x7_options (option_name, option_value, autoload) VALUES ('kept', '${link}', 'no');\n`;
    const foreign = "GRANT ALL PRIVILEGES ON *.* TO 'evil'@'%';\n";
    const whole = join(folder, 'dump.sql.gz');
    const uploads = join(folder, 'shop/wp-content/uploads');
    await mkdir(uploads, { recursive: true });
    await mkdir(join(folder, 'shop/wp-content/plugins/evil'), { recursive: true });
    await writeFile(join(uploads, 'picture.png'), 'a picture');
    await symlink('/etc/passwd', join(uploads, 'passwd.txt'));
    await writeFile(join(folder, 'shop/wp-content/plugins/evil/evil.php'), '<?php');
    const argv = ['site', 'import', '--app', 'wordpress', '--dump', whole, '--files', join(folder, 'shop')];
    const wish = ['--name', 'from-elsewhere', '--host', 'from-elsewhere.localhost'];

    await writeFile(whole, gzipSync(dump + foreign));
    const refused = await place.espalier([...argv, ...wish]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /mariadb\.dump-refused/);

    await writeFile(whole, gzipSync(dump + rows));
    await espalier(...argv, ...wish);
    const to = (await readSite('from-elsewhere')).url;
    const kept = (
      await query('from-elsewhere', "SELECT option_value FROM x7_options WHERE option_name = 'kept'")
    ).trim();
    assert.equal(kept, `a:1:{s:1:"u";s:${to.length + 6}:"${to}/a/b/c";}`);
    assert.equal((await place.api.visit('from-elsewhere.localhost', '/')).status, 200);
    assert.equal((await readUpload('from-elsewhere', 'picture.png')).body.toString(), 'a picture');
    assert.equal((await readUpload('from-elsewhere', 'passwd.txt')).status, 404);
    const engines = 'SELECT DISTINCT engine FROM information_schema.tables WHERE table_schema = DATABASE()';
    assert.equal((await query('from-elsewhere', engines)).trim(), 'InnoDB');
    await place.api.assertInOrder();
  });
});
