// How failures of the library and the server become problems.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { makeValkey, toValkeyProblem } from './valkey.ts';

const reply = (message: string) => Object.assign(new Error(message), { name: 'ReplyError' });

void test('what passes by itself is retryable, what does not is not', () => {
  const cases = [
    [Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }), 'valkey.away', true],
    [new Error('Connection is closed.'), 'valkey.away', true],
    [new Error('Command timed out'), 'valkey.away', true],
    [reply('LOADING Valkey is loading the dataset in memory'), 'valkey.away', true],
    [reply('BUSY Valkey is busy running a script'), 'valkey.busy', true],
    [reply('ERR max number of clients reached'), 'valkey.busy', true],
    [reply('MISCONF Errors writing to the AOF file'), 'valkey.not-saved', true],
    [reply('ERR There was an error trying to save the ACLs. Please check the server logs'), 'valkey.not-saved', true],
    [reply('WRONGPASS invalid username-password pair or user is disabled.'), 'valkey.access-denied', false],
    [reply("ERR Error in ACL SETUSER modifier '+@nothing'"), 'valkey.failed', false],
    [new TypeError('Cannot read properties of undefined'), 'valkey.failed', false],
  ] as const;
  for (const [thrown, code, retryable] of cases) {
    const problem = toValkeyProblem('10.0.0.3:6379', 'Setting an account', thrown);
    assert.deepEqual([problem.code, problem.retryable], [code, retryable], thrown.message);
    assert.equal(problem.cause, thrown);
  }
});

void test('a server that is not there is away, and one that never speaks is away within the bound', async (t) => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const engine = makeValkey({ host: '127.0.0.1', port: address.port, user: 'u', password: 'p', commandMs: 50 });
  t.after(() => engine.close());
  await assert.rejects(engine.checkHealth(), { code: 'valkey.away' });
  silent.close();
  await assert.rejects(engine.checkHealth(), { code: 'valkey.away' });
});
