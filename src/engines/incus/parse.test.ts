import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toEvent, toInstance, toInstanceState, toServer, toVolume } from './parse.ts';
import { renderDevices } from './render.ts';
import type { WireInstance } from './wire.ts';

const PLACE = { project: 'espalier', network: 'espbr', storagePool: 'pool1' };

const WIRE: WireInstance = {
  name: 'shop-1',
  location: 'none',
  status: 'Running',
  created_at: '2026-01-02T03:04:05Z',
  type: 'container',
  architecture: 'x86_64',
  description: '',
  ephemeral: false,
  profiles: [],
  config: {
    'limits.cpu': '2',
    'user.other': 'x',
    'user.espalier.kind': 'node',
    'user.espalier.managed': 'espalier',
    'volatile.base_image': 'abc',
    'image.os': 'debian',
  },
  devices: {},
};

void describe('answers of Incus', () => {
  void it('become a container without the engine’s own keys', () => {
    assert.deepEqual(toInstance(WIRE, 'vm'), {
      name: 'shop-1',
      server: 'vm',
      status: 'running',
      createdAt: '2026-01-02T03:04:05Z',
      labels: { kind: 'node' },
      config: { 'limits.cpu': '2' },
      devices: {},
      image: 'abc',
    });
    assert.equal(toInstance({ ...WIRE, location: 's2', status: 'Starting' }, 'vm').server, 's2');
    assert.equal(toInstance({ ...WIRE, status: 'Starting' }, 'vm').status, 'changing');
  });

  void it('give devices back as they were asked for, leaving out those of other kinds', () => {
    const devices = {
      root: { kind: 'root', sizeGib: 5 },
      eth0: { kind: 'nic', ipv4Address: '10.0.0.2' },
      config: { kind: 'disk', source: '/srv/c', path: '/etc/espalier', readonly: true, shift: true },
      content: { kind: 'volume', volume: 'content', path: '/srv/content' },
      web: { kind: 'proxy', listen: 'tcp:0.0.0.0:80', connect: 'tcp:127.0.0.1:80', proxyProtocol: true },
    } as const;
    const wire = { ...renderDevices(PLACE, devices), gpu: { type: 'gpu' } };
    assert.deepEqual(toInstance({ ...WIRE, devices: wire }, 'vm').devices, devices);
    assert.deepEqual(toInstance({ ...WIRE, devices: renderDevices(PLACE, {}) }, 'vm').devices, {});
  });

  void it('become a state with the addresses that others can reach', () => {
    const state = toInstanceState({
      status: 'Running',
      memory: { usage: 1000 },
      cpu: { usage: 2_500_000_000 },
      processes: 7,
      pid: 4711,
      network: {
        lo: { addresses: [{ family: 'inet', scope: 'local', address: '127.0.0.1' }] },
        eth0: {
          addresses: [
            { family: 'inet', scope: 'global', address: '10.0.0.2' },
            { family: 'inet6', scope: 'link', address: 'fe80::1' },
          ],
        },
      },
    });
    const figures = { memoryBytes: 1000, cpuS: 2.5, processes: 7, pid: 4711 };
    assert.deepEqual(state, { status: 'running', addresses: ['10.0.0.2'], ...figures });
    assert.deepEqual(toInstanceState({ status: 'Stopped', processes: -1, network: null }), {
      status: 'stopped',
      addresses: [],
      memoryBytes: 0,
      cpuS: 0,
      processes: 0,
      pid: 0,
    });
  });

  void it('become volumes with the names of those that use them', () => {
    const volume = toVolume(
      {
        name: 'content',
        type: 'custom',
        location: 'none',
        config: { 'security.shifted': 'true', 'user.espalier.pool': 'shop' },
        used_by: ['/1.0/instances/shop-1?project=espalier'],
        created_at: '2026-01-02T03:04:05Z',
      },
      'vm',
    );
    assert.deepEqual(volume, {
      name: 'content',
      server: 'vm',
      labels: { pool: 'shop' },
      shifted: true,
      usedBy: ['shop-1'],
      createdAt: '2026-01-02T03:04:05Z',
    });
  });

  void it('become servers, of which one that is offline has told nothing', () => {
    const member = { server_name: 's2', url: 'https://s2:8443', status: 'Online', message: 'Fully operational' };
    const resources = { cpu: { total: 4 }, memory: { total: 100, used: 30 } };
    assert.deepEqual(toServer(member, resources, { space: { total: 50, used: 20 } }), {
      name: 's2',
      address: 'https://s2:8443',
      status: 'online',
      message: 'Fully operational',
      cores: 4,
      memoryBytes: 100,
      memoryFreeBytes: 70,
      diskFreeBytes: 30,
    });
    const offline = toServer({ ...member, status: 'Offline', message: 'No heartbeat for 30s' }, undefined, undefined);
    assert.deepEqual([offline.status, offline.cores, offline.memoryFreeBytes], ['offline', 0, 0]);
  });

  void it('become events of our project only', () => {
    const metadata = { action: 'instance-started', source: '/1.0/instances/shop-1?project=espalier' };
    const wire = { type: 'lifecycle', timestamp: 't', location: 'none', project: 'espalier', metadata };
    const event = { kind: 'lifecycle', action: 'instance-started', name: 'shop-1', at: 't', server: 'vm' };
    assert.deepEqual(toEvent('espalier', wire, 'vm'), event);
    assert.equal(toEvent('other', wire, 'vm'), undefined);
    assert.equal(toEvent('espalier', { ...wire, type: 'operation' }, 'vm'), undefined);
  });
});
