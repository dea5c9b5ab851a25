import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { InstanceSpec } from '../fleet.ts';
import {
  renderChangedConfig,
  renderClusterPart,
  renderCopySource,
  renderDevices,
  renderDynamicRange,
  renderExecRequest,
  renderImageSource,
  renderInstanceRequest,
  renderInstanceUpdate,
  renderMemberPart,
  renderNetworkRequest,
  renderProjectRequest,
  renderPublishRequest,
  renderStateChange,
  renderStoragePoolRequest,
  renderVolumeCarryRequest,
  renderVolumeCopyRequest,
  renderVolumeRequest,
  renderVolumeSendRequest,
  toAddressPlan,
  toEngineConfig,
} from './render.ts';

const PLACE = { project: 'espalier', network: 'espbr', storagePool: 'pool1' };

void describe('requests to Incus', () => {
  void it('make a container with our labels and key, devices of the place, and no profile', () => {
    const spec: InstanceSpec = {
      name: 'shop-1',
      source: { image: 'wordpress' },
      labels: { kind: 'node', pool: 'shop' },
      config: { 'limits.memory': '512MiB' },
      devices: { eth0: { kind: 'nic', ipv4Address: '10.87.0.20' } },
      start: true,
    };
    assert.deepEqual(renderInstanceRequest(PLACE, spec, renderImageSource('wordpress')), {
      name: 'shop-1',
      type: 'container',
      profiles: [],
      config: {
        'limits.memory': '512MiB',
        'user.espalier.kind': 'node',
        'user.espalier.pool': 'shop',
        'user.espalier.managed': 'espalier',
      },
      devices: {
        root: { type: 'disk', path: '/', pool: 'pool1' },
        eth0: { type: 'nic', name: 'eth0', network: 'espbr', 'ipv4.address': '10.87.0.20' },
      },
      source: { type: 'image', alias: 'wordpress' },
      start: true,
    });
  });

  void it('cannot be told by a label that the thing is another’s', () => {
    const spec = { name: 'v', labels: { managed: 'someone' } };
    assert.deepEqual(renderVolumeRequest(PLACE, spec), {
      name: 'v',
      type: 'custom',
      content_type: 'filesystem',
      config: { 'user.espalier.managed': 'espalier' },
    });
  });

  void it('take an image by fingerprint or alias, and a copy without the source’s snapshots', () => {
    assert.deepEqual(renderImageSource('0123456789ab'), { type: 'image', fingerprint: '0123456789ab' });
    assert.deepEqual(renderImageSource('cafe'), { type: 'image', alias: 'cafe' });
    assert.deepEqual(renderCopySource('espalier', 'seed/s1'), {
      type: 'copy',
      source: 'seed/s1',
      project: 'espalier',
      instance_only: true,
    });
  });

  void it('know every kind of device', () => {
    assert.deepEqual(
      renderDevices(PLACE, {
        disk0: { kind: 'root', sizeGib: 5 },
        eth0: { kind: 'nic' },
        config: { kind: 'disk', source: '/srv/c', path: '/etc/espalier', readonly: true, shift: true },
        plain: { kind: 'disk', source: '/srv/p', path: '/mnt' },
        content: { kind: 'volume', volume: 'content', path: '/srv/content' },
        kept: { kind: 'volume', volume: 'kept', path: '/srv/kept', readonly: true },
        web: { kind: 'proxy', listen: 'tcp:0.0.0.0:80', connect: 'tcp:127.0.0.1:80', proxyProtocol: true },
        raw: { kind: 'proxy', listen: 'tcp:127.0.0.1:81', connect: 'tcp:127.0.0.1:81' },
      }),
      {
        disk0: { type: 'disk', path: '/', pool: 'pool1', size: '5GiB' },
        eth0: { type: 'nic', name: 'eth0', network: 'espbr' },
        config: { type: 'disk', source: '/srv/c', path: '/etc/espalier', readonly: 'true', shift: 'true' },
        plain: { type: 'disk', source: '/srv/p', path: '/mnt' },
        content: { type: 'disk', pool: 'pool1', source: 'content', path: '/srv/content' },
        kept: { type: 'disk', pool: 'pool1', source: 'kept', path: '/srv/kept', readonly: 'true' },
        web: { type: 'proxy', listen: 'tcp:0.0.0.0:80', connect: 'tcp:127.0.0.1:80', proxy_protocol: 'true' },
        raw: { type: 'proxy', listen: 'tcp:127.0.0.1:81', connect: 'tcp:127.0.0.1:81' },
      },
    );
  });

  void it('change config and labels and carry the engine’s own keys on', () => {
    const current = { 'volatile.uuid': 'u', 'image.os': 'x', 'limits.cpu': '1', 'user.espalier.pool': 'a' };
    assert.deepEqual(toEngineConfig(current), { 'volatile.uuid': 'u', 'image.os': 'x' });
    const change = { config: { 'limits.cpu': null, 'limits.memory': '1GiB' }, labels: { pool: 'b' } };
    assert.deepEqual(renderChangedConfig(current, change), {
      'volatile.uuid': 'u',
      'image.os': 'x',
      'limits.memory': '1GiB',
      'user.espalier.pool': 'b',
    });
    const wire = {
      name: 'c',
      location: 'none',
      status: 'Running',
      created_at: '',
      type: 'container',
      architecture: 'x86_64',
      description: 'd',
      ephemeral: false,
      profiles: [],
      config: current,
      devices: {},
    };
    assert.deepEqual(renderInstanceUpdate(wire, { a: 'b' }, { eth0: { type: 'nic' } }), {
      architecture: 'x86_64',
      description: 'd',
      ephemeral: false,
      profiles: [],
      config: { a: 'b' },
      devices: { eth0: { type: 'nic' } },
    });
  });

  void it('ask a container to stop within the bound, and kill at once by force', () => {
    assert.deepEqual(renderStateChange('stop', false, 30_500), { action: 'stop', force: false, timeout: 30 });
    assert.deepEqual(renderStateChange('stop', true, 30_500), { action: 'stop', force: true, timeout: -1 });
    assert.deepEqual(renderStateChange('start', false, 30_500), { action: 'start', force: false, timeout: -1 });
  });

  void it('run a command over websockets, so that it ends with its caller', () => {
    assert.deepEqual(renderExecRequest(['php', '-v'], { env: { HOME: '/root' }, uid: 33, gid: 34, cwd: '/srv' }), {
      command: ['php', '-v'],
      environment: { HOME: '/root' },
      user: 33,
      group: 34,
      cwd: '/srv',
      interactive: false,
      'wait-for-websocket': true,
      'record-output': false,
    });
  });

  void it('publish uncompressed, from a container or a snapshot', () => {
    const wish = { labels: { app: 'wordpress' }, description: 'WordPress 3' };
    assert.deepEqual(renderPublishRequest(PLACE, 'seed/s1', wish), {
      source: { type: 'snapshot', name: 'seed/s1' },
      properties: {
        description: 'WordPress 3',
        'user.espalier.app': 'wordpress',
        'user.espalier.managed': 'espalier',
      },
      compression_algorithm: 'none',
      public: false,
    });
    assert.deepEqual((renderPublishRequest(PLACE, 'seed', wish) as { source: object }).source, {
      type: 'instance',
      name: 'seed',
    });
  });

  void it('make and copy volumes', () => {
    const spec = { name: 'content', labels: { pool: 'shop' }, shifted: true, sizeGib: 3 };
    const config = {
      'security.shifted': 'true',
      size: '3GiB',
      'user.espalier.pool': 'shop',
      'user.espalier.managed': 'espalier',
    };
    const volume = { name: 'content', type: 'custom', content_type: 'filesystem', config };
    assert.deepEqual(renderVolumeRequest(PLACE, spec), volume);
    assert.deepEqual(renderVolumeCopyRequest(PLACE, spec, 'old/s1'), {
      ...volume,
      source: { type: 'copy', name: 'old/s1', pool: 'pool1', project: 'espalier', volume_only: true },
    });
    assert.deepEqual(renderVolumeSendRequest(PLACE, 'old'), {
      ...{ name: 'old', pool: 'pool1', migration: true, volume_only: true },
    });
    const sender = { operation: 'https://10.0.0.2:8443/1.0/operations/o1', secrets: { fs: 'x' }, certificate: 'PEM' };
    assert.deepEqual(renderVolumeCarryRequest(PLACE, spec, { name: 'old', sender }, true), {
      ...volume,
      source: {
        ...{ type: 'migration', mode: 'pull', ...sender, name: 'old', pool: 'pool1', volume_only: true, refresh: true },
      },
    });
    assert.deepEqual(renderVolumeCarryRequest(PLACE, spec, { name: 'old', sender: undefined }, false), {
      ...volume,
      source: { type: 'copy', project: 'espalier', name: 'old', pool: 'pool1', volume_only: true },
    });
  });

  void it('make the place with our key on each part', () => {
    assert.deepEqual(renderProjectRequest(PLACE), {
      name: 'espalier',
      description: 'Espalier',
      config: {
        'features.images': 'true',
        'features.networks': 'false',
        'features.profiles': 'true',
        'features.storage.buckets': 'true',
        'features.storage.volumes': 'true',
        'user.espalier.managed': 'espalier',
      },
    });
    assert.deepEqual(renderNetworkRequest(PLACE, '10.87.0.1/24'), {
      name: 'espbr',
      type: 'bridge',
      description: 'Espalier',
      config: {
        'ipv4.address': '10.87.0.1/24',
        'ipv4.nat': 'true',
        'ipv6.address': 'none',
        'ipv4.dhcp.ranges': '10.87.0.192-10.87.0.254',
        'user.espalier.managed': 'espalier',
      },
    });
    assert.deepEqual(renderStoragePoolRequest(PLACE, { driver: 'btrfs', sizeGib: 30 }), {
      name: 'pool1',
      driver: 'btrfs',
      description: 'Espalier',
      config: { size: '30GiB', 'user.espalier.managed': 'espalier' },
    });
    assert.deepEqual((renderStoragePoolRequest(PLACE, { driver: 'dir', sizeGib: 30 }) as { config: object }).config, {
      'user.espalier.managed': 'espalier',
    });
  });
});

void describe('a cluster', () => {
  void it('hears of a storage pool from each member first, then as a whole', () => {
    const request = renderStoragePoolRequest(PLACE, { driver: 'btrfs', sizeGib: 30 });
    const about = { name: 'pool1', driver: 'btrfs', description: 'Espalier' };
    assert.deepEqual(renderMemberPart(request), { ...about, config: { size: '30GiB' } });
    assert.deepEqual(renderClusterPart(request), { ...about, config: { 'user.espalier.managed': 'espalier' } });
  });
});

void describe('the address plan', () => {
  void it('leaves the last quarter of a subnet to DHCP', () => {
    assert.deepEqual(toAddressPlan('10.87.0.1/16'), {
      firstStatic: '10.87.0.2',
      lastStatic: '10.87.191.255',
      firstDynamic: '10.87.192.0',
      lastDynamic: '10.87.255.254',
    });
    assert.equal(renderDynamicRange('192.168.5.17/28'), '192.168.5.28-192.168.5.30');
  });

  void it('refuses what is not such a subnet', () => {
    for (const cidr of ['10.0.0.1', '10.0.0.1/30', 'fd42::1/64', '10.0.0.1/x', '']) {
      assert.throws(() => toAddressPlan(cidr), RangeError, cidr);
    }
  });
});
