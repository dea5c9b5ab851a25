import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Round, runRound, type Situation, scatter, votesNeeded } from './decide.ts';
import { busy, makeNode, makePolicy, makeSituation, NOW_MS } from './test-policy.ts';

const S = 1_000;
const policy = makePolicy();

/** Rounds every 10 s for so long over one situation; gives the last. */
function runFor(seconds: number, situation: Situation, of = policy): Round {
  let round: Round | undefined;
  for (let atS = 0; atS <= seconds; atS += 10) {
    const nowMs = situation.nowMs + atS * S;
    const nodes = situation.nodes.map((node) => ({
      ...node,
      sample: node.sample === undefined ? undefined : { ...node.sample, takenAtMs: node.sample.takenAtMs + atS * S },
    }));
    round = runRound(of, { ...situation, nowMs, nodes }, round);
  }
  assert.ok(round);
  return round;
}

void describe('a decision', () => {
  void it('grows by N when enough nodes have voted for it, and says whose figures', () => {
    const round = runFor(60, makeSituation({ nodes: busy(9, 9, 1) }));
    assert.deepEqual([round.decision, round.size], ['grow', 5]);
    assert.equal(
      round.reason,
      '2 of 3 voters for growing, 0 for shrinking, 2 needed: n0: busy-workers is 9 (> 8 for 60 s)',
    );
  });

  void it('grows by a share of its size, rounded up, and never past its most', () => {
    const half = makePolicy({ growBy: 50, growUnit: 'percent' });
    assert.equal(runFor(60, makeSituation({ nodes: busy(9, 9, 9) }), half).size, 5);
    assert.equal(runFor(60, makeSituation({ nodes: busy(9, 9, 9, 9, 9) })).size, 6);
    const full = runFor(60, makeSituation({ nodes: busy(9, 9, 9, 9, 9, 9) }));
    assert.deepEqual([full.decision, full.size], ['stay', 6]);
    assert.match(full.reason, /it has its most, 6$/);
  });

  void it('shrinks by one once the votes have held for the stabilisation window', () => {
    const three = makeSituation({ nodes: busy(1, 1, 1) });
    const early = runFor(300, three);
    assert.deepEqual([early.decision, early.size], ['blocked', 3]);
    assert.match(early.reason, /but the votes must hold for another 120 s$/);
    assert.deepEqual([runFor(420, three).decision, runFor(420, three).size], ['shrink', 2]);
  });

  void it('needs all of one or two voters, two of three and three of four at 51 %', () => {
    assert.deepEqual(
      [1, 2, 3, 4, 100].map((voters) => votesNeeded(voters, 51)),
      [1, 2, 2, 3, 51],
    );
    assert.equal(votesNeeded(3, 100), 3);
    assert.equal(votesNeeded(10, 1), 1);
    assert.equal(runFor(60, makeSituation({ nodes: busy(9, 1) })).decision, 'stay');
  });

  void it('takes no vote of booting nodes, and takes them for capacity that was asked for', () => {
    const nodes = [
      ...busy(9, 9),
      makeNode('b1', { 'busy-workers': 0 }, { state: 'booting' }),
      makeNode('b2', undefined, { state: 'booting' }),
    ];
    const round = runFor(60, makeSituation({ nodes }));
    assert.deepEqual([round.voters, round.grow, round.booting, round.decision], [2, 2, 2, 'stay']);
    assert.match(round.reason, /2 nodes boot already$/);
    const one = runFor(60, makeSituation({ nodes: nodes.slice(0, 3) }));
    assert.deepEqual([one.decision, one.size], ['grow', 4]);
  });

  void it('counts a silent node as a voter for nothing', () => {
    const one = runFor(600, makeSituation({ nodes: [...busy(1), makeNode('x', undefined), makeNode('y', undefined)] }));
    assert.deepEqual([one.decision, one.voters, one.shrink], ['stay', 3, 1]);
    const all = runFor(
      600,
      makeSituation({ nodes: [makeNode('x', undefined), makeNode('y', undefined), makeNode('z', undefined)] }),
    );
    assert.deepEqual([all.decision, all.reason], ['stay', 'all 3 voters are silent: nothing has been heard of it yet']);
  });

  void it('does not resize in the calm time after a resize, but keeps to the bounds at once', () => {
    const calm = runFor(60, makeSituation({ nodes: busy(9, 9), resizedAtMs: NOW_MS }));
    assert.deepEqual([calm.decision, calm.size], ['blocked', 2]);
    assert.match(calm.reason, /calm time has 840 s left$/);
    const few = runFor(0, makeSituation({ nodes: busy(5), resizedAtMs: NOW_MS }));
    assert.deepEqual([few.decision, few.size, few.reason], ['bounds', 2, '1 wanted, at least 2']);
    const many = runFor(0, makeSituation({ nodes: busy(5, 5, 5, 5, 5, 5, 5, 5), resizedAtMs: NOW_MS }));
    assert.deepEqual([many.decision, many.size], ['bounds', 6]);
  });

  void it('does not shrink while a node boots, drains, is unhealthy or lost, nor during a roll', () => {
    for (const state of ['booting', 'draining', 'unhealthy', 'lost'] as const) {
      const round = runFor(600, makeSituation({ nodes: [...busy(1, 1, 1), makeNode('odd', undefined, { state })] }));
      assert.deepEqual([round.decision, round.reason.endsWith(`but odd is ${state}`)], ['blocked', true]);
    }
    const roll = runFor(600, makeSituation({ nodes: busy(1, 1, 1), unsettled: 'the pool is rolled' }));
    assert.match(roll.reason, /but the pool is rolled$/);
  });

  void it('does not shrink when those that remain would vote to grow', () => {
    const narrow = makePolicy({
      min: 1,
      alerts: [
        { metric: 'busy-workers', is: '>', threshold: 4, forS: 0, vote: 'grow' },
        { metric: 'busy-workers', is: '<', threshold: 3, forS: 0, vote: 'shrink' },
      ],
    });
    const round = runFor(600, makeSituation({ nodes: busy(2.5, 2.5) }), narrow);
    assert.equal(round.decision, 'stay');
    assert.match(round.reason, /busy-workers would be 5 on each of 1 node that remain, over 4$/);
  });

  void it('stops growing when new nodes fail, says so, and waits longer each time', () => {
    const failing = (count: number, agoS: number) =>
      runFor(
        60,
        makeSituation({ nodes: busy(9, 9), failures: { count, lastMs: NOW_MS - agoS * S, why: 'no answer' } }),
      );
    assert.match(failing(1, 0).reason, /but the last new node failed \(no answer\); it is tried again in 840 s$/);
    assert.equal(failing(1, 900).decision, 'grow');
    assert.equal(failing(2, 900).decision, 'blocked');
    assert.equal(failing(9, 1_700).decision, 'blocked');
    assert.equal(failing(9, 1_800).decision, 'grow');
  });

  void it('keeps below the lowest ceiling, and says which it is', () => {
    const ceilings = [
      { most: 5, why: 'memory' },
      { most: 3, why: 'db1 is full' },
    ];
    const round = runFor(60, makeSituation({ nodes: busy(9, 9), ceilings }));
    assert.deepEqual([round.decision, round.size], ['grow', 3]);
    assert.match(round.reason, /no more than 3: db1 is full$/);
    const none = runFor(60, makeSituation({ nodes: busy(9, 9), ceilings: [{ most: 2, why: 'db1 is full' }] }));
    assert.deepEqual([none.decision, none.size], ['blocked', 2]);
    assert.match(none.reason, /but db1 is full$/);
  });

  void it('of pools that see the same fault comes one after the other', () => {
    const others = { othersGrow: ['shop'], nodes: busy(9, 9) };
    const round = runFor(60, makeSituation({ ...others, pool: 'web' }));
    assert.equal(round.decision, 'blocked');
    assert.match(round.reason, /but shop grows at the same time; its turn is in \d+ s$/);
    assert.equal(runFor(90, makeSituation({ ...others, pool: 'web' })).decision, 'grow');
    assert.notEqual(scatter('web'), scatter('shop'));
  });

  void it('is blocked, not forgotten, while somebody holds the pool', () => {
    const round = runFor(60, makeSituation({ nodes: busy(9, 9), paused: 'a person paused it' }));
    assert.deepEqual([round.decision, round.grow], ['blocked', 2]);
    assert.match(round.reason, /but a person paused it$/);
  });

  void it('takes the last node only when nobody has visited for the idle time, and wakes for the first visitor', () => {
    const zero = makePolicy({ min: 0, idleS: 600 });
    const idle = (lastMs: number | undefined) => makeSituation({ nodes: busy(0), visits: { lastMs, held: 0 } });
    assert.deepEqual([runFor(600, idle(NOW_MS), zero).decision, runFor(600, idle(NOW_MS), zero).size], ['shrink', 0]);
    assert.equal(runFor(500, idle(NOW_MS), zero).decision, 'stay');
    assert.equal(runFor(900, idle(undefined), zero).decision, 'stay');
    const working = { ...idle(NOW_MS - 700 * S), work: '"Delete the site a" (1) is running' };
    const kept = runFor(0, working, makePolicy({ min: 0, idleS: 600, calmS: 0 }));
    assert.deepEqual([kept.size, kept.reason], [1, 'the last node stays: "Delete the site a" (1) is running']);
    const empty = (held: number) => makeSituation({ nodes: [], visits: { lastMs: NOW_MS, held }, resizedAtMs: NOW_MS });
    assert.deepEqual(
      [runFor(0, empty(2), zero).size, runFor(0, empty(2), zero).reason],
      [1, '2 visitors wait at the edge of an empty pool'],
    );
    assert.equal(runFor(0, empty(0), zero).decision, 'stay');
    assert.equal(runFor(0, { ...empty(1), paused: 'ann paused it' }, zero).size, 1);
    assert.equal(runFor(0, { ...empty(1), held: 'it is rolled' }, zero).size, 0);
  });

  void it('begins its durations anew after a gap in which nobody looked, and after a clock that jumped', () => {
    const first = runRound(policy, makeSituation({ nodes: busy(9, 9) }), undefined);
    const after = (seconds: number) => {
      const nowMs = NOW_MS + seconds * S;
      const nodes = busy(9, 9).map(({ name }) => makeNode(name, { 'busy-workers': 9 }, { takenAtMs: nowMs }));
      return runRound(policy, makeSituation({ nowMs, nodes }), first).votes[0]?.alerts[0]?.sinceMs;
    };
    assert.equal(after(15), NOW_MS);
    assert.equal(after(600), NOW_MS + 600 * S);
    assert.equal(after(-600), NOW_MS - 600 * S);
  });

  void it('grows ahead of need only when that is switched on, and always shows what it would have wanted', () => {
    const off = runFor(0, makeSituation({ foretold: 4 }));
    assert.deepEqual([off.decision, off.foretold], ['stay', 4]);
    const on = runFor(0, makeSituation({ foretold: 4 }), makePolicy({ ahead: true }));
    assert.deepEqual([on.decision, on.size, on.reason], ['grow', 4, 'the last week needed 4 at this hour']);
    const silent = makeSituation({ foretold: 4, nodes: [makeNode('x', undefined)], wanted: 2 });
    assert.equal(runFor(0, silent, makePolicy({ ahead: true })).decision, 'stay');
  });

  const anySituation = fc.record({
    values: fc.array(fc.oneof(fc.double(), fc.integer({ min: 0, max: 20 })), { maxLength: 9 }),
    ageMs: fc.integer({ min: 0, max: 20_000 }),
    states: fc.array(fc.constantFrom('booting', 'ready', 'ready', 'ready', 'draining', 'unhealthy', 'lost'), {
      minLength: 9,
      maxLength: 9,
    }),
    wanted: fc.integer({ min: 0, max: 9 }),
    resizedAgoMs: fc.option(fc.integer({ min: -1e6, max: 1e7 })),
    most: fc.integer({ min: 0, max: 10 }),
    heldBy: fc.boolean(),
  });

  void it('never leaves the bounds, never moves on bad data, and always has a reason', () => {
    const quick = makePolicy({
      alerts: [
        { metric: 'busy-workers', is: '>', threshold: 8, forS: 0, vote: 'grow' },
        { metric: 'busy-workers', is: '<', threshold: 3, forS: 0, vote: 'shrink' },
      ],
      stabiliseS: 0,
    });
    fc.assert(
      fc.property(anySituation, ({ values, ageMs, states, wanted, resizedAgoMs, most, heldBy }) => {
        const nodes = values.map((value, index) =>
          makeNode(
            `n${index}`,
            { 'busy-workers': value },
            { state: states[index] ?? 'ready', takenAtMs: NOW_MS - ageMs },
          ),
        );
        const round = runRound(
          quick,
          makeSituation({
            ...{ nodes, wanted, held: heldBy ? 'held' : undefined, ceilings: [{ most, why: 'ceiling' }] },
            resizedAtMs: resizedAgoMs === null ? undefined : NOW_MS - resizedAgoMs,
          }),
          undefined,
        );
        assert.notEqual(round.reason, '');
        assert.ok(Number.isInteger(round.size));
        if (heldBy) assert.equal(round.size, wanted);
        if (round.size !== wanted) {
          assert.ok(round.size <= 6 && (round.size >= 2 || round.size > wanted), `${wanted} to ${round.size}`);
          assert.ok(round.size <= wanted || round.size <= most);
          assert.ok(['grow', 'shrink', 'bounds'].includes(round.decision));
        }
        if (round.decision === 'shrink') assert.equal(round.size, wanted - 1);
        if (round.decision === 'shrink') assert.ok(nodes.every(({ state }) => state === 'ready'));
        const good = nodes.filter(
          ({ state, sample }) => state === 'ready' && ageMs < 10_000 && Number.isFinite(sample?.values['busy-workers']),
        );
        if (good.length === 0) assert.ok(round.decision !== 'grow' && round.decision !== 'shrink');
      }),
      { numRuns: 2_000 },
    );
  });
});
