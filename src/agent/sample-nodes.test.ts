import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeTestClock } from '../platform/test-clock.ts';
import { type NodeFigures, parseGroup, parsePhpSockets, parseSome, readFigures } from './node-figures.ts';
import { makeLoadSampler } from './sample-nodes.ts';

const HYBRID = `9:name=systemd:/lxc.payload.esp_n1/init.scope
4:memory:/lxc.payload.esp_n1/init.scope
2:cpuacct,cpu:/lxc.payload.esp_n1
0::/lxc.payload.esp_n1/init.scope
`;

const SOCKETS = `Num       RefCount Protocol Flags    Type St Inode Path
00000000f0c6e5f9: 00000002 00000000 00010000 0001 01 12759580 /run/espalier/php/seuxnbjq1a.sock
00000000ca5ebb2a: 00000003 00000000 00000000 0001 02     0 /run/espalier/php/seuxnbjq1a.sock
00000000e6fc1148: 00000003 00000000 00000000 0001 03 12759999 /run/espalier/php/seuxnbjq1a.sock
00000000e6fc1149: 00000003 00000000 00000000 0001 03 12759998 /run/espalier/php/s000000001.sock
00000000e6fc1150: 00000003 00000000 00000000 0001 03 12759997
00000000e6fc1151: 00000003 00000000 00000000 0001 03 12759996 /run/dbus/system_bus_socket
`;

void describe("a node's figures", () => {
  void it('are found below its group, of cgroup v1, v2 or both at once', () => {
    assert.equal(parseGroup(HYBRID, 'memory'), '/lxc.payload.esp_n1');
    assert.equal(parseGroup(HYBRID, 'cpuacct'), '/lxc.payload.esp_n1');
    assert.equal(parseGroup(HYBRID, ''), '/lxc.payload.esp_n1');
    assert.equal(parseGroup(HYBRID, 'io'), undefined);
  });

  void it('count PHP processes at work and requests that wait, not sockets that listen or are of others', () => {
    assert.deepEqual(parsePhpSockets(SOCKETS), { busyWorkers: 2, workerQueue: 1 });
    assert.deepEqual(parsePhpSockets(''), { busyWorkers: 0, workerQueue: 0 });
  });

  void it('have pressure only where the kernel tells it', () => {
    assert.equal(parseSome('some avg10=22.27 avg60=51.67 avg300=64.78 total=7582172081\n'), 22.27);
    assert.equal(parseSome(''), undefined);
  });

  void it('are read of a process that lives, each a number or missing with a reason', async () => {
    const figures = await readFigures(process.pid);
    assert.ok(figures);
    const names = ['cpuS', 'memoryBytes', 'cpuPressure', 'memoryPressure', 'busyWorkers', 'workerQueue'] as const;
    for (const name of names) {
      const value = figures[name];
      assert.ok(value === undefined ? (figures.missing[name] ?? '') !== '' : Number.isFinite(value), name);
    }
    assert.equal(await readFigures(2 ** 22 + 1), undefined);
  });
});

void describe('the sampler', () => {
  function makeSampler(looks: (NodeFigures | undefined)[]) {
    const clock = makeTestClock();
    const pids: string[] = [];
    const sampler = makeLoadSampler({
      clock,
      cores: 4,
      readPid: async (node) => {
        pids.push(node);
        return 100 + pids.length;
      },
      readEdges: async () => new Map(),
      read: async () => looks.shift(),
    });
    sampler.setNodes(['n1']);
    return { clock, sampler, pids };
  }
  const signal = new AbortController().signal;
  const at = (cpuS: number): NodeFigures => ({ cpuS, busyWorkers: 1, missing: {} });

  void it('makes processor time a share of all cores by two looks', async () => {
    const { clock, sampler } = makeSampler([at(10), at(12)]);
    await sampler.lookAtNodes(signal);
    assert.deepEqual(sampler.current().nodes, [
      { node: 'n1', busyWorkers: 1, missing: { cpuPercent: 'it takes two looks' }, ageMs: 0 },
    ]);
    await clock.advance(1_000);
    await sampler.lookAtNodes(signal);
    assert.equal(sampler.current().nodes[0]?.cpuPercent, 50);
  });

  void it('begins anew with a container that was started anew, and never gives less than nothing', async () => {
    const { clock, sampler, pids } = makeSampler([at(10), undefined, at(1), at(2)]);
    await sampler.lookAtNodes(signal);
    await clock.advance(1_000);
    await sampler.lookAtNodes(signal);
    assert.equal(sampler.current().nodes[0]?.cpuPercent, undefined);
    assert.deepEqual(pids, ['n1', 'n1']);
    await clock.advance(1_000);
    await sampler.lookAtNodes(signal);
    assert.equal(sampler.current().nodes[0]?.cpuPercent, 25);
  });

  void it('lets what it knows grow old when a node can no longer be looked at, and forgets one that has gone', async () => {
    const { clock, sampler } = makeSampler([at(10), undefined, undefined]);
    await sampler.lookAtNodes(signal);
    await clock.advance(7_000);
    await sampler.lookAtNodes(signal);
    assert.equal(sampler.current().nodes[0]?.ageMs, 7_000);
    sampler.setNodes([]);
    assert.deepEqual(sampler.current().nodes, []);
  });
});
