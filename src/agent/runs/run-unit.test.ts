import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DbusValue } from '../../engines/systemd/dbus-wire.ts';
import { renderValues } from '../../engines/systemd/dbus-wire.ts';
import { renderRunUnit, toOutputName, toRunUnit } from './run-unit.ts';

const ORDER = {
  ...{ id: 7, epoch: 42, task: 'tcron', node: 'n1', site: 'saaaaaaaaa', uid: 10_001, overlapKey: 'saaaaaaaaa/tcron' },
  ...{ argv: ['php', 'cron.php', '$HOME'], timeoutS: 0.5, limits: { cpuPercent: 150, memoryMb: 64 } },
};
const home = '/var/lib/espalier/sites/saaaaaaaaa';

void describe('the unit of a run', () => {
  void it('is named after its overlap key and nothing else', () => {
    assert.equal(toRunUnit('a'), 'espalier-run-ca978112ca1bbdcafac231b3.service');
    assert.notEqual(toRunUnit('a'), toRunUnit('b'));
    assert.equal(toOutputName(ORDER), '7-42');
  });

  void it('says everything that systemd must hold the run to', () => {
    const properties = renderRunUnit(ORDER);
    assert.deepEqual(Object.fromEntries(properties.map(([name, { value }]) => [name, value])), {
      Description: 'Run 7 of task tcron of saaaaaaaaa',
      ...{ Type: 'exec', RemainAfterExit: true, Slice: 'espalier-runs.slice' },
      ...{ Requisite: ['espalier-lease.target'], After: ['espalier-lease.target'] },
      ...{ User: '10001', Group: '10001', UMask: 0o027, WorkingDirectory: home },
      Environment: [
        'PATH=/usr/local/bin:/usr/bin:/bin',
        ...['LANG=C.UTF-8', `HOME=${home}`, `TMPDIR=${home}/tmp`, `ESPALIER_OPCACHE=${home}/opcache`],
        ...['ESPALIER_OPCACHE_CLI=1', 'ESPALIER_RUN=7', 'ESPALIER_RUN_EPOCH=42'],
      ],
      EnvironmentFiles: [['/etc/espalier/sites/saaaaaaaaa/environment', false]],
      ExecSearchPath: ['/usr/local/bin', '/usr/bin', '/bin'],
      ExecStartEx: [['php', ['php', 'cron.php', '$HOME'], ['no-env-expand']]],
      StandardOutputFileToAppend: '/run/espalier/runs/7-42',
      StandardErrorFileToAppend: '/run/espalier/runs/7-42',
      // Half a second, and five more to heed the SIGTERM.
      ...{ RuntimeMaxUSec: 5_500_000n, KillSignal: 9 },
      ...{ MemoryMax: 67_108_864n, MemorySwapMax: 0n, TasksMax: 512n, OOMScoreAdjust: 500 },
      CPUQuotaPerSecUSec: 1_500_000n,
      ...{ NoNewPrivileges: true, CapabilityBoundingSet: 0n, ProtectProc: 'invisible' },
      BindPaths: ['/tmp', '/var/tmp'].map((path) => [`${home}/tmp`, path, false, 0n]),
      ...{ ProtectSystem: 'strict', ReadWritePaths: ['/srv/content/saaaaaaaaa', home] },
      RestrictAddressFamilies: [true, ['AF_UNIX', 'AF_INET', 'AF_INET6']],
      ...{ RestrictNamespaces: 0n, LockPersonality: true, SystemCallArchitectures: ['native'] },
      SystemCallFilter: [
        false,
        [
          ...['@clock', '@cpu-emulation', '@debug', '@keyring', '@module', '@mount', '@obsolete', '@pkey', '@raw-io'],
          ...['@reboot', '@swap', 'bpf', 'io_uring_enter', 'io_uring_register', 'io_uring_setup', 'perf_event_open'],
          'userfaultfd',
        ],
      ],
      SystemCallErrorNumber: 1,
    });
    assert.doesNotThrow(() => renderValues('a(sv)', [properties as unknown as DbusValue]));
  });

  void it('has no CPU limit, and the node’s memory limit, when its task has none', () => {
    const properties = new Map(renderRunUnit({ ...ORDER, limits: { cpuPercent: null, memoryMb: null } }));
    assert.equal(properties.has('CPUQuotaPerSecUSec'), false);
    assert.equal(properties.get('MemoryMax')?.value, 536_870_912n);
  });
});
