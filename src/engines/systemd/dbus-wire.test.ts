import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type DbusValue,
  measureMessage,
  parseMessage,
  parseValues,
  renderMessage,
  renderValues,
  splitSignature,
} from './dbus-wire.ts';

const hex = (bytes: Buffer) => bytes.toString('hex');

void describe('D-Bus values', () => {
  void it('are split at complete types', () => {
    assert.deepEqual(splitSignature('ssa(sv)a(sa(sv))'), ['s', 's', 'a(sv)', 'a(sa(sv))']);
    assert.deepEqual(splitSignature('aaya{sv}(i(ub))v'), ['aay', 'a{sv}', '(i(ub))', 'v']);
    assert.throws(() => splitSignature('a(sv'), /not complete/);
    assert.throws(() => renderValues('h', [0]), /no D-Bus type/);
  });

  // The example of the specification, "Marshaling": a string, then an array of one 64-bit number, each at its alignment.
  void it('have the bytes that the specification gives', () => {
    assert.equal(hex(renderValues('s', ['foo'])), `03000000${'666f6f00'}`);
    assert.equal(hex(renderValues('yat', [1, [5n]])), '01000000' + '08000000' + '0500000000000000');
    assert.equal(hex(renderValues('v', [{ signature: 'u', value: 7 }])), '01750000' + '07000000');
    assert.equal(
      hex(renderValues('a(sv)', [[['a', { signature: 'b', value: true }]]])),
      '10000000' + '00000000' + '01000000' + '6100' + '016200' + '000000' + '01000000',
    );
  });

  const value: fc.Arbitrary<[string, DbusValue]> = fc.letrec<{ any: [string, DbusValue] }>((tie) => ({
    any: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom('s', 'o').chain((type) => fc.string().map((text): [string, DbusValue] => [type, text])),
      fc.integer({ min: 0, max: 255 }).map((byte): [string, DbusValue] => ['y', byte]),
      fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }).map((short): [string, DbusValue] => ['n', short]),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((word): [string, DbusValue] => ['u', word]),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((long): [string, DbusValue] => ['t', long]),
      fc.double({ noNaN: true }).map((real): [string, DbusValue] => ['d', real]),
      fc.boolean().map((truth): [string, DbusValue] => ['b', truth]),
      tie('any').map(([signature, inner]): [string, DbusValue] => ['v', { signature, value: inner }]),
      tie('any').map(([signature, inner]): [string, DbusValue] => [`a${signature}`, [inner, inner]]),
      fc
        .array(tie('any'), { minLength: 1, maxLength: 4 })
        .map((parts): [string, DbusValue] => [
          `(${parts.map(([type]) => type).join('')})`,
          parts.map(([, one]) => one),
        ]),
    ),
  })).any;

  void it('come back as they went, whatever they are', () => {
    fc.assert(
      fc.property(fc.array(value, { maxLength: 5 }), (values) => {
        const signature = values.map(([type]) => type).join('');
        const given = values.map(([, one]) => one);
        assert.deepEqual(parseValues(signature, renderValues(signature, given)), given);
      }),
    );
  });
});

void describe('a D-Bus message', () => {
  const call = {
    kind: 'call',
    serial: 7,
    path: '/org/freedesktop/systemd1',
    interface: 'org.freedesktop.systemd1.Manager',
    member: 'StopUnit',
    signature: 'ss',
  } as const;
  const bytes = renderMessage(call, ['a.service', 'replace']);

  void it('comes back as it went', () => {
    const { body, ...header } = parseMessage(bytes);
    assert.deepEqual(header, call);
    assert.deepEqual(parseValues(call.signature, body), ['a.service', 'replace']);
  });

  void it('is measured by its beginning', () => {
    assert.equal(measureMessage(bytes.subarray(0, 15)), undefined);
    assert.equal(measureMessage(bytes.subarray(0, 16)), bytes.length);
    assert.equal(measureMessage(Buffer.concat([bytes, bytes])), bytes.length);
    assert.throws(() => measureMessage(Buffer.from('HTTP/1.1 200 OK\r\n\r\n')), /no D-Bus message/);
  });
});
