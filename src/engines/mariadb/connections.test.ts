// How failures of the driver and the server become problems.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { makeConnections, toMariadbProblem } from './connections.ts';

const failure = (errno: number, code: string, sqlMessage: string, cause?: Error) =>
  Object.assign(new Error(`(conn:1, no: ${errno}) ${sqlMessage}`, cause && { cause }), { errno, code, sqlMessage });

const problemOf = (thrown: unknown) => toMariadbProblem('10.0.0.2:3306', 'Creating a database', thrown);

void test('what passes by itself is retryable, what does not is not', () => {
  const cases = [
    [failure(1040, 'ER_CON_COUNT_ERROR', 'Too many connections'), 'mariadb.busy', true],
    [failure(1205, 'ER_LOCK_WAIT_TIMEOUT', 'Lock wait timeout exceeded'), 'mariadb.busy', true],
    [failure(1053, 'ER_SERVER_SHUTDOWN', 'Server shutdown in progress'), 'mariadb.away', true],
    [failure(-111, 'ECONNREFUSED', 'connect ECONNREFUSED'), 'mariadb.away', true],
    [failure(1290, 'ER_OPTION_PREVENTS_STATEMENT', '--read-only'), 'mariadb.read-only', true],
    [failure(1021, 'ER_DISK_FULL', 'Disk full'), 'mariadb.disk-full', true],
    [failure(1130, 'ER_HOST_NOT_PRIVILEGED', 'Host is not allowed'), 'mariadb.access-denied', false],
    [failure(1045, 'ER_ACCESS_DENIED_ERROR', 'Access denied'), 'mariadb.access-denied', false],
    [failure(1064, 'ER_PARSE_ERROR', 'You have an error'), 'mariadb.failed', false],
  ] as const;
  for (const [thrown, code, retryable] of cases) {
    const problem = problemOf(thrown);
    assert.deepEqual([problem.code, problem.retryable], [code, retryable], thrown.message);
    assert.equal(problem.cause, thrown);
  }
});

void test('a pool without a free connection tells why it has none', () => {
  const refused = failure(-111, 'ECONNREFUSED', 'connect ECONNREFUSED');
  assert.equal(problemOf(failure(45028, 'ER_GET_CONNECTION_TIMEOUT', 'timeout', refused)).code, 'mariadb.away');
  assert.equal(problemOf(failure(45028, 'ER_GET_CONNECTION_TIMEOUT', 'timeout')).code, 'mariadb.busy');
});

void test('a server that never speaks is away within the bound, and an abort ends the wait at once', async (t) => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.close());
  const address = silent.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const login = { host: '127.0.0.1', port: address.port, user: 'u', password: 'p' };
  const connections = makeConnections(login, { connectMs: 50, statementMs: 500 });
  t.after(() => connections.close());
  const controller = new AbortController();
  const reason = new Error('no longer wanted');
  const aborted = connections.use('Checking health', controller.signal, async (run) => run('SELECT 1'));
  controller.abort(reason);
  await assert.rejects(aborted, reason);
  await assert.rejects(
    connections.use('Checking health', undefined, async (run) => run('SELECT 1')),
    { code: 'mariadb.away' },
  );
});
