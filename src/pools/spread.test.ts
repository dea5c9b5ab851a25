// Who leaves when a pool shrinks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ServerState } from '../servers/store.ts';
import { orderBySpread } from './spread.ts';
import type { NodeRow, NodeState } from './store.ts';

const node = (name: string, server: string, state: NodeState = 'ready'): NodeRow => ({
  ...{ name, server, state, pool: 'shop', sitesOf: 'shop', generation: 0, address: null, imageNumber: 1, atEdge: true },
  ...{ reason: '', placement: null, stateSince: '', stateAgeMs: 0, createdAt: '' },
});
const server = (name: string, domain = name, state: ServerState = 'ready') => ({ name, domain, state });
const three = [server('s1'), server('s2'), server('s3')];
const names = (nodes: readonly NodeRow[]): string[] => nodes.map(({ name }) => name);

test('four nodes on two servers become two on two servers, although the oldest are together', () => {
  const living = [node('a', 's1'), node('b', 's1'), node('c', 's2'), node('d', 's2')];
  assert.deepEqual(names(orderBySpread(living, three).slice(0, 2)), ['a', 'c']);
});

test('of a server alone the oldest leaves first', () => {
  assert.deepEqual(names(orderBySpread([node('a', 's1'), node('b', 's1')], three)), ['a', 'b']);
});

test('a rack with two servers gives before another with one', () => {
  const racks = [server('s1', 'rack-a'), server('s2', 'rack-a'), server('s3', 'rack-b')];
  const living = [node('a', 's3'), node('b', 's1'), node('c', 's2')];
  assert.deepEqual(names(orderBySpread(living, racks)), ['b', 'a', 'c']);
});

test('what is on a server that is being emptied leaves before all others', () => {
  const servers = [server('s1'), server('s2', 's2', 'draining')];
  const living = [node('a', 's1'), node('b', 's1'), node('c', 's2')];
  assert.equal(names(orderBySpread(living, servers))[0], 'c');
});

test('a node that boots counts where it is and does not leave', () => {
  const living = [node('a', 's1'), node('b', 's2'), node('c', 's2', 'booting')];
  assert.deepEqual(names(orderBySpread(living, three)), ['b', 'a']);
});

test('whatever number leaves, no server keeps two more than one that had as many', () => {
  const homes = fc.array(fc.constantFrom('s1', 's2', 's3'), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(homes, fc.nat(12), (on, count) => {
      const living = on.map((home, at) => node(`n${at}`, home));
      const left = new Set(names(orderBySpread(living, three).slice(0, count)));
      const counts = (of: readonly NodeRow[]) =>
        three.map(({ name }) => of.filter((one) => one.server === name).length);
      const [before, after] = [counts(living), counts(living.filter(({ name }) => !left.has(name)))];
      // Only from the fullest: whoever gave has no fewer than any other kept, less one.
      const most = Math.max(...after);
      for (const [at, kept] of after.entries()) if (kept < (before[at] ?? 0)) assert.ok(kept >= most - 1);
    }),
  );
});
