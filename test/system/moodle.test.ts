// Moodle: what is held for every app whose archive is brought, and what a clone of it does with its addresses.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { PageDocument } from '../../src/cli/documents.ts';
import { describeBrought } from './brought-app.ts';
import { until } from './live-http.ts';

interface RunView {
  state: string;
  reason: string;
}

describeBrought(
  {
    ...{
      name: 'moodle',
      title: 'Moodle',
      variable: 'ESPALIER_MOODLE_ARCHIVE',
      release: 'a release of Moodle 4.2 to 5.0',
    },
    page: { path: '/login/index.php', contains: /Moodle/ },
    inside: { path: '/my/', selector: '#user-menu-toggle' },
    async login(page, { user, password }) {
      await page.fill('#username', user);
      await page.fill('#password', password);
      await page.click('#loginbtn');
    },
  },
  (place) => {
    void it('its task succeeds through the whole path, from a lease to the history', async () => {
      const { code, stderr } = await place().espalier(['task', 'run', 'moodle/cron']);
      assert.equal(code, 0, stderr);
      const ended = await until('a run that has ended', 300_000, async () => {
        const { items } = await place().api.read<PageDocument<RunView>>('/v1/tasks/moodle/cron/runs');
        return items.find(({ state }) => !['queued', 'leased', 'running', 'skipped'].includes(state));
      });
      assert.equal(ended.state, 'succeeded', ended.reason);
    });

    void it('is cloned under another host, whose pages name it and no more the old one', async () => {
      const { code, stderr } = await place().espalier([
        'site',
        'clone',
        'moodle',
        'moodle-copy',
        '--host',
        'copy.localhost',
      ]);
      assert.equal(code, 0, stderr.slice(-6_000));
      const { status, body } = await place().api.visit('copy.localhost', '/login/index.php');
      assert.equal(status, 200);
      assert.match(body.toString(), /copy\.localhost/);
      assert.doesNotMatch(body.toString(), /moodle\.localhost/);
      await place().api.removeSite('moodle-copy');
    });
  },
);
