// What holds for every app whose release archive a person brings: baked, installed, logged in to on both nodes, its tasks run.
// Nothing of such an app is kept here, so without its archive the test says loudly that it did not run.
import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { readRecipe } from '../../src/apps/read-recipe.ts';
import { openBrowser } from './live-browser.ts';
import { type LivePlace, openLivePlace } from './live-place.ts';

export interface BroughtApp {
  /** Of the recipe; also the name of the pool and of the site, at NAME.localhost. */
  name: string;
  title: string;
  /** Which release: `a full release of Mautic 5.2`. */
  release: string;
  /** Its archive. */
  variable: string;
  /** A page that anybody may see, and what stands on it. */
  page: { path: string; contains: RegExp };
  /** Signs in on a page that asks for it. */
  login(page: Page, login: { user: string; password: string }): Promise<void>;
  /** A page for who is signed in, and what is seen there and nowhere else. */
  inside: { path: string; selector: string };
}

const TASK_MS = 300_000;

/** Declares the tests, and those of the app's own that `more` declares; all are skipped without the archive. */
export function describeBrought(app: BroughtApp, more: (place: () => LivePlace) => void): void {
  const archive = process.env[app.variable];
  const skipped = `NOT TESTED: ${app.title.toUpperCase()}. Set ${app.variable} to ${app.release} (docs/how-to/bring-an-archive.md).`;
  const skip = archive === undefined && skipped;
  if (archive === undefined) {
    const line = '!'.repeat(skipped.length);
    process.stdout.write(`\n${line}\n${skipped}\n${line}\n\n`);
  }

  void it(`the archive of ${app.title} is there`, { skip }, async () => {
    if (!(archive ?? '').startsWith('https:')) await access(archive ?? '');
  });

  void describe(app.title, { skip }, () => {
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
      const { items } = await api.read<{ items: { name: string; pool: string }[] }>('/v1/sites');
      for (const { name, pool } of items) if (pool === app.name) await api.removeSite(name);
      if ((await api.ask('GET', `/v1/pools/${app.name}`)).status === 404) return;
      await api.succeed('DELETE', `/v1/pools/${app.name}?deleteBackups=true`);
    }

    void it('is baked from the archive, and gets a pool and a site', async () => {
      const host = `${app.name}.localhost`;
      for (const argv of [
        ['image', 'build', app.name],
        ['pool', 'create', app.name, '--app', app.name, '--size', '2'],
        ['site', 'create', app.name, '--app', app.name, '--host', host, '--email', 'gardener@example.org'],
      ]) {
        const { code, stderr } = await place.espalier(argv);
        assert.equal(code, 0, `${argv.join(' ')}\n${stderr.slice(-6_000)}`);
      }
      const { status, body } = await place.api.visit(host, app.page.path);
      assert.equal(status, 200);
      assert.match(body.toString(), app.page.contains);
    });

    void it('lets its administrator in with the first password, on one node and then on the other', async () => {
      const { url } = await place.api.readSite(app.name);
      const login = await place.api.readLogin(app.name);
      const nodes = await place.api.readNodes(app.name);
      assert.equal(nodes.length, 2);
      let cookies: Awaited<ReturnType<Awaited<ReturnType<typeof openBrowser>>['context']['cookies']>> = [];
      for (const { address } of nodes) {
        const { page, context, close } = await openBrowser({ hostPort: new URL(url).host, address: `${address}:80` });
        try {
          await context.addCookies(cookies);
          await page.goto(`${url}${app.inside.path}`);
          if (cookies.length === 0) await app.login(page, login);
          await page.waitForURL(`**${app.inside.path}**`);
          await page.locator(app.inside.selector).first().waitFor({ state: 'attached' });
          cookies = await context.cookies();
        } finally {
          await close();
        }
      }
    });

    void it('runs every task that its recipe declares', async () => {
      const { id } = await place.api.readSite(app.name);
      const [node] = await place.api.readNodes(app.name);
      const recipe = await readRecipe(join(import.meta.dirname, '../../apps', app.name));
      assert.ok(recipe.kind === 'app' && recipe.value.tasks.length > 0);
      for (const { name, command } of recipe.value.tasks) {
        const argv = ['/usr/lib/espalier/site-exec', id, '--', ...command];
        const { code, stdout, stderr } = await place.fleet.exec(node?.name ?? '', argv, { timeoutMs: TASK_MS });
        assert.equal(code, 0, `${name}: ${stdout}\n${stderr}`);
      }
    });

    more(() => place);
  });
}
