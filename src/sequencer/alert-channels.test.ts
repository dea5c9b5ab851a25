// Webhook and mail for real: a listener of HTTP and one of SMTP take down what they are told.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { makeStage } from '../../test/simulation/stage.ts';
import { addTasks, makeTaskRow, taskId } from '../../test/simulation/world.ts';
import type { Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { readAlertChannels } from './alert-channels.ts';
import { type Alert, listAlerts, runAlerts } from './alerts.ts';
import { makeTaskChecks } from './doctor.ts';

interface Mail {
  from: string;
  to: string[];
  text: string;
}

/** As much of SMTP (RFC 5321) as one delivery needs. Refuses every mail while `isAway()`. */
function answerMail(socket: Socket, mails: Mail[], isAway: () => boolean): void {
  const say = (line: string) => socket.write(`${line}\r\n`);
  let mail: Mail = { from: '', to: [], text: '' };
  let inData = false;
  say('220 sink');
  createInterface({ input: socket }).on('line', (line) => {
    const address = /<(.*)>/.exec(line)?.[1] ?? '';
    if (inData && line !== '.') mail.text += `${line.replace(/^\.\./, '.')}\n`;
    else if (inData) {
      inData = false;
      mails.push(mail);
      say('250 taken');
    } else if (/^(EHLO|HELO)/i.test(line)) {
      mail = { from: '', to: [], text: '' };
      say('250 sink');
    } else if (/^MAIL/i.test(line)) {
      mail.from = address;
      say(isAway() ? '451 away' : '250 ok');
    } else if (/^RCPT/i.test(line)) {
      mail.to.push(address);
      say('250 ok');
    } else if (/^DATA/i.test(line)) {
      inData = true;
      say('354 go on');
    } else if (/^QUIT/i.test(line)) socket.end('221 bye\r\n');
    else say('250 ok');
  });
  socket.on('error', () => undefined);
}

async function listen(server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

async function withListeners(
  work: (heard: {
    hooks: { deployment: string; alerts: Alert[] }[];
    mails: Mail[];
    environment: Record<string, string>;
    away: { webhook: boolean; mail: boolean };
  }) => Promise<void>,
): Promise<void> {
  const hooks: { deployment: string; alerts: Alert[] }[] = [];
  const mails: Mail[] = [];
  const away = { webhook: false, mail: false };
  const web = createHttpServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (!away.webhook) hooks.push(JSON.parse(Buffer.concat(chunks).toString()));
      response.writeHead(away.webhook ? 503 : 204).end();
    });
  });
  const post = createServer((socket) => answerMail(socket, mails, () => away.mail));
  try {
    const environment = {
      ESPALIER_ALERT_WEBHOOK: `http://127.0.0.1:${await listen(web)}/alerts`,
      ESPALIER_ALERT_MAIL: 'ops@example.com, night@example.com',
      ESPALIER_SMTP_URL: `smtp://127.0.0.1:${await listen(post)}`,
      ESPALIER_MAIL_FROM: 'espalier@example.com',
    };
    await work({ hooks, mails, environment, away });
  } finally {
    web.closeAllConnections();
    web.close();
    post.close();
  }
}

const setAttention = (store: Store, index: number, sentence: string | null) =>
  store.query('UPDATE task SET attention = $2::jsonb WHERE id = $1', [
    taskId(index),
    sentence === null ? null : JSON.stringify({ run: 1, cause: 'failed', sentence, since: '2026-01-01T00:00:00Z' }),
  ]);

withStores((test) => {
  test('each cause is told once by webhook and once by mail', ({ store }) =>
    withListeners(async ({ hooks, mails, environment }) => {
      const { controller } = await makeStage(store);
      const channels = readAlertChannels('shop', environment);
      const look = () => runAlerts(controller.parts, channels, AbortSignal.timeout(10_000));
      await addTasks(store, [makeTaskRow(0, 0, null), makeTaskRow(1, 0, null)]);
      await setAttention(store, 0, 'ended with exit code 1');
      assert.equal((await look()).told, 2);
      assert.equal((await look()).told, 0);
      await setAttention(store, 0, 'ended with exit code 2');
      assert.equal((await look()).told, 0, 'the same cause, though its sentence has changed');
      await setAttention(store, 1, 'out of memory');
      await look();
      await look();
      assert.deepEqual(
        hooks.map(({ deployment, alerts }) => [deployment, ...alerts.map(({ sentence }) => sentence)]),
        [
          ['shop', 'site-0/task-0 needs attention: ended with exit code 1'],
          ['shop', 'site-0/task-1 needs attention: out of memory'],
        ],
      );
      assert.equal(mails.length, 2);
      assert.equal(mails[0]?.from, 'espalier@example.com');
      assert.deepEqual(mails[0]?.to, ['ops@example.com', 'night@example.com']);
      assert.match(mails[0]?.text ?? '', /^Subject: \[shop\] site-0\/task-0 needs attention: ended with exit code 1$/m);
      assert.match(mails[1]?.text ?? '', /espalier why task SITE\/NAME/);
      const alerts = await listAlerts(store, { before: null, limit: 10, open: true });
      assert.deepEqual(
        alerts.map(({ subject, toldBy }) => [subject, ...toldBy]),
        [
          ['site-0/task-1', 'mail', 'webhook'],
          ['site-0/task-0', 'mail', 'webhook'],
        ],
      );
    }));

  test('a way that fails holds up no other, is tried again, and is in the doctor’s words', ({ store }) =>
    withListeners(async ({ hooks, mails, environment, away }) => {
      const stage = await makeStage(store);
      const channels = readAlertChannels('shop', environment);
      const look = () => runAlerts(stage.controller.parts, channels, AbortSignal.timeout(10_000));
      const [, alerts] = makeTaskChecks(store, channels);
      const check = async () => (await alerts?.run(AbortSignal.timeout(10_000)))?.detail;
      assert.equal(await check(), 'people are told by webhook and mail; 0 open');
      await addTasks(store, [makeTaskRow(0, 0, null)]);
      await setAttention(store, 0, 'ended with exit code 1');
      away.mail = true;
      assert.deepEqual(await look(), { raised: 1, over: 0, told: 1, failing: ['mail'] });
      // The alert was raised by the test's clock, long before the machine's.
      assert.equal(await check(), 'people cannot be told by mail');
      away.mail = false;
      away.webhook = true;
      await stage.clock.advance(61_000);
      assert.deepEqual(await look(), { raised: 0, over: 0, told: 1, failing: [] });
      assert.deepEqual([hooks.length, mails.length], [1, 1]);
      assert.equal(await check(), 'people are told by webhook and mail; 1 open');
    }));
});
