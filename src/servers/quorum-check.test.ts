// When the doctor says that the engine's cluster decides nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeQuorum } from './quorum-check.ts';
import type { ServerState } from './store.ts';

const judge = (...states: ServerState[]) =>
  judgeQuorum(states.map((state, at) => ({ name: `s${at + 1}`, state, isEngineSilent: false })));

test('an Incus that is down counts as away although the agent beside it is heard', () => {
  const servers = ['s1', 's2', 's3'].map((name) => ({ name, state: 'ready' as const, isEngineSilent: name !== 's1' }));
  assert.equal(judgeQuorum(servers).status, 'fail');
  assert.match(judgeQuorum(servers).detail, /while s2, s3 are away/);
});

test('with half of the servers away, or more, the doctor says what cannot be done', () => {
  assert.deepEqual(judge('ready', 'draining', 'lost', 'joining'), { status: 'ok', detail: '2 of 3 servers are heard' });
  assert.equal(judge('ready').status, 'ok');
  assert.equal(judge('ready', 'lost').status, 'fail');
  assert.match(
    judge('ready', 'fenced', 'lost').detail,
    /^1 of 3 servers are heard, and Incus decides by more than half: while s2, s3 are away no container is made/,
  );
});
