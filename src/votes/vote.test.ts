import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { makeNode, makePolicy, NOW_MS } from './test-policy.ts';
import { castVote, FROZEN_MS, type NodeVote } from './vote.ts';

const S = 1_000;
const policy = makePolicy();

/** Casts one vote after another, as the rounds do. */
function castAll(values: readonly [atS: number, value: number | undefined][], of = policy): NodeVote {
  let vote: NodeVote | undefined;
  for (const [atS, value] of values) {
    const nowMs = NOW_MS + atS * S;
    const figures = value === undefined ? undefined : { 'busy-workers': value, cpu: value };
    vote = castVote(of, makeNode('n', figures, { takenAtMs: nowMs }), vote, nowMs);
  }
  assert.ok(vote);
  return vote;
}

void describe('a vote', () => {
  void it('is cast only when the condition has held for its whole duration', () => {
    assert.equal(
      castAll([
        [0, 9],
        [59, 9],
      ]).vote,
      'none',
    );
    assert.equal(
      castAll([
        [0, 9],
        [30, 9],
        [60, 9],
      ]).vote,
      'grow',
    );
    assert.equal(
      castAll([
        [0, 9],
        [30, 5],
        [60, 9],
      ]).vote,
      'none',
    );
    assert.equal(
      castAll([
        [0, 1],
        [120, 1],
      ]).vote,
      'shrink',
    );
  });

  void it('says the numbers', () => {
    assert.equal(
      castAll([
        [0, 9],
        [60, 12],
      ]).reason,
      'busy-workers is 12 (> 8 for 60 s)',
    );
    assert.equal(
      castAll([
        [0, 9],
        [20, 9],
      ]).reason,
      'busy-workers is 9, > 8 for 20 of 60 s',
    );
    assert.equal(castAll([[0, 5]]).reason, 'busy-workers is 5');
  });

  void it('is the sign of the alerts to grow less the alerts to shrink: one a node', () => {
    const three = makePolicy({
      alerts: [
        { metric: 'busy-workers', is: '>', threshold: 8, forS: 0, vote: 'grow' },
        { metric: 'cpu', is: '>', threshold: 8, forS: 0, vote: 'grow' },
        { metric: 'response-time', is: '<', threshold: 100, forS: 0, vote: 'shrink' },
      ],
    });
    const cast = (values: object) => castVote(three, makeNode('n', values), undefined, NOW_MS);
    assert.equal(cast({ 'busy-workers': 9, cpu: 9, 'response-time': 1 }).vote, 'grow');
    assert.equal(cast({ 'busy-workers': 9, cpu: 1, 'response-time': 1 }).vote, 'none');
    assert.match(
      cast({ 'busy-workers': 9, cpu: 1, 'response-time': 1 }).reason,
      /^as many alerts to grow as to shrink/,
    );
    assert.equal(cast({ 'busy-workers': 1, cpu: 1, 'response-time': 1 }).vote, 'shrink');
  });

  void it('is none of a node that is silent, and what held before the silence begins anew', () => {
    const before = castAll([
      [0, 9],
      [50, 9],
    ]);
    const silent = castVote(
      policy,
      makeNode('n', { 'busy-workers': 9 }, { takenAtMs: NOW_MS + 50 * S }),
      before,
      NOW_MS + 70 * S,
    );
    assert.deepEqual([silent.vote, silent.reason], ['none', 'silent: its last figures are 20 s old']);
    const back = castVote(
      policy,
      makeNode('n', { 'busy-workers': 9 }, { takenAtMs: NOW_MS + 71 * S }),
      silent,
      NOW_MS + 71 * S,
    );
    assert.equal(back.vote, 'none');
    assert.equal(
      castVote(policy, makeNode('n', undefined), undefined, NOW_MS).reason,
      'nothing has been heard of it yet',
    );
  });

  void it('is none on a figure that is missing, not a number or below nothing, and says which', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      const vote = castAll([
        [0, value],
        [300, value],
      ]);
      assert.deepEqual([vote.vote, vote.reason], ['none', 'busy-workers is missing']);
    }
    const sample = { takenAtMs: NOW_MS, values: {}, missing: { 'busy-workers': 'its sockets cannot be read' } };
    const told = castVote(policy, { name: 'n', sample }, undefined, NOW_MS);
    assert.equal(told.reason, 'busy-workers is missing: its sockets cannot be read');
  });

  void it('to shrink needs every figure; to grow one suffices', () => {
    const two = makePolicy({
      alerts: [...policy.alerts, { metric: 'cpu', is: '>', threshold: 80, forS: 0, vote: 'grow' }],
    });
    const cast = (value: number) => {
      const first = castVote(two, makeNode('n', { 'busy-workers': value }), undefined, NOW_MS);
      const later = NOW_MS + 300 * S;
      return castVote(two, makeNode('n', { 'busy-workers': value }, { takenAtMs: later }), first, later);
    };
    assert.deepEqual([cast(1).vote, cast(1).reason], ['none', 'would shrink, but cpu is missing']);
    assert.equal(cast(9).vote, 'grow');
  });

  void it('is none on a measured quantity that stays the very same for ten minutes', () => {
    const cpu = makePolicy({ alerts: [{ metric: 'cpu', is: '>', threshold: 8, forS: 60, vote: 'grow' }] });
    const until = (ms: number) =>
      castAll(
        Array.from({ length: ms / 5_000 + 1 }, (_, index) => [index * 5, 91.3]),
        cpu,
      );
    assert.equal(until(FROZEN_MS - 5_000).vote, 'grow');
    assert.match(until(FROZEN_MS).reason, /^cpu has stood at 91.3 for 600 s: its source is stuck$/);
    assert.equal(until(FROZEN_MS).vote, 'none');
  });

  void it('never comes from figures that were taken too long ago, whatever they say', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: false }), fc.integer({ min: 10_000, max: 1e9 }), (value, ageMs) => {
        const node = makeNode('n', { 'busy-workers': value }, { takenAtMs: NOW_MS - ageMs });
        assert.equal(castVote(policy, node, undefined, NOW_MS).vote, 'none');
      }),
    );
  });
});
