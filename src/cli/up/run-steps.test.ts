// Local steps: shown as they go, and stopping at the first that fails with what it had said.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { type Clock, makeSystemClock } from '../../lib/clock.ts';
import { makeJsonDisplay, makeLiveDisplay, makePlainDisplay } from '../steps/displays.ts';
import { makeMemoryTerminal } from '../terminal.ts';
import { type HostStep, runSteps, StepFailed } from './run-steps.ts';

/** A second goes by each time somebody looks. */
function makeTickingClock(): Clock {
  let nowMs = 0;
  return {
    ...makeSystemClock(),
    nowMs: () => {
      nowMs += 500;
      return nowMs;
    },
  };
}
const stillClock: Clock = { ...makeSystemClock(), nowMs: () => 0 };
const signal = new AbortController().signal;

const steps: HostStep[] = [
  { name: 'Look', run: () => Promise.resolve('all there') },
  {
    name: 'Install',
    run: (say) => {
      say('Get:1 rsync');
      say('E: no space');
      return Promise.reject(new Error('apt failed'));
    },
  },
  { name: 'Never', run: () => assert.fail('a step after a failed one must not run') },
];

void test('each step is a line when it ends, and the failed one carries its log', async () => {
  const terminal = makeMemoryTerminal();
  const display = makePlainDisplay(terminal, stillClock);
  const isFailure = (thrown: unknown) =>
    thrown instanceof StepFailed &&
    thrown.step === 'Install' &&
    thrown.lines.join() === 'Get:1 rsync,E: no space' &&
    (thrown.cause as Error).message === 'apt failed';
  await assert.rejects(runSteps(steps, { display, clock: makeTickingClock(), signal }), isFailure);
  display.close();
  assert.equal(terminal.stderr(), '✓ Look 0.5 s (all there)\n✗ Install 0.5 s (E: no space)\n');
});

void test('with --json each change is a JSON line on standard output', async () => {
  const terminal = makeMemoryTerminal();
  const display = makeJsonDisplay(terminal, stillClock);
  await runSteps(steps.slice(0, 1), { display, clock: makeTickingClock(), signal });
  assert.deepEqual(
    terminal
      .stdout()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
    [
      { step: 'host/Look', name: 'Look', state: 'running', seconds: 0 },
      { step: 'host/Look', name: 'Look', state: 'done', seconds: 0.5, note: 'all there' },
    ],
  );
});

void test('on a terminal the tree is redrawn in place and stays whole at the end', async () => {
  const terminal = makeMemoryTerminal({ live: true });
  const display = makeLiveDisplay(terminal, stillClock);
  await runSteps(steps.slice(0, 1), { display, clock: makeTickingClock(), signal });
  display.close();
  const drawn = terminal.stderr();
  const last = stripVTControlCharacters(drawn.split('\u001b[1A').at(-1) ?? '');
  assert.equal(last, '✓ Look 0.5 s (all there)\n');
  assert.ok(drawn.endsWith('\u001b[?25h'), 'the cursor must be shown again');
});

void test('an interrupt ends the steps with its own reason, not as a failure', async () => {
  const interrupt = new AbortController();
  const cut: HostStep = {
    name: 'Cut',
    run: () => {
      interrupt.abort(new Error('interrupted'));
      return Promise.reject(new Error('killed'));
    },
  };
  const parts = {
    display: { update: () => undefined, close: () => undefined },
    clock: stillClock,
    signal: interrupt.signal,
  };
  await assert.rejects(runSteps([cut], parts), { message: 'interrupted' });
});
