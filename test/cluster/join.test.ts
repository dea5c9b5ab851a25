// Machines that join by a token, on real Incus: the ways in which they are let in, refused, and taken out again.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { makeKeyPair, renderCertificate } from '../../src/platform/certificates.ts';
import { type Lab, openLab } from './open-lab.ts';

const HOUR_MS = 3_600_000;
const IDENTITY = '/var/lib/espalier/agent/identity.pem';
const AGENT_LOG = '/var/lib/espalier/log/agent.log';
const LOOKS = 60;

let lab: Lab;
/** With which s2 joined. */
let token: string;
const espalier = (server: string, ...argv: string[]) => lab.exec(server, ['./espalier', ...argv]);
const done = async (server: string, ...argv: string[]): Promise<string> => {
  const { code, stdout, stderr } = await espalier(server, ...argv);
  assert.equal(code, 0, stderr);
  return stdout.trim();
};
const addressOf = async (server: string) => (await lab.status()).find(({ name }) => name === server)?.address ?? '';
const statesOf = async (): Promise<Record<string, string>> => {
  const { items } = JSON.parse(await done('s1', 'server', 'list', '--json')) as {
    items: { name: string; state: string }[];
  };
  return Object.fromEntries(items.map(({ name, state }) => [name, state]));
};

/** What a refusal must leave as it is: the servers, the members of Incus's cluster, and whether anything was fenced. */
const listAll = async () => ({
  states: await statesOf(),
  members: (await lab.exec('s1', ['incus', 'cluster', 'list', '--format', 'csv', '--columns', 'ns'])).stdout,
  fences: await done('s1', 'event', 'list', '--kind', 'server.fenced', '--json'),
});

/** Key, certificate and authority of an agent of another cluster; `authority`: whom it believes instead. */
function renderStranger(name: string, authority: string): string {
  const life = { notBeforeMs: Date.now() - HOUR_MS, notAfterMs: Date.now() + HOUR_MS };
  const [theirs, { key, publicKey }] = [makeKeyPair(), makeKeyPair()];
  const issuer = { name: 'espalier authority', key: theirs.key };
  const render = (wish: { name: string; publicKey: string; role: 'authority' | 'agent' }) =>
    renderCertificate({ ...wish, ...life }, issuer);
  const own = render({ name: issuer.name, publicKey: theirs.publicKey, role: 'authority' });
  return key + render({ name, publicKey, role: 'agent' }) + (authority || own);
}

before(async () => {
  lab = await openLab('esplabjoin', 2);
  // Only the controller and the agent: what `up` goes on to build is not needed here.
  const operation = await done('s1', 'up', '--no-wait');
  await espalier('s1', 'operation', 'cancel', operation);
  await espalier('s1', 'operation', 'wait', operation);
});
after(() => lab.close());

test('before there is a cluster nobody can be let in', async () => {
  const { code, stderr } = await espalier('s1', 'server', 'add');
  assert.equal(code, 1);
  assert.match(stderr, /server\.cluster-not-made/);
  const elsewhere = await espalier('s1', 'cluster', 'make', '--address', '192.0.2.77');
  assert.match(elsewhere.stderr, /server\.address-elsewhere/);
});

test('a machine joins by one command within a minute, also when its first attempt broke off', async () => {
  await done('s1', 'cluster', 'make', '--address', await addressOf('s1'), '--content', '/srv/espalier');
  token = await done('s1', 'server', 'add');
  // The shared folder is not there the first time: it is let in, and stops half way.
  await lab.exec('s2', ['mv', '/srv/espalier/.espalier-content', '/srv/espalier/hidden']);
  const broken = await espalier('s2', 'server', 'join', token);
  assert.match(broken.stderr, /cli\.other-content/);
  assert.equal((await statesOf()).s2, 'joining');
  await lab.exec('s2', ['mv', '/srv/espalier/hidden', '/srv/espalier/.espalier-content']);
  const startedMs = performance.now();
  await done('s2', 'server', 'join', token);
  assert.ok(performance.now() - startedMs < 60_000);
  assert.deepEqual(await statesOf(), { s1: 'ready', s2: 'ready' });
});

test('a token that another machine used, and one whose time is over, let nobody in', async () => {
  const before = await listAll();
  // Another data directory has another key: to the controller that is another machine.
  const join = (text: string) => espalier('s2', '--data-dir', '/root/another', 'server', 'join', text);
  const used = await join(token);
  assert.match(used.stderr, /server\.join-token-used/);
  assert.match(used.stderr, /with this one s2 joined/);
  const short = JSON.parse(await done('s1', 'server', 'add', '--expires', '1s', '--json')) as {
    token: string;
    expiresAt: string;
  };
  while (Date.now() <= Date.parse(short.expiresAt)) await statesOf();
  const late = await join(short.token);
  assert.match(late.stderr, /server\.join-token-expired/);
  assert.match(late.stderr, /Make a new one with `espalier server add`/);
  assert.deepEqual(await listAll(), before);
});

test('a cut from the controller is seen, and over when it is healed', async () => {
  const until = async (state: string) => {
    for (let look = 0; look < 60 && (await statesOf()).s2 !== state; look += 1);
    assert.equal((await statesOf()).s2, state);
  };
  await lab.run('cut', 's2', '--from', 'controller');
  await until('lost');
  await lab.run('heal', 's2');
  await until('ready');
});

test('an agent with a certificate of another cluster is not let in, is told why, and changes nothing', async () => {
  const before = await listAll();
  const shell = (script: string) => lab.exec('s2', ['bash', '-c', script]);
  const own = (await shell(`cat ${IDENTITY}`)).stdout;
  const [, , ours = ''] = own.match(/-----BEGIN [\s\S]+?-----END [A-Z ]+-----\n/g) ?? [];
  /** Runs the agent with another identity; waits until both it and the doctor there say why it is not let in. */
  const be = async (authority: string, why: RegExp, whyOfDoctor = why) => {
    const text = Buffer.from(renderStranger('s2', authority)).toString('base64');
    await shell(`systemctl stop espalier-agent; : >${AGENT_LOG}; echo ${text} | base64 -d >${IDENTITY}`);
    await shell('systemctl start espalier-agent');
    const says = async () => why.test((await shell(`cat ${AGENT_LOG}`)).stdout);
    for (let look = 0; look < LOOKS && !(await says()); look += 1);
    assert.match((await shell(`cat ${AGENT_LOG}`)).stdout, why);
    const { stdout } = await espalier('s2', 'doctor', '--json');
    const { checks } = JSON.parse(stdout) as { checks: { name: string; status: string; detail: string }[] };
    const found = checks.find(({ name }) => name === 'cluster');
    assert.equal(found?.status, 'fail');
    assert.match(found?.detail ?? '', whyOfDoctor);
  };
  try {
    await be(
      '',
      /is not the controller of the cluster that this server belongs to/,
      /another answers, by its certificate/,
    );
    await be(ours, /The certificate that the agent shows is refused: it is not one of this deployment/);
    const { s2 } = await statesOf();
    assert.ok(s2 === 'ready' || s2 === 'lost', `s2 is ${s2}`);
  } finally {
    await shell(`echo ${Buffer.from(own).toString('base64')} | base64 -d >${IDENTITY}`);
    await shell('systemctl restart espalier-agent');
  }
  for (let look = 0; look < LOOKS && (await statesOf()).s2 !== 'ready'; look += 1);
  assert.deepEqual(await listAll(), before);
});

test('a removed server is not heard any more, and a token of another cluster is not even sent', async () => {
  await done('s1', 'server', 'remove', 's2', '--confirm', 's2');
  assert.deepEqual(await statesOf(), { s1: 'ready' });
  assert.match((await espalier('s1', 'server', 'remove', 's1', '--confirm', 's1')).stderr, /server\.has-controller/);
  const unused = await done('s1', 'server', 'add');
  const [controller, , secret, deployment] = JSON.parse(
    Buffer.from(unused.slice(4), 'base64url').toString(),
  ) as string[];
  const other = Buffer.from(JSON.stringify([controller, 'ab'.repeat(32), secret, deployment])).toString('base64url');
  assert.match((await espalier('s2', 'server', 'join', `esj_${other}`)).stderr, /cli\.other-controller/);
  assert.match((await espalier('s2', 'server', 'join', unused.slice(0, -9))).stderr, /cli\.bad-join-token/);
});
