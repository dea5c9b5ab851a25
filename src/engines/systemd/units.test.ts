import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { renderBridge } from './connect.ts';
import { type DbusMessage, type DbusValue, renderValues } from './dbus-wire.ts';
import { makeSignalReader, type ServiceFacts, toUnitName, toUnitPath } from './units.ts';

const UNIT = 'espalier-run-1f.service';
const PATH = '/org/freedesktop/systemd1/unit/espalier_2drun_2d1f_2eservice';

function makeSignal(path: string, member: string, signature: string, values: DbusValue[]): DbusMessage {
  return { kind: 'signal', serial: 1, path, member, signature, body: renderValues(signature, values) };
}
const changed = (about: 'Unit' | 'Service', entries: Record<string, [string, DbusValue]>, path = PATH) =>
  makeSignal(path, 'PropertiesChanged', 'sa{sv}as', [
    `org.freedesktop.systemd1.${about}`,
    Object.entries(entries).map(([name, [signature, value]]) => [name, { signature, value }]),
    [],
  ]);

void describe('units of systemd', () => {
  void it('have object paths that lead back to their names', () => {
    assert.equal(toUnitPath(UNIT), PATH);
    for (const unit of [UNIT, 'a@b-c_d.timer', 'dev-disk-by\\x2did.device']) {
      assert.equal(toUnitName(toUnitPath(unit)), unit);
    }
  });

  void it('are reached from within the container, as its root', () => {
    assert.deepEqual(renderBridge(4711), [
      ...['nsenter', '--target', '4711', '--user', '--mount', '--pid', '--net', '--ipc', '--uts'],
      ...['--setuid', '0', '--setgid', '0', '--'],
      ...['/usr/bin/systemd-stdio-bridge', '--bus-path=unix:path=/run/systemd/private'],
    ]);
  });

  void it('are heard when they end, with what the service said right before', () => {
    const ends: [string, ServiceFacts][] = [];
    const gone: string[] = [];
    const read = makeSignalReader({
      prefix: 'espalier-run-',
      onEnd: (unit, facts) => ends.push([unit, facts]),
      onGone: (unit) => gone.push(unit),
    });
    read(changed('Service', { Result: ['s', 'success'], ExecMainCode: ['i', 0] }));
    read(changed('Unit', { ActiveState: ['s', 'active'], SubState: ['s', 'running'] }));
    read(changed('Unit', { SubState: ['s', 'failed'] }, toUnitPath('nginx.service')));
    assert.deepEqual(ends, []);
    read(
      changed('Service', {
        Result: ['s', 'exit-code'],
        ExecMainCode: ['i', 1],
        ExecMainStatus: ['i', 7],
        ExecMainStartTimestamp: ['t', 1_000n],
        ExecMainExitTimestamp: ['t', 3_000n],
        ExecMainStartTimestampMonotonic: ['t', 10n],
        ExecMainExitTimestampMonotonic: ['t', 30n],
      }),
    );
    read(
      changed('Unit', {
        ActiveState: ['s', 'failed'],
        SubState: ['s', 'failed'],
        ActiveEnterTimestampMonotonic: ['t', 11n],
      }),
    );
    assert.deepEqual(ends, [
      [
        UNIT,
        {
          ...{ activeState: 'failed', subState: 'failed', wasActive: true, result: 'exit-code' },
          ...{ mainCode: 1, mainStatus: 7, startedAtUs: 1_000, exitedAtUs: 3_000 },
          ...{ startedMonotonicUs: 10, exitedMonotonicUs: 30 },
        },
      ],
    ]);
    read(makeSignal('/org/freedesktop/systemd1', 'UnitRemoved', 'so', [UNIT, PATH]));
    read(makeSignal('/org/freedesktop/systemd1', 'UnitRemoved', 'so', ['other.service', '/x']));
    assert.deepEqual(gone, [UNIT]);
  });
});
