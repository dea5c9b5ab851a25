import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Problem } from '../../lib/errors.ts';
import { makeTail, toExitCode } from './exec.ts';

void describe('the end of an output', () => {
  void it('is all of it when it is short', () => {
    const tail = makeTail(10, undefined);
    tail.push(Buffer.from('hello '));
    tail.push(Buffer.from('you'));
    assert.deepEqual([tail.text(), tail.truncated()], ['hello you', false]);
  });

  void it('is its last bytes when it is long, in one piece or many', () => {
    const tail = makeTail(10, undefined);
    tail.push(Buffer.from('a'.repeat(50)));
    assert.deepEqual([tail.text(), tail.truncated()], ['a'.repeat(10), true]);
    for (const letter of 'bcdefghijklmnop') tail.push(Buffer.from(letter));
    assert.deepEqual([tail.text(), tail.truncated()], ['ghijklmnop', true]);
    const once = makeTail(3, undefined);
    once.push(Buffer.from('12345'));
    assert.deepEqual([once.text(), once.truncated()], ['345', true]);
  });

  void it('is heard whole, with letters that were cut in two put together', () => {
    const heard: string[] = [];
    const tail = makeTail(100, (text) => heard.push(text));
    const bytes = Buffer.from('grün');
    tail.push(bytes.subarray(0, 3));
    tail.push(bytes.subarray(3));
    assert.deepEqual(heard, ['gr', 'ün']);
    assert.equal(tail.text(), 'grün');
  });
});

void describe('the exit code', () => {
  const ended = { id: 'x', status: 'Success', status_code: 200, err: '', metadata: null };

  void it('is the command’s own, or what a shell says of one that cannot be run', () => {
    assert.equal(toExitCode('container a', { ...ended, metadata: { return: 3 } }), 3);
    assert.equal(toExitCode('container a', { ...ended, err: 'Command not found' }), 127);
    assert.equal(toExitCode('container a', { ...ended, err: 'Command not executable' }), 126);
  });

  void it('is not made up when the engine does not tell it', () => {
    const isCode = (code: string) => (thrown: unknown) => thrown instanceof Problem && thrown.code === code;
    assert.throws(() => toExitCode('container a', undefined), isCode('incus.outcome-unknown'));
    const failed = { ...ended, status_code: 400, err: 'Instance is not running', metadata: { return: -1 } };
    assert.throws(() => toExitCode('container a', failed), isCode('incus.not-running'));
  });
});
