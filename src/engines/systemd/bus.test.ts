import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { Problem } from '../../lib/errors.ts';
import { makeSilentLogger } from '../../lib/log.ts';
import { makeBus } from './bus.ts';
import { type DbusMessage, parseMessage, parseValues, renderMessage } from './dbus-wire.ts';
import { readErrorName } from './problems.ts';

const CALL = { path: '/a', interface: 'b.c', member: 'D', signature: 's', body: ['x'] };
const BOUND = { timeoutMs: 5_000 };

/** A bus with the other end of its streams in the test's hand. */
function makePair() {
  const [from, to] = [new PassThrough(), new PassThrough()];
  const signals: DbusMessage[] = [];
  const bus = makeBus({
    ...{ name: 'node n1', from, to, log: makeSilentLogger() },
    onSignal: (message) => signals.push(message),
  });
  const said = () => (to.read() as Buffer | null) ?? Buffer.alloc(0);
  return { bus, from, to, signals, said };
}

async function makeOpenPair() {
  const pair = makePair();
  await once(pair.to, 'readable');
  pair.said();
  pair.from.write('OK 1234deadbeef\r\n');
  await once(pair.to, 'readable');
  assert.equal(pair.said().toString(), 'BEGIN\r\n');
  return pair;
}

void describe('a D-Bus connection', () => {
  void it('authenticates first, and holds back calls until it is let in', async () => {
    const { bus, from, to, said } = makePair();
    const call = bus.call(CALL, BOUND);
    assert.equal(said().toString(), '\0AUTH ANONYMOUS 6573\r\n');
    from.write('OK 12');
    from.write('34\r\n');
    await once(to, 'readable');
    const sent = said();
    assert.equal(sent.toString('latin1', 0, 7), 'BEGIN\r\n');
    const { member, serial } = parseMessage(sent.subarray(7));
    assert.equal(member, 'D');
    from.write(renderMessage({ kind: 'reply', serial: 1, replyTo: serial, signature: 'u' }, [42]));
    assert.deepEqual(await call, [42]);
    bus.close();
  });

  void it('puts messages together that come in pieces, and takes apart those that come at once', async () => {
    const { bus, from, to, signals, said } = await makeOpenPair();
    const calls = Promise.all([bus.call(CALL, BOUND), bus.call(CALL, BOUND)]);
    await once(to, 'readable');
    said();
    const signal = renderMessage({ kind: 'signal', serial: 9, path: '/s', member: 'S', signature: 'b' }, [true]);
    const replies = [2, 1].map((replyTo) =>
      renderMessage({ kind: 'reply', serial: 5, replyTo, signature: 'u' }, [replyTo]),
    );
    const all = Buffer.concat([signal, ...replies]);
    from.write(all.subarray(0, 21));
    from.write(all.subarray(21));
    assert.deepEqual(await calls, [[1], [2]]);
    assert.deepEqual(
      signals.map(({ member, signature, body }) => [member, parseValues(signature, body)]),
      [['S', [true]]],
    );
    bus.close();
  });

  void it('turns an error into a problem that names it', async () => {
    const { bus, from } = await makeOpenPair();
    const call = bus.call(CALL, BOUND);
    from.write(
      renderMessage({ kind: 'error', serial: 3, replyTo: 1, errorName: 'x.Y', signature: 's' }, ['it is so.']),
    );
    await assert.rejects(call, (thrown) => {
      assert.equal(readErrorName(thrown), 'x.Y');
      assert.match((thrown as Problem).message, /refused D: it is so \(x\.Y\)/);
      return true;
    });
    bus.close();
  });

  void it('fails what is open when the other side goes, and everything after', async () => {
    const { bus, from } = await makeOpenPair();
    const call = bus.call(CALL, BOUND);
    from.end();
    const isAway = (thrown: unknown) => thrown instanceof Problem && thrown.code === 'systemd.away' && thrown.retryable;
    await assert.rejects(call, isAway);
    await bus.closed;
    await assert.rejects(bus.call(CALL, BOUND), isAway);
  });

  void it('hangs up on whoever speaks no D-Bus', async () => {
    const { bus, from } = await makeOpenPair();
    from.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    await bus.closed;
    const refused = makePair();
    refused.from.write('REJECTED EXTERNAL\r\n');
    await refused.bus.closed;
  });
});
