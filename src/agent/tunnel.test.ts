import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tunnel } from '../protocol/contract.ts';
import { deviceOf, macOf, renderAdmission, renderCleanup, renderDevice, renderPeers } from './tunnel.ts';

const tunnel: Tunnel = {
  ...{ bridge: 'espalier0', id: 42, address: '192.0.2.11', inner: '10.64.0.5' },
  peers: [{ server: 's2', address: '192.0.2.12', inner: '10.64.0.64', networks: ['10.64.0.64/26', '10.64.1.0/26'] }],
};
const lines = (commands: string[][]) => commands.map((argv) => argv.join(' '));

test('the device is named for the bridge within 15 characters, and a MAC follows from an inner address', () => {
  assert.equal(deviceOf('espalier0'), 'espalier0-vx');
  assert.equal(deviceOf('a-very-long-na0').length, 15);
  assert.equal(macOf('10.64.0.255'), '02:e5:0a:40:00:ff');
});

test('the device leaves room for its headers, learns nothing and has an address of its own', () => {
  assert.deepEqual(lines(renderDevice(tunnel, { name: 'eth0', mtu: 1500 })), [
    'ip link add espalier0-vx address 02:e5:0a:40:00:05 mtu 1450 type vxlan id 42 local 192.0.2.11 dev eth0 dstport 4789 nolearning',
    'ip address add 10.64.0.5/32 dev espalier0-vx',
    'ip link set espalier0-vx up',
  ]);
});

test('a peer is known by a forwarding entry, a neighbour, and a route for each of its blocks', () => {
  assert.deepEqual(lines(renderPeers(tunnel)), [
    'bridge fdb replace 02:e5:0a:40:00:40 dev espalier0-vx dst 192.0.2.12 self permanent',
    'ip neigh replace 10.64.0.64 lladdr 02:e5:0a:40:00:40 dev espalier0-vx nud permanent',
    'ip route replace 10.64.0.64/32 scope link dev espalier0-vx src 10.64.0.5',
    'ip route replace 10.64.0.64/26 via 10.64.0.64 onlink dev espalier0-vx src 10.64.0.5',
    'ip route replace 10.64.1.0/26 via 10.64.0.64 onlink dev espalier0-vx src 10.64.0.5',
  ]);
});

test('what is of a peer that is gone or has moved is taken away, and nothing else', () => {
  const state = {
    routes: ['10.64.0.64', '10.64.0.64/26', '10.64.1.0/26', '10.64.2.0/26'],
    forwards: [
      { mac: '02:e5:0a:40:00:40', to: '192.0.2.12' },
      { mac: '02:e5:0a:40:00:40', to: '192.0.2.99' },
    ],
  };
  assert.deepEqual(lines(renderCleanup(tunnel, state)), [
    'ip route del 10.64.2.0/26 dev espalier0-vx',
    'bridge fdb del 02:e5:0a:40:00:40 dev espalier0-vx dst 192.0.2.99 self',
  ]);
});

test("only what comes from a peer's own addresses is admitted, and of nobody when there is no peer", () => {
  const second = { server: 's3', address: '192.0.2.13', inner: '10.64.9.9', networks: ['10.64.2.0/26'] };
  assert.equal(
    renderAdmission({ ...tunnel, bridge: 'my-try0', peers: [...tunnel.peers, second] }),
    [
      'table inet espalier_my_try0_vx',
      'delete table inet espalier_my_try0_vx',
      'table inet espalier_my_try0_vx {',
      '  chain admission {',
      '    type filter hook prerouting priority raw; policy accept;',
      // Once each: an address of a network that is listed may not be listed too.
      '    iifname "my-try0-vx" ip saddr != { 10.64.0.64/26, 10.64.1.0/26, 10.64.2.0/26, 10.64.9.9 } counter drop',
      '    iifname "my-try0-vx" meta nfproto ipv6 counter drop',
      '  }',
      '}',
      '',
    ].join('\n'),
  );
  assert.match(renderAdmission({ ...tunnel, peers: [] }), /iifname "espalier0-vx" counter drop\n {2}\}/);
});
