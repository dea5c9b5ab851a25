import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Problem } from '../../lib/errors.ts';
import { mergePolicy, parseAlert, parseSeconds, parseWindow } from './policy.ts';
import { drawSize, type RoundDocument, renderVotes } from './votes.ts';

const round = (change: Partial<RoundDocument>): RoundDocument => ({
  ...{ at: '2026-01-05T12:00:00.000000Z', wanted: 2, ready: 2, booting: 0, min: 2, max: 6 },
  ...{ voters: 2, grow: 0, shrink: 0, decision: 'stay', size: 2, reason: '0 of 2 voters for growing', foretold: null },
  votes: [
    { node: 'web-a', vote: 'none', reason: 'busy-workers is 5', values: [5] },
    { node: 'web-b', vote: 'none', reason: 'busy-workers is 4', values: [4] },
  ],
  ...change,
});
const plain = { paint: (_: unknown, text: string) => text };
const isUsage = (thrown: unknown) => thrown instanceof Problem && thrown.code === 'cli.usage';

void describe('the history of votes', () => {
  void it('draws what serves, what boots, what is wanted and how far it may go', () => {
    assert.equal(drawSize(round({})), '██····');
    assert.equal(drawSize(round({ booting: 1, wanted: 4 })), '██▒|··');
    assert.equal(drawSize(round({ ready: 3, max: 2 })), '███');
  });

  void it('has a line for each round in which something changed, and the last', () => {
    const reason = (left: number) =>
      `2 of 2 voters for growing: n0: busy-workers is 9, but calm time has ${left} s left`;
    const rounds = [
      round({}),
      round({ at: '2026-01-05T12:00:10Z' }),
      round({
        at: '2026-01-05T12:00:20Z',
        decision: 'blocked',
        reason: reason(30),
        votes: [{ node: 'web-a', vote: 'grow', reason: 'busy', values: [9] }],
      }),
      round({
        at: '2026-01-05T12:00:30Z',
        decision: 'blocked',
        reason: reason(20),
        votes: [{ node: 'web-a', vote: 'grow', reason: 'busy', values: [9] }],
      }),
      round({
        at: '2026-01-05T12:00:40Z',
        decision: 'grow',
        size: 4,
        foretold: 5,
        reason: '2 of 2 voters for growing',
        votes: [],
      }),
    ];
    assert.equal(
      renderVotes(rounds, {}, plain),
      `TIME                  SIZE    NODES  VOTES  DECISION
2026-01-05T12:00:00Z  ██····  2      ··     stay: 0 of 2 voters for growing
2026-01-05T12:00:20Z  ██····  2      ▲      blocked: 2 of 2 voters for growing: n0: busy-workers is 9, but calm time has 30 s left
2026-01-05T12:00:40Z  ██····  2      -      grow to 4: 2 of 2 voters for growing [last week: 5]
`,
    );
    assert.equal(renderVotes(rounds, { all: true }, plain).split('\n').length, 7);
    assert.match(renderVotes(rounds, { nodes: true }, plain), /\n {22}· web-a: busy-workers is 5\n/);
    assert.equal(renderVotes([], {}, plain), 'No round of votes yet.\n');
  });
});

void describe('a policy as people write it', () => {
  void it('has alerts, durations and windows of the week', () => {
    assert.deepEqual(parseAlert('cpu > 80% for 3m', 'grow'), {
      metric: 'cpu',
      is: '>',
      threshold: 80,
      forS: 180,
      vote: 'grow',
    });
    assert.equal(parseAlert('worker-queue>0.5', 'grow').forS, 60);
    assert.equal(parseSeconds('1h'), 3_600);
    assert.deepEqual(parseWindow('fri-mon 08:00-18:00 min=4 max=8'), {
      days: ['fri', 'sat', 'sun', 'mon'],
      from: '08:00',
      to: '18:00',
      min: 4,
      max: 8,
    });
  });

  void it('is refused with an example where it cannot be read', () => {
    for (const bad of [
      () => parseAlert('cpu is high', 'grow'),
      () => parseSeconds('soon'),
      () => parseWindow('someday 1-2'),
      () => parseWindow('mon 08:00-09:00 most=3'),
    ])
      assert.throws(bad, isUsage);
    assert.throws(() => mergePolicy({}, { growBy: 'half' }), isUsage);
  });

  void it('keeps what is not named, and replaces the alerts of a vote as a whole', () => {
    const present = {
      min: 2,
      max: 4,
      calmS: 300,
      alerts: [parseAlert('cpu > 80', 'grow'), parseAlert('cpu < 20', 'shrink')],
    };
    const merged = mergePolicy(present, { max: 8, grow: ['busy-workers > 5'], growBy: '50%' });
    assert.deepEqual(merged, {
      ...{ min: 2, max: 8, calmS: 300, growBy: 50, growUnit: 'percent' },
      alerts: [parseAlert('busy-workers > 5', 'grow'), parseAlert('cpu < 20', 'shrink')],
    });
  });
});
