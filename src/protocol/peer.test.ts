// Two peers wired to each other: answers, problems, deadlines, cancelling, disconnecting, and what is not of the protocol.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { makeSilentLogger } from '../lib/log.ts';
import { makePeer, type Peer } from './peer.ts';

const contract = {
  echo: { params: z.object({ value: z.unknown() }), result: z.unknown() },
  double: { params: z.object({ number: z.number() }), result: z.number() },
  never: { params: z.object({}), result: z.null() },
  refuse: { params: z.object({}), result: z.null() },
  crash: { params: z.object({}), result: z.null() },
  lie: { params: z.object({}), result: z.number() },
};
type Contract = typeof contract;

interface Pair {
  here: Peer<Contract>;
  there: Peer<Contract>;
  /** Signals given to `never`, as it was asked. */
  asked: AbortSignal[];
  /** Resolves when `never` is asked for the next time. */
  nextAsked(): Promise<AbortSignal>;
  sent: string[];
  closed: () => boolean;
}

/** Messages arrive in order, in a later turn, as over a socket. */
function makePair(): Pair {
  const asked: AbortSignal[] = [];
  const sent: string[] = [];
  let wake = Promise.withResolvers<AbortSignal>();
  let closed = false;
  const answers = {
    echo: async ({ value }: { value?: unknown }) => value ?? null,
    double: async ({ number }: { number: number }) => 2 * number,
    never: (_: object, signal: AbortSignal) => {
      asked.push(signal);
      wake.resolve(signal);
      return new Promise<null>((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
      );
    },
    refuse: () => Promise.reject(commonProblems.make('not-found', { noun: 'pool', name: 'x' })),
    crash: () => Promise.reject(new Error('the disk is on fire')),
    lie: async () => 'a text' as never,
  };
  const make = (name: string, other: () => Peer<Contract>): Peer<Contract> =>
    makePeer({
      name,
      wire: {
        send(text) {
          sent.push(text);
          setImmediate(() => other().receive(text));
        },
        close: () => {
          closed = true;
        },
      },
      ours: contract,
      answers,
      theirs: contract,
      log: makeSilentLogger(),
    });
  const here: Peer<Contract> = make('other side', () => there);
  const there: Peer<Contract> = make('this side', () => here);
  return {
    here,
    there,
    asked,
    sent,
    closed: () => closed,
    nextAsked() {
      wake = Promise.withResolvers();
      return wake.promise;
    },
  };
}

const soon = { timeoutMs: 5_000 };

void test('calls are answered, in both directions at once', async () => {
  const { here, there } = makePair();
  const answers = await Promise.all([
    here.call('double', { number: 21 }, soon),
    there.call('double', { number: 4 }, soon),
    here.call('echo', { value: 'x' }, soon),
  ]);
  assert.deepEqual(answers, [42, 8, 'x']);
});

void test('any value that JSON holds comes back as it was, however many calls cross', async () => {
  const { here, there } = makePair();
  await fc.assert(
    fc.asyncProperty(fc.array(fc.jsonValue(), { maxLength: 8 }), async (values) => {
      const sides = values.map((value, at) => (at % 2 === 0 ? here : there).call('echo', { value }, soon));
      // JSON knows no negative zero.
      const whole = JSON.parse(JSON.stringify(values)) as unknown[];
      assert.deepEqual(await Promise.all(sides), whole);
    }),
    { numRuns: 50 },
  );
});

void test('a problem arrives as it was thrown; an error without its cause', async () => {
  const { here } = makePair();
  await assert.rejects(here.call('refuse', {}, soon), { code: 'common.not-found', message: /no pool named "x"/ });
  await assert.rejects(here.call('crash', {}, soon), { code: 'common.internal', message: /the disk is on fire/ });
});

void test('a call without an answer in time is refused as retryable, and stopped over there', async () => {
  const { here, nextAsked } = makePair();
  const asked = nextAsked();
  const call = here.call('never', {}, { timeoutMs: 20 });
  const signal = await asked;
  await assert.rejects(call, {
    code: 'protocol.no-answer',
    retryable: true,
    message: /did not answer never within 0.02 s/,
  });
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
});

void test('a cancelled call is rejected with its reason, and stopped over there', async () => {
  const { here, nextAsked } = makePair();
  const cancel = new AbortController();
  const asked = nextAsked();
  const call = here.call('never', {}, { ...soon, signal: cancel.signal });
  const signal = await asked;
  cancel.abort(new Error('not wanted any more'));
  await assert.rejects(call, /not wanted any more/);
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  assert.equal((signal.reason as Error).message, 'cancelled by the caller');
});

void test('a call that is cancelled before it begins is never sent', async () => {
  const { here, sent } = makePair();
  await assert.rejects(
    here.call('never', {}, { ...soon, signal: AbortSignal.abort(new Error('too late')) }),
    /too late/,
  );
  assert.deepEqual(sent, []);
});

void test('when the connection goes, open calls fail as retryable and what is being answered stops', async () => {
  const { here, there, nextAsked } = makePair();
  const asked = nextAsked();
  const call = here.call('never', {}, soon);
  const signal = await asked;
  here.disconnected();
  await assert.rejects(call, {
    code: 'protocol.disconnected',
    retryable: true,
    message: /other side is not connected/,
  });
  there.disconnected();
  assert.equal(signal.aborted, true);
  await assert.rejects(here.call('double', { number: 1 }, soon), { code: 'protocol.disconnected' });
});

void test('what a method cannot take or must not answer is refused', async () => {
  const { here } = makePair();
  const wrong = { number: 'five' } as unknown as { number: number };
  await assert.rejects(here.call('double', wrong, soon), { code: 'common.invalid-input', message: /double/ });
  await assert.rejects(here.call('lie', {}, soon), { code: 'protocol.bad-reply' });
  await assert.rejects(here.call('unheard-of' as 'never', {}, soon), { code: 'protocol.unknown-method' });
});

void test('a message that is not of the protocol closes the connection', async () => {
  for (const text of ['', 'hello', '{}', '{"t":"call","id":1}', '[1]', '{"t":"result"}', '{"t":"problem","id":1}']) {
    const { here, closed } = makePair();
    const open = here.call('never', {}, soon);
    here.receive(text);
    assert.equal(closed(), true, text);
    here.disconnected();
    await assert.rejects(open, { code: 'protocol.disconnected' });
  }
});

void test('answers and cancellations of calls that nobody made change nothing', async () => {
  const { here, closed } = makePair();
  here.receive('{"t":"result","id":99,"result":1}');
  here.receive(
    JSON.stringify({ t: 'problem', id: 99, problem: commonProblems.make('internal', { what: 'x' }).document }),
  );
  here.receive('{"t":"cancel","id":99}');
  await nextTurn();
  assert.equal(closed(), false);
  assert.equal(await here.call('double', { number: 2 }, soon), 4);
});
