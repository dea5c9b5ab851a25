// What every cache engine must do, run against Valkey (test/system/) and against the simulated twin (beside it).
// Apart so that both are held to the same cases.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CacheEngine, CacheSite } from './cache-engine.ts';

/** A site's own connection. */
export interface CacheSession {
  set(key: string, value: string): Promise<void>;
  get(key: string): Promise<string | null>;
  close(): Promise<void>;
}

export interface CacheSubject {
  engine: CacheEngine;
  /** Logs in as a site would; rejects when refused. */
  login(site: { name: string; password: string }): Promise<CacheSession>;
}

const EVERYWHERE = ['0.0.0.0/1', '128.0.0.0/1'];

/** Declares the suite; `subject` is called once the tests run. */
export function describeCacheEngine(title: string, subject: () => Promise<CacheSubject>): void {
  void describe(title, () => {
    const makeSite = (letter: string): CacheSite => {
      const name = `s${letter.repeat(9)}`;
      return { name, password: `${letter}-password`, prefix: `${name}:` };
    };

    void test('a site can use its own keys and no others', async () => {
      const { engine, login } = await subject();
      const [a, b] = [makeSite('a'), makeSite('b')];
      await engine.setSite(a);
      await engine.setSite(b);
      const session = await login(a);
      await session.set(`${a.prefix}session:1`, 'mine');
      assert.equal(await session.get(`${a.prefix}session:1`), 'mine');
      await assert.rejects(async () => session.get(`${b.prefix}session:1`));
      await assert.rejects(async () => session.set(`${b.prefix}session:1`, 'theirs'));
      await assert.rejects(async () => session.set('free', 'nobody’s'));
      await session.close();
    });

    void test('setting again keeps the keys and repairs the account', async () => {
      const { engine, login } = await subject();
      const site = makeSite('c');
      await engine.setSite(site);
      const before = await login(site);
      await before.set(`${site.prefix}k`, 'kept');
      await before.close();
      await engine.lockSite(site.name);
      const renewed = { ...site, password: 'another-password' };
      await engine.setSite(renewed);
      await assert.rejects(async () => login(site));
      const session = await login(renewed);
      assert.equal(await session.get(`${site.prefix}k`), 'kept');
      await session.close();
    });

    void test('a locked site is cut off and refused until it is unlocked', async () => {
      const { engine, login } = await subject();
      const site = makeSite('d');
      await engine.setSite(site);
      const session = await login(site);
      await session.set(`${site.prefix}k`, 'before');
      await engine.lockSite(site.name);
      await engine.lockSite(site.name);
      await assert.rejects(async () => session.get(`${site.prefix}k`));
      await assert.rejects(async () => login(site));
      assert.deepEqual(
        (await engine.listSites()).filter((view) => view.name === site.name),
        [{ name: site.name, locked: true }],
      );
      await engine.unlockSite(site.name);
      await engine.unlockSite(site.name);
      const again = await login(site);
      assert.equal(await again.get(`${site.prefix}k`), 'before');
      await again.close();
    });

    void test('sessions from a network are ended, others stay, and all may come again', async () => {
      const { engine, login } = await subject();
      const site = makeSite('h');
      await engine.setSite(site);
      const session = await login(site);
      await engine.endSessions(['203.0.113.0/24']);
      await session.set(`${site.prefix}k`, 'kept');
      await engine.endSessions(EVERYWHERE);
      await engine.endSessions(EVERYWHERE);
      await assert.rejects(async () => session.get(`${site.prefix}k`));
      const again = await login(site);
      assert.equal(await again.get(`${site.prefix}k`), 'kept');
      await again.close();
    });

    void test('a removed site is gone with its keys and nobody else’s, and removing it again is fine', async () => {
      const { engine, login } = await subject();
      const [gone, stays] = [makeSite('e'), makeSite('f')];
      for (const site of [gone, stays]) {
        await engine.setSite(site);
        const session = await login(site);
        await session.set(`${site.prefix}k`, 'value');
        await session.close();
      }
      await engine.removeSite(gone);
      await engine.removeSite(gone);
      await assert.rejects(async () => login(gone));
      await engine.setSite(gone);
      const again = await login(gone);
      assert.equal(await again.get(`${gone.prefix}k`), null);
      await again.close();
      const other = await login(stays);
      assert.equal(await other.get(`${stays.prefix}k`), 'value');
      await other.close();
    });

    void test('sites are listed by name, the controller’s own account is not', async () => {
      const { engine } = await subject();
      await engine.setSite(makeSite('h'));
      await engine.setSite(makeSite('g'));
      const names = (await engine.listSites()).map((site) => site.name);
      assert.deepEqual(names, [...names].sort());
      assert.ok(names.includes('sggggggggg') && names.includes('shhhhhhhhh'));
      assert.ok(names.every((name) => name.startsWith('s')));
    });

    void test('what is not there is told as such', async () => {
      const { engine } = await subject();
      const unknown = { code: 'valkey.unknown-site' };
      await assert.rejects(engine.lockSite('szzzzzzzzz'), unknown);
      await assert.rejects(engine.unlockSite('szzzzzzzzz'), unknown);
    });

    void test('health tells version, memory and that it is persistent', async () => {
      const { engine } = await subject();
      const health = await engine.checkHealth();
      assert.match(health.version, /^\d+\.\d+/);
      assert.ok(health.uptimeS >= 0);
      assert.ok(health.connections.max > health.connections.used);
      assert.ok(health.memory.maxBytes > health.memory.usedBytes);
      assert.equal(health.persistent, true);
    });

    void test('an aborted call rejects with the reason', async () => {
      const { engine } = await subject();
      const reason = new Error('no longer wanted');
      await assert.rejects(engine.listSites(AbortSignal.abort(reason)), reason);
    });
  });
}
