// Which machines are refused, and how that is said.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findMissing, type HostFacts, parseOsRelease, readHost } from './host.ts';

const GIB = 2 ** 30;
const FIT: HostFacts = {
  platform: 'linux',
  arch: 'x64',
  uid: 0,
  distribution: 'debian',
  distributionVersion: '12',
  codename: 'bookworm',
  systemd: true,
  capabilities: (1n << 41n) - 1n,
  memoryBytes: 4 * GIB,
  freeDiskBytes: 20 * GIB,
  fresh: true,
};

void test('a fit machine lacks nothing, and the first missing requirement is named', () => {
  const missing = (changes: Partial<HostFacts>) => findMissing({ ...FIT, ...changes });
  assert.equal(missing({}), undefined);
  assert.equal(missing({ distributionVersion: '13', codename: 'trixie', systemd: false }), undefined);
  assert.equal(missing({ platform: 'darwin' }), "Espalier's containers need Linux, and this is darwin");
  assert.equal(
    missing({ distribution: 'ubuntu', distributionVersion: '24.04' }),
    'It needs Debian 12 or 13, and this is ubuntu 24.04',
  );
  assert.equal(missing({ distributionVersion: '11' }), 'It needs Debian 12 or 13, and this is debian 11');
  assert.equal(missing({ uid: 1000 }), 'It needs root, and you are another user');
  assert.match(missing({ capabilities: 0n }) ?? '', /^root lacks CAP_SYS_ADMIN here/);
  assert.match(missing({ capabilities: 1n << 21n }) ?? '', /^root lacks CAP_NET_ADMIN here/);
  assert.equal(missing({ memoryBytes: GIB }), 'It needs 1.8 GiB of memory, and this machine has 1.0 GiB');
  assert.equal(missing({ freeDiskBytes: GIB }), 'It needs 10.0 GiB of free disk, and there are 1.0 GiB');
});

void test('a disk that has become full since does not stop what is there from coming up', () => {
  assert.equal(findMissing({ ...FIT, freeDiskBytes: GIB, fresh: false }), undefined);
});

void test('os-release is read with and without quotes', () => {
  const text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n';
  const { ID, VERSION_ID, VERSION_CODENAME } = parseOsRelease(text);
  assert.deepEqual([ID, VERSION_ID, VERSION_CODENAME], ['debian', '12', 'bookworm']);
});

void test('the facts of this machine are read without any privilege', async () => {
  const host = await readHost('/nowhere/at/all');
  assert.equal(host.platform, process.platform);
  assert.equal(host.fresh, true);
  assert.ok(host.freeDiskBytes > 0 && host.memoryBytes > 0);
});
