// The commands in the server's container and how their answers read; the server's own configuration.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderDatabaseServerConfig } from './server-config.ts';
import { parseDump, parseToolError, renderDump, renderRemoveDump, renderRestore } from './tools.ts';

void test('dump and restore are commands of the image with plain arguments', () => {
  const path = '/var/backups/espalier/sa.sql.zst';
  assert.deepEqual(renderDump('sa', path), ['/usr/lib/espalier/database-dump', 'sa', path]);
  assert.deepEqual(renderRestore('sa', { path, sha256: 'ab' }), [
    '/usr/lib/espalier/database-restore',
    'sa',
    path,
    'ab',
  ]);
  assert.deepEqual(renderRemoveDump(path), ['rm', '-f', '--', path]);
});

void test('a dump’s answer is its size and checksum and nothing else', () => {
  const sha256 = 'a'.repeat(64);
  assert.deepEqual(parseDump('/d', `42 ${sha256}\n`), { path: '/d', bytes: 42, sha256 });
  for (const answer of ['', '42', `x ${sha256}`, `42 ${sha256}\nmore`])
    assert.equal(parseDump('/d', answer), undefined);
});

void test('a tool’s error tells an unknown database and a server that is away from other failures', () => {
  assert.equal(
    parseToolError(2, 'mariadb-dump: Got error: 1049: "Unknown database \'x\'" when selecting').kind,
    'unknown',
  );
  assert.equal(parseToolError(2, "ERROR 2002 (HY000): Can't connect to local server").kind, 'away');
  assert.deepEqual(parseToolError(1, 'first\nzstd: error 70 : Write error\n'), {
    kind: 'failed',
    why: 'zstd: error 70 : Write error',
  });
  assert.deepEqual(parseToolError(137, ''), { kind: 'away', why: 'exit code 137' });
});

void test('a server is sized by its memory and has its own identity', () => {
  assert.equal(
    renderDatabaseServerConfig({ serverId: 7, gtidDomainId: 7, memoryMb: 1024 }),
    [
      '# Written by the controller when it makes this container.',
      '[mariadbd]',
      'server_id = 7',
      'gtid_domain_id = 7',
      'innodb_buffer_pool_size = 512M',
      'max_connections = 128',
      '',
    ].join('\n'),
  );
  assert.match(
    renderDatabaseServerConfig({ serverId: 1, gtidDomainId: 1, memoryMb: 65_536 }),
    /max_connections = 2000/,
  );
});
