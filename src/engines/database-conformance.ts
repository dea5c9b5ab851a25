// What every database engine must do, run against MariaDB (test/system/) and against the simulated twin (beside it).
// Apart so that both are held to the same cases.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Problem } from '../lib/errors.ts';
import type { DatabaseEngine, DatabaseSite } from './database-engine.ts';

/** A site's own connection: it keeps notes in its database. */
export interface SiteSession {
  write(note: string): Promise<void>;
  /** Notes of its own database, or of another's. */
  read(database?: string): Promise<string[]>;
  close(): Promise<void>;
}

export interface DatabaseSubject {
  engine: DatabaseEngine;
  /** For `allowedFrom`: covers the place that `login` comes from. */
  allowedFrom: string;
  /** Logs in as a site would; rejects when refused. */
  login(site: { user: string; password: string; name: string }): Promise<SiteSession>;
}

const EVERYWHERE = ['0.0.0.0/1', '128.0.0.0/1'];

/** Declares the suite; `subject` is called once the tests run. */
export function describeDatabaseEngine(title: string, subject: () => Promise<DatabaseSubject>): void {
  void describe(title, () => {
    const name = (letter: string) => `s${letter.repeat(9)}`;
    const makeSite = (letter: string, allowedFrom: string): DatabaseSite => ({
      name: name(letter),
      user: name(letter),
      password: `${letter}-password`,
      allowedFrom,
      limits: { connections: 2, statementTimeS: 30 },
    });
    const noted = async (session: SiteSession, note: string) => {
      await session.write(note);
      await session.close();
    };

    void test('a site can use its own database and no other', async () => {
      const { engine, allowedFrom, login } = await subject();
      const [a, b] = [makeSite('a', allowedFrom), makeSite('b', allowedFrom)];
      await engine.createSite(a);
      await engine.createSite(b);
      await noted(await login(b), 'of b');
      const session = await login(a);
      await session.write('of a');
      assert.deepEqual(await session.read(), ['of a']);
      await assert.rejects(async () => session.read(b.name));
      await session.close();
      await assert.rejects(async () => login({ ...a, name: b.name }));
    });

    void test('an underscore in a name is no wildcard', async () => {
      const { engine, allowedFrom, login } = await subject();
      const wide = { ...makeSite('u', allowedFrom), name: 's_odd`name' };
      const near = { ...makeSite('v', allowedFrom), name: 'sxodd`name' };
      await engine.createSite(wide);
      await engine.createSite(near);
      await noted(await login(near), 'near');
      const session = await login(wide);
      await session.write('wide');
      assert.deepEqual(await session.read(), ['wide']);
      await assert.rejects(async () => session.read(near.name));
      await session.close();
      for (const site of [wide, near]) await engine.dropSite(site);
    });

    void test('creating again keeps the data and repairs the account', async () => {
      const { engine, allowedFrom, login } = await subject();
      const site = makeSite('c', allowedFrom);
      await engine.createSite(site);
      await noted(await login(site), 'kept');
      await engine.lockSite(site.user);
      const renewed = { ...site, password: 'another password' };
      await engine.createSite(renewed);
      await assert.rejects(async () => login(site));
      const session = await login(renewed);
      assert.deepEqual(await session.read(), ['kept']);
      await session.close();
    });

    void test('a locked site is cut off and refused until it is unlocked', async () => {
      const { engine, allowedFrom, login } = await subject();
      const site = makeSite('d', allowedFrom);
      await engine.createSite(site);
      const session = await login(site);
      await session.write('before');
      await engine.lockSite(site.user);
      await engine.lockSite(site.user);
      await assert.rejects(async () => session.read());
      await assert.rejects(async () => login(site));
      await engine.unlockSite(site.user);
      await engine.unlockSite(site.user);
      const again = await login(site);
      assert.deepEqual(await again.read(), ['before']);
      await again.close();
    });

    void test('sessions from a network are ended with what they had open, others stay, and all may come again', async () => {
      const { engine, allowedFrom, login } = await subject();
      const site = makeSite('h', allowedFrom);
      await engine.createSite(site);
      const session = await login(site);
      await session.write('before');
      await engine.endSessions(['203.0.113.0/24']);
      await session.write('not from there');
      await engine.endSessions(EVERYWHERE);
      await engine.endSessions(EVERYWHERE);
      await assert.rejects(async () => session.write('after'));
      const again = await login(site);
      assert.deepEqual(await again.read(), ['before', 'not from there']);
      await again.close();
    });

    void test('a site has no more connections than its limit, which can be changed', async () => {
      const { engine, allowedFrom, login } = await subject();
      const site = makeSite('e', allowedFrom);
      await engine.createSite(site);
      const sessions = [await login(site), await login(site)];
      await assert.rejects(async () => login(site));
      for (const session of sessions) await session.close();
      await engine.setLimits(site.user, { connections: 1, statementTimeS: 30 });
      const only = await login(site);
      await assert.rejects(async () => login(site));
      await only.close();
    });

    void test('a dropped site is gone with its data, and dropping it again is fine', async () => {
      const { engine, allowedFrom, login } = await subject();
      const site = makeSite('f', allowedFrom);
      await engine.createSite(site);
      const session = await login(site);
      await session.write('lost');
      await engine.dropSite(site);
      await engine.dropSite(site);
      await assert.rejects(async () => session.read());
      await assert.rejects(async () => login(site));
      assert.equal(await engine.sizeOf(site.name), undefined);
      await engine.createSite(site);
      const again = await login(site);
      assert.deepEqual(await again.read(), []);
      await again.close();
    });

    void test('sites are listed by name with their sizes', async () => {
      const { engine, allowedFrom, login } = await subject();
      for (const letter of ['h', 'g']) {
        const site = makeSite(letter, allowedFrom);
        await engine.createSite(site);
        await noted(await login(site), 'some bytes');
      }
      const sites = await engine.listSites();
      assert.deepEqual(
        sites.map((site) => site.name),
        sites.map((site) => site.name).sort(),
      );
      const found = sites.filter((site) => [name('g'), name('h')].includes(site.name));
      assert.equal(found.length, 2);
      for (const site of found) {
        assert.ok(site.bytes > 0);
        assert.equal(await engine.sizeOf(site.name), site.bytes);
      }
    });

    void test('a restored dump holds exactly what was dumped', async () => {
      const { engine, allowedFrom, login } = await subject();
      const site = makeSite('i', allowedFrom);
      const path = `/var/backups/espalier/${site.name}.sql.zst`;
      await engine.createSite(site);
      await noted(await login(site), "it's “dumped” \\ \n");
      const dump = await engine.dump(site.name, path);
      assert.equal(dump.path, path);
      assert.ok(dump.bytes > 0);
      assert.match(dump.sha256, /^[0-9a-f]{64}$/);
      await noted(await login(site), 'after the dump');
      await engine.restore(site.name, dump);
      const session = await login(site);
      assert.deepEqual(await session.read(), ["it's “dumped” \\ \n"]);
      await session.close();
    });

    void test('a dump that is missing or not the one meant changes nothing', async () => {
      const { engine, allowedFrom, login } = await subject();
      const site = makeSite('j', allowedFrom);
      const path = `/var/backups/espalier/${site.name}.sql.zst`;
      await engine.createSite(site);
      const dump = await engine.dump(site.name, path);
      await noted(await login(site), 'kept');
      const bad = { code: 'mariadb.bad-dump' };
      await assert.rejects(engine.restore(site.name, { path, sha256: '0'.repeat(64) }), bad);
      await engine.removeDump(path);
      await engine.removeDump(path);
      await assert.rejects(engine.restore(site.name, dump), bad);
      const session = await login(site);
      assert.deepEqual(await session.read(), ['kept']);
      await session.close();
    });

    void test('a dump goes to another site by way of its bytes, loaded by an account that has nothing else', async () => {
      const { engine, allowedFrom, login } = await subject();
      const [from, to] = [makeSite('m', allowedFrom), makeSite('n', allowedFrom)];
      await engine.createSite(from);
      await engine.createSite(to);
      await noted(await login(from), "it's “carried” \\ \n");
      const dump = await engine.dump(from.name, `/var/backups/espalier/${from.name}.sql.zst`);
      const there = `/var/backups/espalier/${to.name}-carried.sql.zst`;
      const written = await engine.writeDump(there, await engine.readDump(dump.path));
      assert.deepEqual(written, { ...dump, path: there });
      await engine.load(to.name, written);
      await engine.load(to.name, written);
      const session = await login(to);
      assert.deepEqual(await session.read(), ["it's “carried” \\ \n"]);
      await session.close();
      await assert.rejects(engine.load(to.name, { path: there, sha256: '0'.repeat(64) }), { code: 'mariadb.bad-dump' });
      await engine.removeDump(there);
      await assert.rejects(engine.readDump(there), { code: 'mariadb.bad-dump' });
    });

    void test('what is not there is told as such', async () => {
      const { engine } = await subject();
      const unknown = { code: 'mariadb.unknown-site' };
      await assert.rejects(engine.lockSite(name('z')), unknown);
      await assert.rejects(engine.unlockSite(name('z')), unknown);
      await assert.rejects(engine.setLimits(name('z'), { connections: 1, statementTimeS: 1 }), unknown);
      await assert.rejects(engine.dump(name('z'), '/var/backups/espalier/z.sql.zst'), unknown);
      await engine.dropSite({ name: name('z'), user: name('z') });
    });

    void test('health tells version, connections and position', async () => {
      const { engine, allowedFrom } = await subject();
      await engine.createSite(makeSite('k', allowedFrom));
      const health = await engine.checkHealth();
      assert.match(health.version, /^\d+\.\d+/);
      assert.equal(health.readOnly, false);
      assert.ok(health.uptimeS >= 0);
      assert.ok(health.connections.used >= 0 && health.connections.max > health.connections.used);
      assert.match(health.gtidPosition, /^\d+-\d+-\d+/);
    });

    void test('an aborted call rejects with the reason and is no problem of the server', async () => {
      const { engine } = await subject();
      const reason = new Error('no longer wanted');
      await assert.rejects(engine.listSites(AbortSignal.abort(reason)), reason);
      await assert.rejects(engine.checkHealth(AbortSignal.abort(reason)), (thrown) => !(thrown instanceof Problem));
    });
  });
}
