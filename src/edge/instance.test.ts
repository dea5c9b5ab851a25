// An edge's container, with and without doors at a shared address.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderEdgeInstance } from './instance.ts';

const edge = { name: 'edge2', server: 's2', address: '10.87.0.66', listen: '127.0.0.1:8080' };
const about = { image: 'f00', configDir: '/var/lib/espalier/agent/edges/edge2' };
const devices = {
  eth0: { kind: 'nic', ipv4Address: '10.87.0.66' },
  config: { kind: 'disk', source: about.configDir, path: '/etc/espalier-edge', shift: true },
  door: { kind: 'proxy', listen: 'tcp:127.0.0.1:8080', connect: 'tcp:127.0.0.1:81', proxyProtocol: true },
};

test('alone it has one door on its server', () => {
  assert.deepEqual(renderEdgeInstance(edge, { ...about, shared: undefined }), {
    ...{ name: 'edge2', server: 's2', source: { image: 'f00' }, labels: { kind: 'edge' } },
    ...{ config: { 'security.idmap.isolated': 'true' }, devices, start: true },
  });
});

test('with a shared address it listens there too, whether its server has it or not', () => {
  const shared = { address: '10.0.0.100', httpPort: 80, httpsPort: 443, routerId: 101 };
  assert.deepEqual(renderEdgeInstance(edge, { ...about, shared }).devices, {
    ...devices,
    'shared-http': {
      ...{ kind: 'proxy', listen: 'tcp:10.0.0.100:80', connect: 'tcp:127.0.0.1:81', proxyProtocol: true },
    },
    'shared-https': {
      ...{ kind: 'proxy', listen: 'tcp:10.0.0.100:443', connect: 'tcp:127.0.0.1:444', proxyProtocol: true },
    },
  });
});
