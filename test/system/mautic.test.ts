// Mautic, the app that this project exists for, wherever a release archive is at hand: baked, installed, logged in to on
// both nodes, its tasks run. Nothing of Mautic is kept here, so without an archive the test says loudly that it did not run.
import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
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
    if ((await api.ask('GET', '/v1/sites/mautic')).status === 200) await api.removeSite('mautic');
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
});
