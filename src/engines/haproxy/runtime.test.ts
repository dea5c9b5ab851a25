// Tests of the conversation with HAProxy's sockets, against sockets that answer as it does.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Problem } from '../../lib/errors.ts';
import { openRuntime, parseAnswers, runCommands, runReload } from './runtime.ts';

const options = () => ({ signal: new AbortController().signal, timeoutMs: 2_000 });
const hasCode = (code: string) => (error: unknown) => error instanceof Problem && error.code === code;

/** A socket at which `onLine` answers each line as HAProxy would. */
async function withSocket(onLine: (line: string, socket: Socket) => void, work: (path: string) => Promise<void>) {
  const dir = await mkdtemp(join(tmpdir(), 'edge-'));
  const path = join(dir, 's');
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let rest = '';
    socket.setEncoding('utf8').on('data', (data) => {
      const lines = (rest + String(data)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line, socket);
    });
  });
  server.listen(path);
  await once(server, 'listening');
  try {
    await work(path);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(dir, { recursive: true });
  }
}

void test('answers are told apart by the prompt, and a payload leaves no trace in them', () => {
  assert.deepEqual(parseAnswers('\n> New server registered.\n\n> + + \n> 1\n# a b\n3 c\n\n> '), [
    '',
    'New server registered.',
    '',
    '1\n# a b\n3 c',
  ]);
  assert.deepEqual(parseAnswers('half an ans'), []);
});

void test('commands are given in order, a refusal does not hold up the others, and is thrown at the end', async () => {
  const heard: string[] = [];
  const onLine = (line: string, socket: Socket) => {
    heard.push(line);
    const answers: Record<string, string> = { bad: 'No such server.\n', 'del server p/a': 'Server deleted.\n' };
    socket.write(`${answers[line] ?? (line.startsWith('del') ? 'Server still has connections.\n' : '')}\n> `);
  };
  await withSocket(onLine, async (path) => {
    const session = await openRuntime(path, options());
    const many = Array.from({ length: 100 }, (_, index) => ({ line: `set ${index}`, answers: [''] }));
    const removals = [
      { line: 'del server p/a', leaving: 'a' },
      { line: 'del server p/b', leaving: 'b' },
    ];
    assert.deepEqual(await runCommands(session, [...many, ...removals]), ['b']);
    await assert.rejects(
      runCommands(session, [{ line: 'bad', answers: [''] }, { line: 'after' }]),
      hasCode('haproxy.refused'),
    );
    session.close();
  });
  assert.deepEqual(heard, [
    'prompt',
    ...Array.from({ length: 100 }, (_, index) => `set ${index}`),
    'del server p/a',
    'del server p/b',
    'bad',
    'after',
  ]);
});

void test('a HAProxy that does not run, hangs up or stays silent is a problem that passes by itself', async () => {
  await assert.rejects(openRuntime('/nonexistent/s', options()), hasCode('haproxy.away'));
  await withSocket(
    (_, socket) => socket.destroy(),
    async (path) => assert.rejects(openRuntime(path, options()), hasCode('haproxy.away')),
  );
  await withSocket(
    () => undefined,
    async (path) => assert.rejects(openRuntime(path, { ...options(), timeoutMs: 20 }), hasCode('haproxy.slow')),
  );
});

void test('an aborted signal ends a conversation', async () => {
  const controller = new AbortController();
  const onLine = () => controller.abort(new Error('enough'));
  await withSocket(onLine, async (path) =>
    assert.rejects(openRuntime(path, { signal: controller.signal, timeoutMs: 2_000 }), /enough/),
  );
});

void test("a reload that fails gives HAProxy's own words", async () => {
  const words = `Success=0
--
[NOTICE]   (17) : haproxy version is 3.0.11
[ALERT]    (17) : config : parsing [/etc/espalier-edge/haproxy.cfg:29] : unknown keyword 'bing' in 'frontend' section
`;
  await withSocket(
    (_, socket) => socket.end(words),
    async (path) => {
      await assert.rejects(runReload(path, options()), (error) => {
        assert.ok(error instanceof Problem);
        assert.equal(error.code, 'haproxy.bad-config');
        assert.match(error.document.detail, /words: config : parsing .* unknown keyword 'bing' in 'frontend' section$/);
        return true;
      });
    },
  );
  await withSocket(
    (_, socket) => socket.end('Success=1\n--\n'),
    async (path) => runReload(path, options()),
  );
});
