import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { killCgroup, parsePayload, parseUnifiedMount, toGroupPath } from './cgroups.ts';

void describe('control groups', () => {
  void it('are found where the kernel mounts them, beside v1 too', () => {
    const pure = '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n';
    const hybrid = [
      '30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs ro',
      '31 30 0:27 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw',
      '32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd',
    ].join('\n');
    assert.equal(parseUnifiedMount(pure), '/sys/fs/cgroup');
    assert.equal(parseUnifiedMount(hybrid), '/sys/fs/cgroup/unified');
    assert.equal(parseUnifiedMount('1 2 0:3 / /proc rw - proc proc rw'), undefined);
  });

  void it('of a container begin above its first process’s own', () => {
    assert.equal(parsePayload('9:name=systemd:/x\n0::/lxc.payload.n1/init.scope\n'), '/lxc.payload.n1');
    assert.equal(parsePayload('0::/lxc.payload.n1\n'), '/lxc.payload.n1');
    assert.equal(parsePayload('4:memory:/x\n'), undefined);
  });

  void it('of a unit lie in the slices that its slice’s name has', () => {
    assert.equal(toGroupPath('espalier-runs.slice', 'a.service'), 'espalier.slice/espalier-runs.slice/a.service');
  });

  void it('that are not there can be killed all the same', () => {
    assert.doesNotThrow(() => killCgroup('/sys/fs/cgroup/no-such-group-of-ours'));
  });
});
