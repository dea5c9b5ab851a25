// Plain lines: what is told of a step tree, and in which order.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, makeSystemClock } from '../../lib/clock.ts';
import { makeMemoryTerminal } from '../terminal.ts';
import { makePlainDisplay } from './displays.ts';
import type { StepNode, StepState } from './step-tree.ts';

const nodeOf = (name: string, state: StepState, startedMs: number, endedMs?: number, children: StepNode[] = []) =>
  ({ id: name, name, state, startedMs, ...(endedMs === undefined ? {} : { endedMs }), children }) satisfies StepNode;

function makePlain() {
  let nowMs = 0;
  const clock: Clock = { ...makeSystemClock(), nowMs: () => nowMs };
  const terminal = makeMemoryTerminal();
  const display = makePlainDisplay(terminal, clock);
  const show = (atMs: number, ...roots: StepNode[]) => {
    nowMs = atMs;
    display.update(roots);
  };
  const pass = (toMs: number) => {
    nowMs = toMs;
  };
  return { show, pass, close: display.close, shown: () => terminal.stderr() };
}

void test('a step that ends soon is one line, a long one tells its start too, and a parent ends after its children', () => {
  const { show, close, shown } = makePlain();
  const soon = nodeOf('soon', 'done', 100, 200);
  show(50, nodeOf('all', 'running', 0, undefined, [nodeOf('soon', 'running', 40)]));
  assert.equal(shown(), '');
  show(300, nodeOf('all', 'running', 0, undefined, [soon, nodeOf('long', 'running', 200)]));
  show(1100, nodeOf('all', 'running', 0, undefined, [soon, nodeOf('long', 'running', 200)]));
  show(1300, nodeOf('all', 'running', 0, undefined, [soon, nodeOf('long', 'running', 200)]));
  show(2000, nodeOf('all', 'done', 0, 2000, [soon, nodeOf('long', 'done', 200, 2000)]));
  close();
  assert.equal(
    shown(),
    `  ✓ all › soon 0.1 s
… all
  … long
  ✓ long 1.8 s
✓ all 2.0 s
`,
  );
});

void test('the start of a long step is told although nothing changes, and nothing after the end', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { show, pass, close, shown } = makePlain();
  show(0, nodeOf('quiet', 'running', 0), nodeOf('late', 'running', 500));
  t.mock.timers.tick(1_000);
  assert.equal(shown(), '');
  pass(1_000);
  t.mock.timers.tick(1_000);
  assert.equal(shown(), '… quiet\n');
  close();
  pass(9_000);
  t.mock.timers.tick(1_000);
  assert.equal(shown(), '… quiet\n');
});
