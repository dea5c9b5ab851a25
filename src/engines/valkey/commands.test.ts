// Every command that is said to Valkey, exactly, and how its answers read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as commands from './commands.ts';

/** SHA-256 of `secret`. */
const hash = '#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b';

void test('a site’s account is replaced whole: its own keys and channels, and nothing that is the whole server’s', () => {
  assert.deepEqual(commands.renderSetSite({ name: 'sa', password: 'secret', prefix: 'sa:' }), [
    ...['ACL', 'SETUSER', 'sa', 'reset', 'on', hash, 'resetchannels', '~sa:*', '&sa:*', '+@all'],
    ...[
      '-@admin',
      '-@dangerous',
      '-scan',
      '-randomkey',
      '-dbsize',
      '-pubsub',
      '-client|tracking',
      '-function',
      '-script',
    ],
    ...['+script|load', '+script|exists', '+info'],
  ]);
});

void test('a prefix or name that could mean other keys or another command is refused', () => {
  for (const prefix of ['sa', '*:', 's[ab]:', ':', 'sa: ~*', 's?:']) {
    assert.throws(() => commands.renderSetSite({ name: 'sa', password: 'p', prefix }), /prefix/, prefix);
    assert.throws(() => commands.renderScan('0', prefix), /prefix/, prefix);
  }
  for (const name of ['', 'a b', 'a\n']) assert.throws(() => commands.renderRemoveSite(name), /account name/);
});

void test('removing, locking and cutting off name the account and nothing else', () => {
  assert.deepEqual(commands.renderRemoveSite('sa'), ['ACL', 'DELUSER', 'sa']);
  assert.deepEqual(commands.renderLock('sa', true), ['ACL', 'SETUSER', 'sa', 'off']);
  assert.deepEqual(commands.renderLock('sa', false), ['ACL', 'SETUSER', 'sa', 'on']);
  assert.deepEqual(commands.renderKill('sa'), ['CLIENT', 'KILL', 'USER', 'sa']);
  assert.deepEqual(commands.renderKillSession('42'), ['CLIENT', 'KILL', 'ID', '42']);
  assert.throws(() => commands.renderKillSession('42 TYPE normal'), /number/);
  assert.deepEqual(commands.renderScan('17', 'sa:'), ['SCAN', '17', 'MATCH', 'sa:*', 'COUNT', '1000']);
});

void test('the server’s own files hold the controller’s account as a hash and the memory it may use', () => {
  assert.equal(
    commands.renderBootstrap({ user: 'espalier', password: 'secret' }),
    `user espalier on ${hash} ~* &* +@all\n`,
  );
  assert.equal(
    commands.renderCacheServerConfig({ memoryMb: 512 }),
    '# Written by the controller when it makes this container.\nmaxmemory 358mb\nmaxclients 10000\n',
  );
});

void test('clients are read with the address that each comes from', () => {
  const list = [
    'id=3 addr=10.87.16.70:47312 laddr=10.87.16.5:6379 fd=8 name= age=4 db=0 sub=0 cmd=get user=sa',
    'id=9 addr=10.87.16.2:50000 laddr=10.87.16.5:6379 fd=9 name= age=0 db=0 sub=0 cmd=client|list user=espalier',
    '',
  ];
  assert.deepEqual(commands.parseSessions(list.join('\n')), [
    { id: '3', address: '10.87.16.70' },
    { id: '9', address: '10.87.16.2' },
  ]);
});

void test('accounts are read without the server’s own', () => {
  const lines = [
    'user default off sanitize-payload resetchannels -@all',
    `user espalier on sanitize-payload ${hash} ~* &* +@all`,
    `user sb off sanitize-payload ${hash} ~sb:* resetchannels &sb:* +@all -@admin`,
    `user sa on sanitize-payload ${hash} ~sa:* resetchannels &sa:* +@all -@admin`,
  ];
  assert.deepEqual(commands.parseAccounts(lines, ['espalier']), [
    { name: 'sa', locked: false },
    { name: 'sb', locked: true },
  ]);
});

void test('health is read from INFO', () => {
  const info = [
    '# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\nuptime_in_seconds:61',
    '# Clients\r\nconnected_clients:3\r\nmaxclients:10000',
    '# Memory\r\nused_memory:1000\r\nmaxmemory:2000',
    '# Persistence\r\naof_enabled:1\r\naof_last_write_status:ok\r\n',
  ].join('\r\n\r\n');
  const health = {
    version: '8.1.1',
    uptimeS: 61,
    connections: { used: 3, max: 10_000 },
    memory: { usedBytes: 1000, maxBytes: 2000 },
    persistent: true,
  };
  assert.deepEqual(commands.parseHealth(info), health);
  assert.equal(commands.parseHealth(info.replace('status:ok', 'status:err')).persistent, false);
});
