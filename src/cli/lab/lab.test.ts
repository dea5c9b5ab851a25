import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderCut, renderCutWords, renderHeal, renderNft } from './cut.ts';
import {
  addressOf,
  renderMachineBuild,
  renderPlaceCommands,
  renderRemoveCommands,
  renderServerCommands,
} from './lab.ts';
import { parseServers } from './state.ts';

const plan = { name: 'esplab', servers: 3, memoryMib: 2048, bare: false };
const host = { unified: false, cidr: '10.64.16.1/20', projectDir: '/root/espalier' };

test("a server's address follows from its name and the lab's network", () => {
  assert.equal(addressOf('10.64.16.1/20', 's1'), '10.64.16.11');
  assert.equal(addressOf('10.64.16.1/20', 's12'), '10.64.16.22');
});

test('a server is bounded in memory, has an address of its own, the shared folder and the project', () => {
  const commands = renderServerCommands(plan, 's2', host).map((argv) => argv.join(' '));
  assert.match(commands[0] ?? '', /^incus --project esplab init machine s2 --storage esplab --network esplab0 /);
  assert.match(commands[0] ?? '', /limits\.memory=2048MiB/);
  assert.match(commands[0] ?? '', /lxc\.cgroup\.devices\.allow = b 7:\* rwm/);
  assert.deepEqual(commands.slice(1), [
    'incus --project esplab config device set s2 eth0 ipv4.address=10.64.16.12',
    'incus --project esplab config device add s2 content disk pool=esplab source=content path=/srv/espalier',
    'incus --project esplab config device add s2 project disk source=/root/espalier path=/opt/espalier readonly=true',
  ]);
});

test('where the machine has cgroups v2 alone, devices are allowed its way and nothing of v1 is mounted', () => {
  const [init = []] = renderServerCommands(plan, 's1', { ...host, unified: true });
  assert.match(init.join(' '), /lxc\.cgroup2\.devices\.allow = b 7:\* rwm/);
  assert.doesNotMatch(init.join(' '), /cgroup:rw:force/);
});

test('every object that is made for a lab is removed with it', () => {
  const nounOf = (argv: readonly string[]) =>
    argv.filter((word) => ['project', 'storage', 'volume', 'network'].includes(word)).join(' ');
  const made = renderPlaceCommands('esplab', '10.64.16.1/20').map(({ look }) => nounOf(look));
  const removed = renderRemoveCommands('esplab').map(({ look }) => nounOf(look));
  assert.deepEqual(
    made.filter((noun) => !removed.includes(noun)),
    [],
  );
});

test('the image of servers is one mmdebstrap command whose hook quotes the path for the shell', () => {
  const argv = renderMachineBuild("/it's/machine.sh", '/tmp/out.tar');
  assert.equal(argv[0], 'mmdebstrap');
  assert.ok(argv.includes(`--customize-hook=chroot "$1" /bin/sh -s <'/it'\\''s/machine.sh'`));
  assert.deepEqual(argv.slice(-2), ['trixie', '/tmp/out.tar']);
});

test('a server is cut off from everything, or from the controller or the databases alone, and one way alone', () => {
  const fresh = 'add table inet espalier_lab; delete table inet espalier_lab; add table inet espalier_lab';
  assert.equal(
    renderCut({ from: 'everything', way: 'out' }),
    `${fresh}; add chain inet espalier_lab out { type filter hook postrouting priority 400; policy accept; }; add rule inet espalier_lab out oifname "eth0" counter drop`,
  );
  assert.match(renderCut({ from: 'databases', way: 'in' }), /in tcp dport 3306 counter drop; .* in tcp sport 3306 /);
  assert.doesNotMatch(renderCut({ from: 'controller', way: 'in' }), /postrouting|eth0/);
  assert.equal(renderHeal(), 'add table inet espalier_lab; delete table inet espalier_lab');
  assert.deepEqual(renderNft(7, 'RULES'), [
    ...['nsenter', '--net=/proc/7/ns/net', '--mount=/proc/7/ns/mnt', '--', 'nft', 'RULES'],
  ]);
  assert.equal(renderCutWords({ from: 'controller', way: 'in' }), 'from controller, inwards: it hears nothing');
});

test('the servers are read from what Incus lists, in the order of their numbers', () => {
  const wire = (name: string, status: string, more = {}) => ({ name, status, config: {}, devices: {}, ...more });
  const text = JSON.stringify([
    wire('s10', 'Stopped', { state: { pid: -1 } }),
    wire('s2', 'Frozen', {
      config: { 'user.espalier.lab-cut': 'from everything, both ways' },
      devices: { eth0: { 'ipv4.address': '10.1.1.12' } },
      state: { pid: 42 },
    }),
  ]);
  assert.deepEqual(parseServers(text), [
    { name: 's2', state: 'frozen', address: '10.1.1.12', cut: 'from everything, both ways', pid: 42 },
    { name: 's10', state: 'stopped', address: '', cut: '', pid: 0 },
  ]);
});
