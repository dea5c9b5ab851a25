// Database and cache servers for real: MariaDB and Valkey in containers baked from their recipes, held to the suites of
// their engines; and what only real ones show: data that outlives containers, accounts, limits, healing, renewal.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'iovalkey';
import { type Connection, createConnection } from 'mariadb';
import { describeCacheEngine } from '../../src/engines/cache-conformance.ts';
import type { CacheEngine } from '../../src/engines/cache-engine.ts';
import { describeDatabaseEngine } from '../../src/engines/database-conformance.ts';
import type { DatabaseEngine } from '../../src/engines/database-engine.ts';
import { accountHostOf, bridgeAddress } from '../../src/servers/addresses.ts';
import { adminSecret } from '../../src/services/kind.ts';
import type { ServiceNoun } from '../../src/services/noun.ts';
import { readService } from '../../src/services/store.ts';
import { type DataPlace, makeDataPlace, WHO } from './data-place.ts';

let made: DataPlace | undefined;
const place = (): DataPlace => made ?? assert.fail('the place was not made');
const databaseSite = (letter: string) => ({
  name: `s${letter.repeat(9)}`,
  user: `s${letter.repeat(9)}`,
  password: `${letter}-secret-password`,
  allowedFrom: accountHostOf(place().cidr),
  limits: { connections: 5, statementTimeS: 30 },
});
const cacheSite = (letter: string) => {
  const name = `s${letter.repeat(9)}`;
  return { name, password: `${letter}-secret-password`, prefix: `${name}:` };
};

before(async () => {
  made = await makeDataPlace();
  const { databases, caches } = made;
  await Promise.all([
    made.succeed((sql) => databases.startCreate(sql, { memoryMb: 512, maxSites: 10 }, WHO)),
    made.succeed((sql) => caches.startCreate(sql, { memoryMb: 256, maxSites: 10 }, WHO)),
  ]);
});
after(() => made?.close());

const addressOf = async (noun: ServiceNoun, name: string): Promise<string> =>
  (await readService(place().store, noun, name))?.address ?? assert.fail(`${noun} server ${name} has no address`);

/** Runs a command in a server's container; throws unless it exits with 0. */
async function exec(instance: string, ...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await place().fleet.exec(instance, argv);
  assert.equal(code, 0, stderr);
  return stdout;
}

async function connectDatabase(user: string, password: string, database?: string): Promise<Connection> {
  const host = await addressOf('database', 'db1');
  const login = { host, user, password, connectTimeout: 2_000 };
  const connection = await createConnection(database === undefined ? login : { ...login, database });
  // Told when the server ends it; what is tried on it afterwards fails too.
  connection.on('error', () => {});
  return connection;
}

async function connectCache(username: string, password: string): Promise<Redis> {
  const host = await addressOf('cache', 'cache1');
  const options = { lazyConnect: true, retryStrategy: () => null, enableReadyCheck: false, enableOfflineQueue: false };
  const client = new Redis({ host, username, password, ...options });
  client.on('error', () => {});
  await client.connect();
  await client.ping();
  return client;
}

/** Passes calls on to the engine, which exists only once the place does. */
const lazily = <E extends object>(engine: () => Promise<E>): E =>
  new Proxy({} as E, {
    get:
      (_, call) =>
      async (...args: unknown[]) => {
        const target = await engine();
        return (Reflect.get(target, call) as (...args: unknown[]) => unknown).apply(target, args);
      },
  });
const databaseEngine = lazily<DatabaseEngine>(() => place().databases.engineFor('db1'));
const cacheEngine = lazily<CacheEngine>(() => place().caches.engineFor('cache1'));

describeDatabaseEngine('MariaDB', async () => ({
  engine: databaseEngine,
  allowedFrom: accountHostOf(place().cidr),
  async login(site) {
    const connection = await connectDatabase(site.user, site.password, site.name);
    await connection.query('CREATE TABLE IF NOT EXISTS note (id int AUTO_INCREMENT PRIMARY KEY, body text NOT NULL)');
    return {
      write: async (note) => void (await connection.query('INSERT INTO note (body) VALUES (?)', [note])),
      async read(database) {
        const from = database === undefined ? 'note' : `${connection.escapeId(database)}.note`;
        const rows = await connection.query<{ body: string }[]>(`SELECT body FROM ${from} ORDER BY id`);
        return rows.map((row) => row.body);
      },
      async close() {
        const { threadId } = connection;
        await connection.end();
        // The server counts a connection until it has noticed its end.
        const waiting = `while [ -n "$(mariadb -Ne 'SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = ${threadId}')" ]; do :; done`;
        await exec('database-db1', 'sh', '-c', waiting);
      },
    };
  },
}));

describeCacheEngine('Valkey', async () => ({
  engine: cacheEngine,
  async login(site) {
    const client = await connectCache(site.name, site.password);
    return {
      set: async (key, value) => void (await client.set(key, value)),
      get: (key) => client.get(key),
      close: async () => client.disconnect(),
    };
  },
}));

void describe('a site’s account', () => {
  void test('is made in both servers within 60 ms, at the median of 15', async (t) => {
    const signal = AbortSignal.timeout(30_000);
    const { databases, caches } = place();
    const times: number[] = [];
    for (const letter of 'abcdefghijklmno') {
      const startedMs = performance.now();
      await Promise.all([
        databases.createSite('db1', databaseSite(letter), signal),
        caches.setSite('cache1', cacheSite(letter), signal),
      ]);
      times.push(performance.now() - startedMs);
    }
    const median = times.sort((a, b) => a - b)[7] ?? Number.NaN;
    t.diagnostic(`median ${median.toFixed(1)} ms, slowest ${times.at(-1)?.toFixed(1)} ms`);
    assert.ok(median < 60, `${median} ms`);
  });

  void test('that is left at another host is removed', async () => {
    const site = databaseSite('p');
    await databaseEngine.createSite({ ...site, allowedFrom: '10.250.0.0/255.255.0.0' });
    await databaseEngine.createSite(site);
    const hosts = await exec(
      'database-db1',
      'mariadb',
      '-Ne',
      `SELECT Host FROM mysql.global_priv WHERE User = '${site.user}'`,
    );
    assert.equal(hosts.trim(), site.allowedFrom);
  });

  void test('leaves its password nowhere on the servers’ disks', async () => {
    await databaseEngine.createSite(databaseSite('q'));
    await cacheEngine.setSite(cacheSite('q'));
    const find = (instance: string, path: string) =>
      place().fleet.exec(instance, ['grep', '-rl', 'q-secret-password', path]);
    assert.deepEqual((await find('database-db1', '/var/lib/mysql')).stdout, '');
    assert.deepEqual((await find('cache-cache1', '/var/lib/valkey')).stdout, '');
  });

  void test('in the database reads no files, makes no accounts and sees nobody else', async () => {
    const site = databaseSite('q');
    await databaseEngine.createSite(site);
    const connection = await connectDatabase(site.user, site.password, site.name);
    const refused = [
      "SELECT 1 INTO OUTFILE '/tmp/out'",
      'CREATE USER other',
      'SELECT * FROM mysql.global_priv',
      'SET GLOBAL max_connections = 1',
      'CREATE DATABASE another',
      `GRANT ALL ON ${site.name}.* TO saaaaaaaaa`,
      'SHOW BINARY LOGS',
    ];
    for (const statement of refused)
      await assert.rejects(connection.query(statement), /denied|not allowed/i, statement);
    const seen = await connection.query<Record<string, string>[]>('SHOW DATABASES');
    assert.deepEqual(seen.map((row) => Object.values(row)[0]).sort(), ['information_schema', site.name]);
    const threads = await connection.query<{ User: string }[]>('SHOW PROCESSLIST');
    assert.ok(threads.every((thread) => thread.User === site.user));
    await connection.query('CREATE TABLE t (a int)');
    await connection.query('CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = NEW.a + 1');
    await connection.query('INSERT INTO t VALUES (1)');
    await connection.end();
  });

  void test('in the database is held to its statement time', async () => {
    const site = { ...databaseSite('q'), limits: { connections: 5, statementTimeS: 1 } };
    await databaseEngine.createSite(site);
    const connection = await connectDatabase(site.user, site.password, site.name);
    await assert.rejects(
      connection.query('SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b'),
      /max_statement_time/,
    );
    await connection.end();
  });

  void test('in the cache sees nobody else’s keys and nothing of the server', async () => {
    const site = cacheSite('q');
    await cacheEngine.setSite(site);
    await cacheEngine.setSite(cacheSite('r'));
    const client = await connectCache(site.name, site.password);
    const refused = [
      ...['KEYS *', 'SCAN 0', 'RANDOMKEY', 'DBSIZE', 'FLUSHALL', 'FLUSHDB', 'CONFIG GET *', 'ACL LIST'],
      ...[
        'CLIENT LIST',
        'CLIENT KILL TYPE normal',
        'CLIENT TRACKING ON BCAST',
        'MONITOR',
        'DEBUG SLEEP 0',
        'SHUTDOWN',
        'SAVE',
        'SLOWLOG GET',
      ],
      ...[
        'SCRIPT FLUSH',
        'SCRIPT KILL',
        'FUNCTION LIST',
        'PUBSUB CHANNELS',
        'SUBSCRIBE srrrrrrrrr:x',
        'REPLICAOF NO ONE',
      ],
      ...['GET srrrrrrrrr:k', 'COPY sqqqqqqqqq:k srrrrrrrrr:k', 'RENAME sqqqqqqqqq:k srrrrrrrrr:k'],
    ];
    for (const line of refused) {
      const [command = '', ...args] = line.split(' ');
      await assert.rejects(client.call(command, ...args), /NOPERM|DEBUG command not allowed/, line);
    }
    client.disconnect();
  });

  void test('in the cache can do what PHP sessions and object caches do', async () => {
    const site = cacheSite('q');
    await cacheEngine.setSite(site);
    const client = await connectCache(site.name, site.password);
    const key = `${site.prefix}PHPREDIS_SESSION:abc`;
    // As php-redis locks a session: SET NX PX, and a script that deletes the lock only when it is its own.
    assert.equal(await client.set(`${key}_LOCK`, 'node1|42', 'PX', 5_000, 'NX'), 'OK');
    const unlock = 'if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end';
    const sha = String(await client.call('SCRIPT', 'LOAD', unlock));
    assert.equal(await client.evalsha(sha, 1, `${key}_LOCK`, 'node1|42'), 1);
    assert.equal(await client.setex(key, 1440, 'data'), 'OK');
    assert.equal(await client.expire(key, 1440), 1);
    const stealing = 'return redis.call("get", ARGV[1])';
    await assert.rejects(client.eval(stealing, 1, key, 'srrrrrrrrr:k'), /NOPERM|can't access|ACL/i);
    const answers = await client.multi().incr(`${site.prefix}n`).get(key).exec();
    assert.deepEqual(
      answers?.map(([, value]) => value),
      [1, 'data'],
    );
    assert.match(await client.info('server'), /valkey_version/);
    client.disconnect();
  });
});

void describe('a server', () => {
  /** Looks once, as the loop does, and waits for what that began. */
  async function look(noun: ServiceNoun): Promise<string> {
    const { databases, caches, settle } = place();
    const [room, name] = noun === 'database' ? [databases, 'db1'] : [caches, 'cache1'];
    const status = (await room.watch.runOnce(AbortSignal.timeout(60_000))) as Record<string, string>;
    const ended = await settle(`${noun}:${name}`);
    assert.equal(ended.state, 'succeeded', JSON.stringify(ended.problem));
    return status[name] ?? '';
  }

  /** Leaves data of a site in both servers and gives a check that it is all there. */
  async function leaveData(letter: string) {
    const [database, cache] = [databaseSite(letter), cacheSite(letter)];
    await databaseEngine.createSite(database);
    await cacheEngine.setSite(cache);
    const connection = await connectDatabase(database.user, database.password, database.name);
    await connection.query('CREATE OR REPLACE TABLE t (a int)');
    await connection.query('INSERT INTO t VALUES (42)');
    await connection.end();
    const client = await connectCache(cache.name, cache.password);
    await client.set(`${cache.prefix}session`, 'kept');
    client.disconnect();
    return async () => {
      const again = await connectDatabase(database.user, database.password, database.name);
      assert.deepEqual(await again.query('SELECT a FROM t'), [{ a: 42 }]);
      await again.end();
      const other = await connectCache(cache.name, cache.password);
      assert.equal(await other.get(`${cache.prefix}session`), 'kept');
      other.disconnect();
    };
  }

  /** Kills a service's process and waits until systemd has started another one by itself. */
  const killUntilBack = (instance: string, unit: string) =>
    exec(
      instance,
      'sh',
      '-c',
      `count() { systemctl show --property=NRestarts --value ${unit}; }; before=$(count)
      systemctl kill --signal=KILL ${unit}
      until [ "$(count)" -gt "$before" ] && systemctl is-active --quiet ${unit}; do sleep 0.2; done`,
    );

  void test('whose process is killed comes back by itself with all data', async () => {
    const check = await leaveData('s');
    // What was written reaches the cache's disk within a second.
    await exec(
      'cache-cache1',
      'sh',
      '-c',
      'while [ "$(grep -c kept /var/lib/valkey/appendonlydir/*.incr.aof)" = 0 ]; do :; done',
    );
    await killUntilBack('database-db1', 'mariadb.service');
    await killUntilBack('cache-cache1', 'valkey-server.service');
    await check();
  });

  void test('whose container is stopped or deleted is brought back with its data and accounts', async () => {
    const check = await leaveData('t');
    const { fleet } = place();
    await Promise.all(
      ['database-db1', 'cache-cache1'].map((name) => fleet.instances.stop(name, { timeoutMs: 60_000 })),
    );
    const signal = AbortSignal.timeout(60_000);
    const away = { code: 'mariadb.away', retryable: true };
    await assert.rejects(place().databases.dump('db1', databaseSite('t').name, 'd.zst', signal), away);
    await assert.rejects(databaseEngine.checkHealth(), away);
    await assert.rejects(cacheEngine.checkHealth(), { code: 'valkey.away', retryable: true });
    assert.equal(await look('database'), 'unhealthy: its container is stopped');
    assert.equal(await look('cache'), 'unhealthy: its container is stopped');
    await check();
    await Promise.all(['database-db1', 'cache-cache1'].map((name) => fleet.instances.delete(name, { force: true })));
    assert.equal(await look('database'), 'unhealthy: its container is gone');
    assert.equal(await look('cache'), 'unhealthy: its container is gone');
    await check();
    assert.match(await look('database'), /^ready: it answers; \d+ of 100 connections are in use$/);
    assert.match(await look('cache'), /^ready: it answers; \d+ of 10000 connections are in use$/);
  });

  void test('that refuses the controller’s account is given it again', async () => {
    await databaseEngine.checkHealth();
    await exec(
      'database-db1',
      'mariadb',
      '-e',
      `DROP USER 'espalier'@'${bridgeAddress(place().cidr)}'; KILL HARD CONNECTION USER espalier`,
    );
    assert.match(await look('database'), /refuses the controller's account/);
    assert.match(await look('database'), /^ready/);
    const left = await place().fleet.exec('database-db1', [
      'sh',
      '-c',
      'ls /etc/espalier-bootstrap.* /run/mysqld/init.sql',
    ]);
    assert.equal(left.stdout, '');
  });

  void test('is ready for replicas: its own identity, strict positions, durable logs; tools and health agree', async () => {
    const settings = ['server_id', 'gtid_domain_id', 'gtid_strict_mode', 'binlog_format', 'sync_binlog'];
    settings.push('innodb_flush_log_at_trx_commit', 'slave_connections_needed_for_purge', 'collation_server');
    const query = `SELECT ${settings.map((name) => `@@${name}`).join(', ')}`;
    const values = (await exec('database-db1', 'mariadb', '-Ne', query)).trim().split('\t');
    assert.deepEqual(values, ['1', '1', '1', 'ROW', '1', '1', '0', 'utf8mb4_unicode_ci']);
    const { gtidPosition } = await databaseEngine.checkHealth();
    assert.match(gtidPosition, /^1-1-\d+$/);
  });

  void test('is made anew from a newer image with its data kept', async () => {
    const check = await leaveData('u');
    const { fleet, databases, succeed, store } = place();
    await fleet.instances.create({
      name: 'newer',
      source: { image: 'database' },
      labels: { kind: 'seed' },
      devices: {},
    });
    const { fingerprint } = await fleet.images.publish('newer', { labels: { kind: 'image' } });
    await fleet.instances.delete('newer');
    await succeed((sql) => databases.startRenew(sql, { name: 'db1', image: fingerprint }, WHO));
    assert.equal((await fleet.instances.read('database-db1'))?.image, fingerprint);
    assert.equal((await readService(store, 'database', 'db1'))?.image, fingerprint);
    await check();
  });

  void test('goes back to its old image when the newer one cannot start', async () => {
    const check = await leaveData('v');
    const { fleet, databases, run } = place();
    const before = (await fleet.instances.read('database-db1'))?.image;
    const image = '0'.repeat(64);
    const ended = await run((sql) => databases.startRenew(sql, { name: 'db1', image }, WHO));
    assert.deepEqual([ended.state, ended.problem?.code], ['recovered', 'incus.source-not-found']);
    assert.equal((await fleet.instances.read('database-db1'))?.image, before);
    await exec('database-db1', 'sh', '-c', 'until mariadb -e "SELECT 1" >/dev/null 2>&1; do sleep 0.2; done');
    await check();
  });

  void test('is removed with everything of it, unless sites live on it or it holds backups', async () => {
    const { fleet, databases, caches, succeed, run, sites, store } = place();
    await databaseEngine.createSite(databaseSite('w'));
    await databases.dump('db1', databaseSite('w').name, 'kept.sql.zst', AbortSignal.timeout(60_000));
    const wish = { name: 'db1', deleteBackups: false };
    sites.set('db1', 1);
    const begun = run((sql) => databases.startRemove(sql, wish, WHO));
    await assert.rejects(begun, { code: 'database.in-use' });
    sites.clear();
    const refused = await run((sql) => databases.startRemove(sql, wish, WHO));
    assert.equal(refused.problem?.code, 'database.holds-backups');
    await databaseEngine.checkHealth();
    await succeed((sql) => databases.startRemove(sql, { ...wish, deleteBackups: true }, WHO));
    await succeed((sql) => caches.startRemove(sql, { name: 'cache1', deleteBackups: false }, WHO));
    assert.deepEqual(await fleet.instances.list(), []);
    assert.deepEqual(await fleet.volumes.list(), []);
    assert.deepEqual(await store.query('SELECT instance FROM instance_address'), []);
    assert.deepEqual(
      await store.query('SELECT name FROM secret WHERE name = $1', [adminSecret('database', 'db1')]),
      [],
    );
    assert.equal(await readService(store, 'database', 'db1'), undefined);
  });
});
