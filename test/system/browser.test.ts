// What a person does with the first sites, in a real browser: logs in with the printed password, publishes, edits, and
// stays logged in while nodes die.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type LiveBrowser, makePng, openBrowser } from './live-browser.ts';
import { until } from './live-http.ts';
import { type LivePlace, openLivePlace } from './live-place.ts';

let place: LivePlace;
const opened: LiveBrowser[] = [];

before(async () => {
  place = await openLivePlace();
});
after(async () => {
  for (const browser of opened) await browser.close();
  await place.leave();
});

async function open(via?: { hostPort: string; address: string }): Promise<LiveBrowser> {
  const browser = await openBrowser(via);
  opened.push(browser);
  return browser;
}

/** Kills a node as a crash does. */
const kill = (node: string) => place.fleet.instances.stop(node, { force: true });

/** Waits until another node serves in a dead one's place. */
const untilReplaced = (pool: string, node: string) =>
  until(`a new node in place of ${node}`, 120_000, async () => {
    const nodes = await place.api.readNodes(pool);
    return nodes.length === 2 && !nodes.some(({ name }) => name === node) ? true : undefined;
  });

void describe('WordPress in a browser', () => {
  let browser: LiveBrowser;
  let url: string;
  let host: string;
  const title = `A tree along the wall ${process.pid}`;
  const picture = makePng(320, 200);
  let picturePath: string;
  let postPath: string;

  before(async () => {
    browser = await open();
    ({ url } = await place.api.readSite('wordpress'));
    host = new URL(url).hostname;
  });

  async function assertLoggedIn(): Promise<void> {
    const { page } = browser;
    await browser.go(`${url}/wp-admin/profile.php`);
    assert.equal(await page.locator('#user_login').inputValue(), 'admin', page.url());
  }

  void it('lets its administrator in with the first password', async () => {
    const { page } = browser;
    const login = await place.api.readLogin('wordpress');
    await browser.go(login.url);
    await page.fill('#user_login', login.user);
    await page.fill('#user_pass', login.password);
    await page.click('#wp-submit');
    await page.waitForURL('**/wp-admin/**');
    await assertLoggedIn();
  });

  void it('takes a picture by its upload form and publishes a post with it', async () => {
    const { page } = browser;
    await browser.go(`${url}/wp-admin/media-new.php?browser-uploader`);
    await page.setInputFiles('#async-upload', { name: 'espalier.png', mimeType: 'image/png', buffer: picture });
    await page.click('#html-upload');
    await page.waitForURL('**/upload.php**');
    const post = await page.evaluate(async (wanted) => {
      const nonce = await (await fetch('/wp-admin/admin-ajax.php?action=rest-nonce')).text();
      const headers = { 'X-WP-Nonce': nonce, 'Content-Type': 'application/json' };
      const found = await fetch('/wp-json/wp/v2/media?search=espalier', { headers });
      const [media] = (await found.json()) as [{ source_url: string }];
      const content = `<figure class="wp-block-image"><img src="${media.source_url}" alt=""/></figure>`;
      const body = JSON.stringify({ title: wanted, content, status: 'publish' });
      const made = await fetch('/wp-json/wp/v2/posts', { method: 'POST', headers, body });
      const { link, status } = (await made.json()) as { link: string; status: string };
      return { link, status, picture: media.source_url };
    }, title);
    assert.equal(post.status, 'publish');
    picturePath = new URL(post.picture).pathname;
    postPath = new URL(post.link).pathname + new URL(post.link).search;
    await browser.go(post.link);
    assert.equal(await page.locator('h1').first().textContent(), title);
    const width = await page
      .locator('.wp-block-image img')
      .evaluate((image) => (image as unknown as { naturalWidth: number }).naturalWidth);
    assert.equal(width, 320, 'the picture is shown');
  });

  void it('serves both on each node', async () => {
    const nodes = await place.api.readNodes('wordpress');
    assert.equal(nodes.length, 2);
    for (const { name, address } of nodes) {
      const post = await place.api.visit(host, postPath, { address });
      assert.equal(post.status, 200, name);
      assert.ok(post.body.toString().includes(title), `${name} serves the post`);
      const served = await place.api.visit(host, picturePath, { address });
      assert.equal(served.status, 200, name);
      assert.equal(served.headers['content-type'], 'image/png');
      assert.ok(served.body.equals(picture), `${name} serves the picture byte by byte`);
    }
  });

  void it('keeps its administrator logged in while both nodes die one after the other', async () => {
    for (const { name } of await place.api.readNodes('wordpress')) {
      await assertLoggedIn();
      await kill(name);
      await assertLoggedIn();
      await untilReplaced('wordpress', name);
      await assertLoggedIn();
    }
    const served = await place.api.visit(host, picturePath);
    assert.ok(served.body.equals(picture), 'the picture outlives both');
  });
});

void describe('MediaWiki in a browser', () => {
  void it('shows on one node what was edited on the other, and knows the editor on both and after both died', async () => {
    const { url } = await place.api.readSite('mediawiki');
    const { host: hostPort } = new URL(url);
    const [first, second] = await place.api.readNodes('mediawiki');
    assert.ok(first !== undefined && second !== undefined);
    const editor = await open({ hostPort, address: `${first.address}:80` });
    const login = await place.api.readLogin('mediawiki');
    const page = editor.page;
    await editor.go(login.url);
    await page.fill('#wpName1', login.user);
    await page.fill('#wpPassword1', login.password);
    await page.click('#wpLoginAttempt');
    await page.locator('#pt-userpage, #pt-userpage-2').first().waitFor({ state: 'attached' });

    const words = `Grown sideways ${process.pid}`;
    // VisualEditor greets a new editor once, by a dialog that would swallow the click on the form below it.
    await editor.go(`${url}/index.php?title=Espalier&action=edit&vehidebetadialog=1`);
    await page.fill('#wpTextbox1', words);
    await page.click('#wpSave');
    await page.locator('#mw-content-text').getByText(words).waitFor();

    const reader = await open({ hostPort, address: `${second.address}:80` });
    await reader.go(`${url}/wiki/Espalier`);
    await reader.page.locator('#mw-content-text').getByText(words).waitFor();
    const readName = (of: LiveBrowser) =>
      of.page.evaluate(() => (globalThis as unknown as MediaWikiPage).mw.config.get('wgUserName'));
    assert.equal(await readName(reader), null, 'the reader is a stranger');

    const cookies = await editor.context.cookies();
    await reader.context.addCookies(cookies);
    await reader.go(`${url}/wiki/Espalier`);
    assert.equal(await readName(reader), login.user, 'the session is known on the second node');

    await editor.close();
    await reader.close();
    const visitor = await open();
    await visitor.context.addCookies(cookies);
    for (const { name } of [first, second]) {
      await kill(name);
      await untilReplaced('mediawiki', name);
      await visitor.go(`${url}/wiki/Espalier`);
      assert.equal(await readName(visitor), login.user);
      await visitor.page.locator('#mw-content-text').getByText(words).waitFor();
    }
  });
});

interface MediaWikiPage {
  mw: { config: { get(name: string): unknown } };
}
