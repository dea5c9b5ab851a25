// A server of a lab that is heard and not well: its storage pool is full, its Incus is down, its clock is off, its agent is of
// another version. Each is said with what to do, what runs there serves on, nobody is fenced, and it is over when it is put right.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ClusterCommands, makeCluster, makeCommands, moveServices, placeEdges } from './open-cluster.ts';
import { type Lab, openLab, SHARED_LAB } from './open-lab.ts';
import { underVisits } from './under-visits.ts';

/** Without an edge, a database, a cache or a controller; of ours it has nodes alone. */
const VICTIM = 's3';
const OTHERS = ['s1', 's2'];
const SITE = 'wordpress';
/** A look takes half a second. */
const LOOKS = 200;
/** Longer than a lease, which must be renewed meanwhile. */
const RUN_S = 12;
const MOST_RUNS = 16;
const DROP_IN = '/run/systemd/system/espalier-agent.service.d/flaw.conf';
const BALLAST = '/var/lib/incus/storage-pools/espalier/ballast';
const LEFT_BYTES = 256 * 2 ** 20;

interface Server {
  name: string;
  state: string;
  reason: string;
  isEngineSilent: boolean;
}
interface Node {
  name: string;
  pool: string;
  server: string | null;
  state: string;
  address: string;
}
interface Check {
  name: string;
  status: string;
  detail: string;
  todo?: string;
}

let lab: Lab;
let commands: ClusterCommands;
let pool: string;
let sizeBefore: number;
let fencesBefore: number;

const done = (...argv: string[]) => commands.done('s1', ...argv);
const onVictim = (...argv: string[]) => commands.run(VICTIM, ...argv);
const nodes = async () => (await commands.list<Node>('node')).filter((node) => node.pool === pool);
/** Others may be on their way out. */
const countReady = async () => (await nodes()).filter(({ state }) => state === 'ready').length;
const nodesOnVictim = async () => (await nodes()).filter(({ server }) => server === VICTIM).map(({ name }) => name);
const victim = async () =>
  (await commands.list<Server>('server')).find(({ name }) => name === VICTIM) ?? assert.fail(`no ${VICTIM}`);

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < LOOKS; look += 1) if (await isSo().catch(() => false)) return;
  assert.fail(`it never came to that: ${what}; ${JSON.stringify(await victim())}`);
}
const untilReady = () =>
  until('it is ready, and nothing is wrong with it', async () => {
    const { state, reason, isEngineSilent } = await victim();
    return state === 'ready' && !isEngineSilent && !/: nothing new|its clock/.test(reason);
  });

/** What the doctor says on a server; it ends with 1 where something is wrong. */
async function ask(check: string, server = 's1'): Promise<Check> {
  const { stdout } = await lab.exec(server, ['./espalier', 'doctor', '--json']);
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  return checks.find(({ name }) => name === check) ?? assert.fail(`the doctor has no check ${check}`);
}

async function countFences(): Promise<number> {
  const { items } = JSON.parse(await done('event', 'list', '--kind', 'server.fenced', '--json')) as { items: object[] };
  return items.length;
}

/** The nodes on the victim serve by themselves, not only the others by the edge. */
async function assertServesThere(): Promise<void> {
  const there = (await nodes()).filter(({ server }) => server === VICTIM);
  assert.ok(there.length > 0, `${VICTIM} has a node of ${pool}`);
  for (const { name, address, state } of there) {
    const page = `http://${address}/wp-login.php`;
    const argv = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '-H', `Host: ${SITE}.localhost:8080`, page];
    assert.deepEqual([name, state, await onVictim(...argv)], [name, 'ready', '200']);
  }
}

/** Under visitors, of whom none fails; the nodes on the victim are the same before and after. */
async function flawed(work: () => Promise<void>): Promise<void> {
  const before = await nodesOnVictim();
  const { report } = await underVisits(lab, async () => {
    await work();
    assert.deepEqual(await nodesOnVictim(), before);
    await assertServesThere();
  });
  assert.ok(report.requests > 20);
  assert.equal(report.failed, 0, JSON.stringify(report.failures));
  assert.equal(await countFences(), fencesBefore);
}

/** Lines for the unit of the agent there, until the next boot at the latest; none: as it was. */
async function runAgentWith(...lines: string[]): Promise<void> {
  const text = ['[Service]', ...lines].map((line) => `'${line}'`).join(' ');
  const write =
    lines.length === 0 ? `rm -f ${DROP_IN}` : `mkdir -p $(dirname ${DROP_IN}) && printf '%s\\n' ${text} >${DROP_IN}`;
  await onVictim('bash', '-c', `${write} && systemctl daemon-reload && systemctl restart espalier-agent`);
}

/** Masked, since whoever asks at its socket would bring it up again. */
const stopIncus = () =>
  onVictim(
    'bash',
    '-c',
    'systemctl mask --quiet --runtime incus && systemctl stop incus && systemctl stop incus.socket',
  );

before(async () => {
  lab = await openLab(SHARED_LAB, 3);
  commands = makeCommands(lab);
  await makeCluster(lab);
  await placeEdges(commands);
  await moveServices(commands);
  pool = (JSON.parse(await done('site', 'show', SITE, '--json')) as { pool: string }).pool;
  sizeBefore = await countReady();
  fencesBefore = await countFences();
  // So that a second node has to come to the victim, and a fourth one would.
  for (const server of OTHERS) await done('server', 'set', server, '--domain', 'others');
  await done('pool', 'scale', pool, '1');
  await done('pool', 'scale', pool, '2');
  assert.equal((await nodesOnVictim()).length, 1);
});
after(async () => {
  for (const server of OTHERS) await done('server', 'set', server, '--domain', 'none');
  await done('pool', 'scale', pool, String(sizeBefore));
  await lab.close();
});

test('nothing new comes to a server whose storage pool is full, and what is there serves on', async () => {
  const size = `$(($(df --output=avail --block-size=1 $(dirname ${BALLAST}) | tail -n 1) - ${LEFT_BYTES}))`;
  await onVictim('bash', '-c', `fallocate --length ${size} ${BALLAST}`);
  try {
    await flawed(async () => {
      await until('it is said', async () =>
        /it has \d % of its storage pool free: nothing new is placed there/.test((await victim()).reason),
      );
      const finding = await ask('disks');
      assert.equal(finding.status, 'fail');
      assert.match(finding.detail, /^s3 has \d % of its storage pool free$/);
      assert.match(finding.todo ?? '', /incus storage set espalier size=… --target NAME/);
      await done('pool', 'scale', pool, '4');
      assert.equal(await countReady(), 4);
    });
  } finally {
    await onVictim('rm', '-f', BALLAST);
  }
  await untilReady();
  await done('pool', 'scale', pool, '5');
  assert.equal((await nodesOnVictim()).length, 2);
  await done('pool', 'scale', pool, '2');
});

test('a server whose Incus is down is not fenced, says so, and what is there serves on', async () => {
  await flawed(async () => {
    await stopIncus();
    try {
      await until('it is said', async () => (await victim()).isEngineSilent);
      const { state, reason } = await victim();
      assert.equal(state, 'ready');
      assert.match(reason, /its agent is heard, but its Incus does not answer s\d.*: what runs there runs on/);
      const finding = await ask('servers');
      assert.equal(finding.status, 'warn');
      assert.match(finding.detail, /^s3 is ready: .* its Incus does not answer/);
      assert.match(finding.todo ?? '', /systemctl start incus/);
      await done('pool', 'scale', pool, '4');
      await assertServesThere();
    } finally {
      await onVictim('bash', '-c', 'systemctl unmask --quiet --runtime incus && systemctl start incus.socket incus');
    }
    await untilReady();
  });
  await done('pool', 'scale', pool, '2');
});

test('a clock that is five minutes off, either way, is said, and runs and their leases go on', async () => {
  const library = await onVictim(
    'bash',
    '-c',
    '(dpkg -s libfaketime || (apt-get -qq update && apt-get -qq -y install libfaketime)) >/dev/null 2>&1; dpkg -L libfaketime | grep /libfaketime.so.1$',
  );
  try {
    for (const [offS, words] of [
      [300, 'ahead'],
      [-300, 'behind'],
    ] as const) {
      // Its monotonic clock is no concern of who sets a clock.
      const environment = `LD_PRELOAD=${library} FAKETIME=${offS > 0 ? '+' : ''}${offS} FAKETIME_DONT_FAKE_MONOTONIC=1`;
      await flawed(async () => {
        await runAgentWith(`Environment=${environment}`);
        await until('it is said', async () =>
          isOff(/its clock is (\d+) s (?:ahead|behind)/.exec((await victim()).reason)),
        );
        assert.match((await victim()).reason, new RegExp(`its clock is \\d+ s ${words}`));
        const finding = await ask('clocks');
        assert.equal(finding.status, 'warn');
        assert.ok(isOff(/^s3 is -?(\d+) s off$/.exec(finding.detail)), finding.detail);
        await assertRuns(words);
        assert.equal((await victim()).state, 'ready');
      });
    }
  } finally {
    await runAgentWith();
  }
  await untilReady();
});

/** By five minutes, give or take what a heartbeat was on its way. */
const isOff = (found: RegExpExecArray | null): boolean => Math.abs(Number(found?.[1]) - 300) <= 2;

/** As many runs as it takes until one is on the victim: each ends once, and well. */
async function assertRuns(name: string): Promise<void> {
  const tasks: string[] = [];
  const there = async () =>
    (await commands.list<{ server: string | null; state: string }>('run')).some(
      ({ server, state }) => state === 'running' && server === VICTIM,
    );
  try {
    while (!(await there())) {
      assert.ok(tasks.length < MOST_RUNS, `no run came to ${VICTIM}`);
      const task = `${SITE}/${name}-${tasks.length}`;
      tasks.push(task);
      // Visitors press the whole machine, which holds up what is not urgent.
      await done('task', 'add', task, '--class', 'urgent', '--', 'sleep', String(RUN_S));
      await done('task', 'run', task, '--no-wait');
    }
    for (const task of tasks) {
      const history = async () => {
        const { items } = JSON.parse(await done('task', 'history', task, '--json')) as { items: { state: string }[] };
        return items.map(({ state }) => state);
      };
      await until('the run has ended', async () =>
        (await history()).every((state) => !['queued', 'leased', 'running'].includes(state)),
      );
      assert.deepEqual(await history(), ['succeeded'], task);
    }
  } finally {
    for (const task of tasks) await done('task', 'remove', task);
  }
}

test('an agent older than the controller is not let in and says why, its nodes serve, and it is ready when it is updated', async () => {
  const [own, older] = ['/opt/espalier/src/lib/version.ts', '/run/older-version.ts'];
  await onVictim('bash', '-c', `sed 's/PROTOCOL_VERSION = [0-9]*/PROTOCOL_VERSION = 1/' ${own} >${older}`);
  const why = /The agent on s3 speaks protocol 1, the controller \d+\./;
  await flawed(async () => {
    try {
      await runAgentWith(`BindReadOnlyPaths=${older}:${own}`);
      await until('it is said', async () => why.test((await victim()).reason));
      const { state, reason } = await victim();
      assert.equal(state, 'lost');
      assert.match(reason, /its agent is there and not let in: .* Its nodes serve on/);
      assert.match(await done('server', 'show', VICTIM), why);
      const finding = await ask('servers');
      assert.match(finding.detail, why);
      assert.match(finding.todo ?? '', /`espalier up` there/);
      assert.match((await ask('cluster', VICTIM)).detail, why);
      assert.match(await onVictim('tail', '-n', '50', '/var/lib/espalier/log/agent.log'), why);
      await assertServesThere();
    } finally {
      await runAgentWith();
    }
    await untilReady();
  });
});
