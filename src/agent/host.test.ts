// What is run on a server when it is updated, and how a reboot is told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeHost, parseUpgraded, renderBoot, renderUpgrade } from './host.ts';

test('an upgrade asks nobody, keeps changed files, and runs outside of the unit of the agent', () => {
  const apt = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '--yes', '--option', 'DPkg::Lock::Timeout=600'];
  const [update, upgrade] = renderUpgrade(true);
  assert.deepEqual(update, ['systemd-run', '--wait', '--pipe', '--collect', '--quiet', ...apt, 'update']);
  assert.deepEqual(upgrade?.slice(-5), [
    ...['--option', 'Dpkg::Options::=--force-confdef', '--option', 'Dpkg::Options::=--force-confold', 'upgrade'],
  ]);
  assert.deepEqual(renderUpgrade(false)[0], [...apt, 'update']);
});

test('how many packages were upgraded is read from what apt says', () => {
  assert.equal(parseUpgraded('Reading…\n12 upgraded, 0 newly installed, 0 to remove and 3 not upgraded.\n'), 12);
  assert.equal(parseUpgraded('nothing of the kind'), 0);
});

test('a container that reboots is another boot, although its kernel is not', () => {
  const stat = (started: number) => `1 (a name) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 ${started} 100 200`;
  assert.equal(renderBoot('abc\n', stat(77)), 'abc/77');
  assert.notEqual(renderBoot('abc\n', stat(77)), renderBoot('abc\n', stat(78)));
});

test('this machine has one boot', async () => {
  assert.equal((await describeHost()).boot, (await describeHost()).boot);
  assert.match((await describeHost()).boot, /^[0-9a-f-]{36}\/\d+$/);
});
