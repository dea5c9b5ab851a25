// Real runs in real nodes: limits and results, one at a time for a key, an agent that dies, freezes, or is cut off. What the
// processes themselves wrote down is the judge of who ran when.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { KILL_MARGIN_MS } from '../../src/agent/runs/runs.ts';
import { makeSystemClock } from '../../src/lib/clock.ts';
import type { RunOrder } from '../../src/protocol/contract.ts';
import { until } from './live-http.ts';
import { makeRealSequencer, type RealSequencer, type ServerName } from './real-sequencer.ts';
import { LEASE_MS, makeRunsPlace, type RunsPlace, SITES } from './runs-place.ts';

const clock = makeSystemClock();
/** Where a run writes what it did; only its site can read it. */
const DIARY = `/var/lib/espalier/sites/${SITES.one.site}/diary`;
/** What a run waits for: they are there when somebody has read what it said, and when that was cut. */
const READ = `/var/lib/espalier/sites/${SITES.one.site}/read`;
const CUT = `/var/lib/espalier/sites/${SITES.one.site}/cut`;
/** Says each 50 ms that it lives, by the machine's monotonic clock (seconds), for a minute. */
const LIVE = [
  'php',
  '-r',
  `for ($i = 0; $i < 1200; $i++) { file_put_contents($argv[1], hrtime(true) / 1e9 . "\\n", FILE_APPEND); usleep(50000); }`,
  '--',
];

let place: RunsPlace;
let nextId = 1;

/** An order with what a test does not care about. */
function makeOrder(argv: readonly string[], about: Partial<RunOrder> = {}): RunOrder {
  const id = nextId++;
  return {
    ...{ id, epoch: id + 1_000, task: 'ttest', node: 'n1', ...SITES.one, argv: [...argv], timeoutS: 60 },
    ...{ limits: { cpuPercent: null, memoryMb: null }, overlapKey: `key-${id}` },
    ...about,
  };
}
const php = (code: string) => ['php', '-d', 'memory_limit=-1', '-r', code];

/** Runs one to its reported end. */
async function run(argv: readonly string[], about: Partial<RunOrder> = {}) {
  const order = makeOrder(argv, about);
  const { refused } = await place.controller.order(order);
  assert.deepEqual(refused, []);
  return (await place.controller.ended(order.id)).result;
}

/** Begins one that writes down that it lives, and waits until it does. */
async function beginLiving(about: Partial<RunOrder> = {}) {
  await place.exec('n1', 'rm', '-f', DIARY);
  const order = makeOrder([...LIVE, DIARY], about);
  assert.deepEqual(await place.controller.order(order), { started: [order.id], refused: [] });
  await place.exec('n1', 'sh', '-c', `until [ -s ${DIARY} ]; do sleep 0.02; done`);
  return order;
}

/** When the run last wrote that it lives, milliseconds of the monotonic clock. */
async function lastSign(): Promise<number> {
  return Number((await place.exec('n1', 'tail', '-n', '1', DIARY)).trim()) * 1000;
}

/** When leases were renewed last. */
const lastAnswerMs = (): number => place.controller.answeredAtMs.at(-1) ?? assert.fail('there was no heartbeat');

void describe('runs in a real node', () => {
  before(async () => {
    place = await makeRunsPlace();
    place.startAgent();
    // By the second it knows its nodes.
    await place.controller.beats(2);
  });
  after(() => place.close());
  beforeEach(() => {
    place.controller.lost.clear();
    place.controller.leaseMs = LEASE_MS;
  });

  void describe('end with a result', () => {
    void it('a run that exits has its code, its output in order, and its times', async () => {
      const result = await run([
        'sh',
        '-c',
        'echo one; echo two >&2; echo "$0 $HOME $$HOME %n" | tr -d 0-9; exit 7',
        'three',
      ]);
      const { startedAt, endedAt, ...rest } = result;
      const home = `/var/lib/espalier/sites/${SITES.one.site}`;
      assert.deepEqual(rest, {
        ...{ cause: 'exit', code: 7, signal: null, tail: `one\ntwo\nthree ${home} HOME %n\n` },
        ...{ cpuS: rest.cpuS, peakMemoryBytes: rest.peakMemoryBytes },
      });
      assert.ok(startedAt !== null && Date.parse(startedAt) <= Date.parse(endedAt));
      assert.equal((await run(['true'])).code, 0);
    });

    void it('it is the site’s user, with its environment and no way to more', async () => {
      const { tail } = await run(['sh', '-c', 'id; pwd; echo $ESPALIER_SITE $ESPALIER_RUN $ESPALIER_RUN_EPOCH; umask']);
      const [id, pwd, variables, umask] = tail.trim().split('\n');
      const { site, uid } = SITES.one;
      assert.equal(id, `uid=${uid}(${site}) gid=${uid}(${site}) groups=${uid}(${site})`);
      assert.equal(pwd, `/var/lib/espalier/sites/${site}`);
      assert.equal(variables, `${site} ${nextId - 1} ${nextId - 1 + 1_000}`);
      assert.equal(umask, '0027');
      const status = await run(['grep', '-E', '^(CapBnd|CapEff|NoNewPrivs|Seccomp):', '/proc/self/status']);
      assert.match(status.tail, /^CapEff:\s+0+\nCapBnd:\s+0+\nNoNewPrivs:\s+1\nSeccomp:\s+2\n$/);
    });

    void it('it sees no other site’s files, processes or output', async () => {
      const other = makeOrder(['sh', '-c', 'echo secret; touch /tmp/secret; sleep 20'], SITES.other);
      await place.controller.order(other);
      const look = 'cat /etc/espalier/sites/sbbbbbbbbb/site.json; ls /run/espalier/runs; ps -e -o args; ls /tmp; true';
      const { tail } = await run(['sh', '-c', look]);
      assert.match(tail, /site\.json: Permission denied/);
      assert.match(tail, /runs': Permission denied/);
      assert.doesNotMatch(tail, /secret/);
      await (await place.controller.agent()).peer.call('runs.cancel', { ids: [other.id] }, { timeoutMs: 5_000 });
      const { result } = await place.controller.ended(other.id);
      assert.deepEqual([result.cause, result.signal, result.tail], ['killed', 'SIGTERM', 'secret\n']);
    });

    void it('one over its time is asked to end, and is killed when it does not', async () => {
      const asked = await run(['sh', '-c', 'echo begun; sleep 30'], { timeoutS: 1 });
      assert.deepEqual([asked.cause, asked.signal, asked.tail], ['timeout', 'SIGTERM', 'begun\n']);
      const deaf = await run(['sh', '-c', 'trap "" TERM; while :; do sleep 1; done'], { timeoutS: 1 });
      assert.deepEqual([deaf.cause, deaf.signal], ['timeout', 'SIGKILL']);
    });

    void it('one over its memory is killed and says so; a larger limit lets it be', async () => {
      const eat = php('$all = []; for ($i = 0; $i < 96; $i++) $all[] = str_repeat("x", 1 << 20); echo "fed";');
      const over = await run(eat, { limits: { cpuPercent: null, memoryMb: 64 } });
      assert.deepEqual([over.cause, over.code, over.signal], ['oom', null, 'SIGKILL']);
      const under = await run(eat, { limits: { cpuPercent: null, memoryMb: 256 } });
      assert.deepEqual([under.cause, under.code, under.tail], ['exit', 0, 'fed']);
    });

    void it('one that cannot be started says why', async () => {
      const absent = await run(['no-such-program']);
      assert.deepEqual([absent.cause, absent.code, absent.startedAt], ['could-not-start', null, null]);
      assert.match(absent.tail, /there is no such program/);
      const stranger = await run(['true'], { site: 'szzzzzzzzz', uid: 10_099 });
      assert.equal(stranger.cause, 'could-not-start');
      const relative = await run(['bin/console']);
      assert.equal(relative.cause, 'could-not-start');
      assert.match(relative.tail, /bin\/console/);
    });

    void it('what it left running is killed before its end is told', async () => {
      const { cause } = await run(['sh', '-c', `(while :; do date > left; sleep 0.05; done) & sleep 0.3; exit 0`]);
      assert.equal(cause, 'exit');
      const left = await place.exec('n1', 'sh', '-c', `pgrep -u ${SITES.one.uid} || true`);
      assert.equal(left, '');
    });

    void it('output without end is cut to its end, and can be followed meanwhile', async () => {
      const words = 'for i in 1 2 3; do echo line $i; done';
      // Enough to be cut, and not so much that it may be cut twice: what is said during a cut may be lost.
      const flood = 'yes 0123456789 | head -c 1500000; echo';
      const untilThere = (path: string) => `until [ -e ${path} ]; do sleep 0.05; done`;
      const order = makeOrder(['sh', '-c', `${words}; ${untilThere(READ)}; ${flood}; ${untilThere(CUT)}; echo end`]);
      await place.exec('n1', 'rm', '-f', READ, CUT);
      await place.controller.order(order);
      const { peer } = await place.controller.agent();
      const followFrom = (offset: number) =>
        peer.call('runs.follow', { id: order.id, offset, waitMs: 5_000 }, { timeoutMs: 10_000 });
      let text = '';
      let offset = 0;
      const follow = async () => {
        const chunk = await followFrom(offset);
        text += chunk.text;
        offset = chunk.offset;
        return chunk.ended;
      };
      await until('its first words', 20_000, async () => {
        await follow();
        return text === 'line 1\nline 2\nline 3\n' ? true : undefined;
      });
      await place.exec('n1', 'touch', READ);
      await until('the loss of its first words', 20_000, async () => {
        const chunk = await followFrom(0);
        return chunk.offset > chunk.text.length ? true : undefined;
      });
      await place.exec('n1', 'touch', CUT);
      for (let ended = false; !ended; ) ended = await follow();
      assert.ok(text.length < 1_500_000);
      assert.ok(text.endsWith('\nend\n'));
      const { result } = await place.controller.ended(order.id);
      assert.equal(result.tail.length, 16 * 1024);
      assert.ok(result.tail.endsWith('\nend\n'));
    });
  });

  void describe('never run twice at once', () => {
    void it('the node itself refuses a second run of an overlap key', async () => {
      const first = await beginLiving({ overlapKey: 'shared' });
      const second = makeOrder(['true'], { overlapKey: 'shared' });
      const refused = { id: second.id, why: 'a run of the same overlap key is on the node' };
      assert.deepEqual(await place.controller.order(second), { started: [], refused: [refused] });
      // The same order again is no second run.
      assert.deepEqual((await place.controller.order(first)).started, [first.id]);
      place.controller.lost.add(first.id);
      assert.equal((await place.controller.ended(first.id)).result.cause, 'lease');
      assert.equal((await run(['true'], { overlapKey: 'shared' })).cause, 'exit');
    });

    void it('a run whose lease is lost is killed at once', async () => {
      // So long that it does not end by itself meanwhile.
      place.controller.leaseMs = 3 * LEASE_MS;
      const order = await beginLiving();
      await place.controller.held(order.id);
      const sinceMs = clock.monotonicMs();
      place.controller.lost.add(order.id);
      const { result } = await place.controller.ended(order.id);
      assert.deepEqual([result.cause, result.signal], ['lease', 'SIGKILL']);
      assert.ok((await lastSign()) < sinceMs + LEASE_MS - KILL_MARGIN_MS);
    });

    void it('an order that comes too late is refused', async () => {
      const { peer, beat } = await place.controller.agent();
      const late = makeOrder(['true']);
      const order = { beat, leaseMs: KILL_MARGIN_MS + 500, runs: [late] };
      const bound = { timeoutMs: 5_000 };
      assert.deepEqual((await peer.call('runs.start', order, bound)).refused, [
        { id: late.id, why: 'the order came too late' },
      ]);
      const unknown = await peer.call('runs.start', { ...order, beat: 'of-another-life', leaseMs: LEASE_MS }, bound);
      assert.deepEqual(unknown.refused, [{ id: late.id, why: 'the agent was started anew meanwhile' }]);
    });
  });

  void describe('outlive their agent, but not their lease', () => {
    void it('killed: the run goes on, the next agent adopts it and tells what ended meanwhile', async () => {
      // It holds until there is a next agent, however long that takes to start.
      place.controller.leaseMs = 3 * LEASE_MS;
      const living = await beginLiving();
      const ending = makeOrder(['sh', '-c', 'echo done; sleep 1; exit 3'], { node: 'n2' });
      await place.controller.order(ending);
      await place.agent().kill();
      const leaseEndMs = lastAnswerMs() + place.controller.leaseMs;
      place.controller.leaseMs = LEASE_MS;
      await place.exec('n2', 'sh', '-c', `while pgrep -u ${SITES.one.uid} > /dev/null; do sleep 0.05; done`);
      const beforeMs = await lastSign();
      place.startAgent();
      const { result } = await place.controller.ended(ending.id);
      assert.deepEqual([result.cause, result.code, result.tail], ['exit', 3, 'done\n']);
      await place.controller.held(living.id);
      const { refused } = await place.controller.order(makeOrder(['true'], { overlapKey: living.overlapKey }));
      assert.equal(refused.length, 1);
      assert.ok((await lastSign()) > beforeMs);
      // Past the lease that the killed agent had: the new one renews it.
      while (clock.monotonicMs() < leaseEndMs) await place.controller.beats(1);
      const nowMs = clock.monotonicMs();
      assert.ok((await lastSign()) > nowMs - 1_000);
      place.controller.lost.add(living.id);
      assert.equal((await place.controller.ended(living.id)).result.cause, 'lease');
    });

    void it('killed for longer than the lease: the run is dead by then, and the next agent says why', async () => {
      const order = await beginLiving();
      await place.controller.held(order.id);
      await place.agent().kill();
      await place.exec('n1', 'sh', '-c', `while pgrep -u ${SITES.one.uid} > /dev/null; do sleep 0.05; done`);
      assert.ok((await lastSign()) < lastAnswerMs() + LEASE_MS);
      place.startAgent();
      const { result } = await place.controller.ended(order.id);
      assert.deepEqual([result.cause, result.signal], ['lease', 'SIGKILL']);
      await place.controller.beats(2);
    });

    /** Sends a signal to the first process of a node: its systemd. */
    const signalInit = async (signal: NodeJS.Signals) => {
      process.kill((await place.fleet.instances.readState('n1')).pid, signal);
    };
    for (const [title, stop, goOn] of [
      [
        'the agent frozen (SIGSTOP)',
        () => place.agent().child.kill('SIGSTOP'),
        () => place.agent().child.kill('SIGCONT'),
      ],
      ['the agent cut off from its controller', () => place.controller.cut(), () => place.controller.open()],
      [
        'the agent cut off, and the node’s systemd frozen',
        async () => {
          await signalInit('SIGSTOP');
          place.controller.cut();
        },
        async () => {
          await signalInit('SIGCONT');
          place.controller.open();
        },
      ],
    ] as const) {
      void it(`${title}: the run is dead before its lease ends`, async () => {
        const order = await beginLiving();
        await place.controller.held(order.id);
        await stop();
        let answeredAtMs: number[];
        try {
          // Those that nobody has reaped yet are dead too.
          const isAlive = `ps -u ${SITES.one.uid} -o stat= | grep -qv Z`;
          await place.exec('n1', 'sh', '-c', `while ${isAlive}; do sleep 0.05; done`);
          answeredAtMs = place.controller.answeredAtMs.slice(-2);
        } finally {
          await goOn();
        }
        const diedMs = await lastSign();
        const { result } = await place.controller.ended(order.id);
        assert.deepEqual([result.cause, result.signal], ['lease', 'SIGKILL']);
        await place.controller.beats(1);
        const [heardMs = Number.NaN, lastMs = Number.NaN] = answeredAtMs;
        process.stdout.write(`    ${title}: alive for ${Math.round(diedMs - lastMs)} ms of ${LEASE_MS}\n`);
        assert.ok(diedMs < lastMs + LEASE_MS);
        // Not much too early either: the agent has heard all answers but the last, and every other one sets the switch anew.
        assert.ok(diedMs > heardMs + LEASE_MS - KILL_MARGIN_MS - 2_500);
      });
    }

    void it('a node that is started anew has ended its runs', async () => {
      const order = await beginLiving();
      await place.fleet.instances.restart('n1', { force: true });
      const { result } = await place.controller.ended(order.id);
      assert.deepEqual([result.cause, result.code], ['killed', null]);
      await place.startNode('n1');
      assert.equal((await run(['true'])).cause, 'exit');
    });

    void it('a node that is stopped ends its runs, and is served again when it is back', async () => {
      const order = await beginLiving();
      await place.fleet.instances.stop('n1', { force: true });
      const { result } = await place.controller.ended(order.id);
      assert.deepEqual([result.cause, result.tail], ['killed', 'its node was stopped\n']);
      await place.startNode('n1');
      assert.equal((await run(['true'])).cause, 'exit');
    });
  });

  void describe('under the real sequencer, judged by what the tasks’ own processes wrote down', () => {
    let real: RealSequencer;
    before(async () => {
      await place.agent().kill();
      real = await makeRealSequencer(place);
      for (const server of ['s1', 's2'] as const) real.startAgent(server);
      for (const name of ['a', 'b', 'c', 'd']) await real.addTask({ name: `short-${name}`, everyS: 2, takesS: 0.4 });
      for (const name of ['a', 'b', 'c', 'd']) await real.addTask({ name: `long-${name}`, everyS: 4, takesS: 20 });
      await real.until('runs succeed on both servers', async () => {
        const counts = [await real.count('succeeded', 's1'), await real.count('succeeded', 's2')];
        return counts.every((count) => count >= 5);
      });
    });
    after(() => real.close());
    /** Goes on until a server has done some more. */
    const untilMore = async (server: ServerName) => {
      const before = await real.count('succeeded', server);
      await real.until(`${server} works`, async () => (await real.count('succeeded', server)) >= before + 5);
    };

    void it('an agent that is killed and started anew loses nothing', async () => {
      const lost = await real.count('lost');
      await real.agent('s1').kill();
      real.startAgent('s1');
      await untilMore('s1');
      assert.equal(await real.count('lost'), lost);
    });

    void it('an agent frozen past its leases: its runs go on elsewhere, and what it says then changes nothing', async () => {
      const [lost, stale] = [await real.count('lost', 's1'), await real.staleEnds()];
      real.agent('s1').child.kill('SIGSTOP');
      try {
        await real.until('its runs are taken back', async () => (await real.count('lost', 's1')) > lost);
        await untilMore('s2');
      } finally {
        real.agent('s1').child.kill('SIGCONT');
      }
      await real.until('its stale ends are counted', async () => (await real.staleEnds()) > stale);
      await untilMore('s1');
    });

    void it('an agent cut off: the same', async () => {
      const [lost, stale] = [await real.count('lost', 's2'), await real.staleEnds()];
      real.cut('s2');
      await real.until('its runs are taken back', async () => (await real.count('lost', 's2')) > lost);
      await untilMore('s1');
      real.open('s2');
      await real.until('its stale ends are counted', async () => (await real.staleEnds()) > stale);
      await untilMore('s2');
    });

    void it('no two processes of a task ever lived at once, each due time had one run or one skip, no success was made up', async () => {
      await real.drain();
      const { processes, killed } = await real.judge();
      process.stdout.write(`    ${processes} processes, ${killed} of them killed\n`);
      assert.ok(processes > 50 && killed >= 1);
    });
  });
});
