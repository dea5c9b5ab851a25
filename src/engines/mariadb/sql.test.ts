// Every statement that is said to MariaDB, exactly.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as sql from './sql.ts';

const site = {
  name: 'sa1b2c3d4e',
  user: 'sa1b2c3d4e',
  password: 'secret',
  allowedFrom: '10.87.0.0/255.255.240.0',
  limits: { connections: 20, statementTimeS: 60 },
};
/** SHA1(SHA1('secret')), as `SELECT PASSWORD('secret')` gives it. */
const hash = '*14E65567ABDB5135D0CFD9A70B3032C179A49EE7';

void test('a site is created by a database, an account with limits, and a grant on that database alone', () => {
  assert.equal(sql.renderCreateDatabase(site.name), 'CREATE DATABASE IF NOT EXISTS `sa1b2c3d4e`');
  const account = [
    "'sa1b2c3d4e'@'10.87.0.0/255.255.240.0'",
    `IDENTIFIED BY PASSWORD '${hash}'`,
    'WITH MAX_USER_CONNECTIONS 20 MAX_STATEMENT_TIME 60 ACCOUNT UNLOCK',
  ].join(' ');
  assert.equal(sql.renderCreateAccount(site), `CREATE USER IF NOT EXISTS ${account}`);
  assert.equal(sql.renderRepairAccount(site), `ALTER USER ${account}`);
  assert.equal(
    sql.renderGrant(site),
    "GRANT ALL PRIVILEGES ON `sa1b2c3d4e`.* TO 'sa1b2c3d4e'@'10.87.0.0/255.255.240.0'",
  );
});

void test('a site is removed by dropping accounts, ending connections and dropping the database', () => {
  assert.equal(sql.renderListHosts('sa'), "SELECT Host AS host FROM mysql.global_priv WHERE User = 'sa' ORDER BY Host");
  assert.equal(sql.renderDropAccount('sa', '10.%'), "DROP USER IF EXISTS 'sa'@'10.%'");
  assert.equal(sql.renderKill('sa'), "KILL HARD CONNECTION USER 'sa'");
  assert.equal(sql.renderKillSession(42), 'KILL HARD CONNECTION 42');
  assert.match(sql.renderListSessions(), /FROM information_schema\.PROCESSLIST WHERE HOST LIKE '%:%' AND ID <> CONN/);
  assert.equal(sql.renderDropDatabase('sa'), 'DROP DATABASE IF EXISTS `sa`');
});

void test('limits and locks change the account in place', () => {
  assert.equal(
    sql.renderSetLimits('sa', '%', { connections: 5, statementTimeS: 7 }),
    "ALTER USER IF EXISTS 'sa'@'%' WITH MAX_USER_CONNECTIONS 5 MAX_STATEMENT_TIME 7",
  );
  assert.equal(sql.renderLock('sa', '%', true), "ALTER USER IF EXISTS 'sa'@'%' ACCOUNT LOCK");
  assert.equal(sql.renderLock('sa', '%', false), "ALTER USER IF EXISTS 'sa'@'%' ACCOUNT UNLOCK");
});

void test('a limit of zero, which MariaDB reads as none, is refused', () => {
  assert.throws(() => sql.renderLimits({ connections: 0, statementTimeS: 1 }), /whole number from 1/);
  assert.throws(() => sql.renderLimits({ connections: 1, statementTimeS: 0.5 }), /whole number from 1/);
});

void test('an identifier can hold anything and never ends early', () => {
  assert.equal(sql.quoteIdentifier('a`b'), '`a``b`');
  for (const bad of ['', 'x'.repeat(65), 'a\0b']) assert.throws(() => sql.quoteIdentifier(bad));
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 64 }), (name) => {
      fc.pre(!name.includes('\0'));
      const inside = sql.quoteIdentifier(name).slice(1, -1);
      assert.equal(inside.replaceAll('``', ''), name.replaceAll('`', ''));
    }),
  );
});

void test('a granted database is itself and no pattern', () => {
  assert.equal(sql.quoteGrantedDatabase('s_a%b`c'), '`s\\_a\\%b``c`');
});

void test('a string doubles its quotes and holds neither backslash nor control characters', () => {
  assert.equal(sql.quoteString("o'clock"), "'o''clock'");
  for (const bad of ['a\\', 'a\nb', 'a\0b']) assert.throws(() => sql.quoteString(bad));
});

void test('the controller’s account is made from a hash and kept out of the binary log', () => {
  assert.equal(
    sql.renderBootstrap({ user: 'espalier', password: 'secret', allowedFrom: ['10.87.0.1'] }),
    [
      'SET SESSION sql_log_bin = 0;',
      "CREATE USER IF NOT EXISTS 'espalier'@'10.87.0.1';",
      `ALTER USER 'espalier'@'10.87.0.1' IDENTIFIED BY PASSWORD '${hash}' ACCOUNT UNLOCK;`,
      "GRANT ALL PRIVILEGES ON *.* TO 'espalier'@'10.87.0.1' WITH GRANT OPTION;",
      '',
    ].join('\n'),
  );
});

void test('sizes are read from the server’s list of files, its own databases left out', () => {
  assert.equal(
    sql.renderListSites('sa'),
    'SELECT s.SCHEMA_NAME AS name, CAST(COALESCE(f.bytes, 0) AS UNSIGNED) AS bytes FROM information_schema.SCHEMATA s ' +
      "LEFT JOIN (SELECT SUBSTRING_INDEX(NAME, '/', 1) AS name, SUM(FILE_SIZE) AS bytes " +
      "FROM information_schema.INNODB_SYS_TABLESPACES WHERE NAME LIKE '%/%' GROUP BY 1) f ON f.name = s.SCHEMA_NAME " +
      "WHERE s.SCHEMA_NAME NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') " +
      "AND s.SCHEMA_NAME = 'sa' ORDER BY 1",
  );
  assert.ok(!sql.renderListSites().includes('SCHEMA_NAME = '));
});
