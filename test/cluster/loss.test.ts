// Servers that die, freeze and are cut off, on real Incus with real sites: what is fenced writes nothing any more, what can be is
// made anew, and what comes back is clean.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Losing, makeLosing } from './losing.ts';
import { type Lab, openLab } from './open-lab.ts';

let lab: Lab;
let losing: Losing;
let victim: string;

before(async () => {
  lab = await openLab('esploss', 3, { bare: false });
  losing = await makeLosing(lab);
  await untilWhole();
});
after(() => lab.close());

const isFenced = async () => (await losing.state(victim)).isFenceUp;
/** With a fence, a cleaning and nodes that are made anew, where a server came back late. */
const WHOLE_S = 300;
const isWhole = async () => {
  const [servers, nodes] = [await losing.servers(), await losing.nodes()];
  return servers.every(({ state }) => state === 'ready') && nodes.every(({ state }) => state === 'ready');
};
const untilWhole = () => losing.until('all is well', isWhole, WHOLE_S);
/** All nodes serve, none of them on the victim. */
const isAnew = async (count: number) => {
  const nodes = await losing.nodes();
  return nodes.length === count && nodes.every(({ state, server }) => state === 'ready' && server !== victim);
};

const mend = async (server: string): Promise<void> => {
  const { code, stderr } = await lab.run('heal', server);
  assert.equal(code, 0, stderr);
};

/** Breaks the victim, sees it fenced and its nodes made anew, and mends it. */
async function loseAndMend(...how: string[]): Promise<void> {
  victim = await losing.chooseVictim();
  const writer = await losing.startWriter(victim);
  const count = (await losing.nodes()).length;
  const [verb = '', ...options] = how;
  const broken = await lab.run(verb, victim, ...options);
  assert.equal(broken.code, 0, broken.stderr);
  await losing.until('it is fenced', isFenced, 60);
  const fencedAt = await losing.fencedSince(victim);
  await losing.until('its nodes are made anew', () => isAnew(count));
  assert.equal(await losing.visit(), '200');
  await mend(victim);
  await untilWhole();
  assert.equal(await losing.writesSince(writer, fencedAt), 0, 'a fenced server wrote');
  assert.equal((await losing.state(victim)).state, 'ready');
  assert.deepEqual(await losing.leftovers(), [], 'what was made anew elsewhere is still there');
}

test('a server without power is fenced, its nodes are made on others, and it comes back clean', () =>
  loseAndMend('kill'));
test('a frozen server that goes on writes nothing any more', () => loseAndMend('freeze'));
test('a server that is cut off both ways is fenced, and writes nothing while it lives on', () => loseAndMend('cut'));
test('a server that is not heard, and hears, is fenced', () => loseAndMend('cut', '--way', 'out'));

test('a server that only the controller does not hear keeps its nodes, and they serve', async () => {
  victim = await losing.chooseVictim();
  const before = await losing.nodes();
  await lab.run('cut', victim, '--from', 'controller');
  await losing.until('it is lost', async () => (await losing.state(victim)).state === 'lost');
  await losing.until('somebody hears it', async () => /hears? it/.test((await losing.state(victim)).reason));
  assert.deepEqual(await losing.nodes(), before);
  assert.equal(await losing.visit(), '200');
  await mend(victim);
  await untilWhole();
  assert.deepEqual(
    (await losing.nodes()).map(({ name }) => name),
    before.map(({ name }) => name),
  );
});

test('without most of its servers the controller fences none and says why, and what is left serves', async () => {
  const others = (await losing.servers()).map(({ name }) => name).filter((name) => name !== 's1');
  // In the same moment: one that goes a little later is still a witness against the first.
  const killed = await Promise.all(others.map((server) => lab.run('kill', server)));
  assert.deepEqual(
    killed.map(({ code }) => code),
    others.map(() => 0),
  );
  await losing.until('it says so', async () => {
    const servers = (await losing.servers()).filter(({ name }) => name !== 's1');
    return servers.every(({ state, reason }) => state === 'lost' && /are silent at once/.test(reason));
  });
  const served = (await losing.nodes()).some(({ pool, server }) => pool === 'wordpress' && server === 's1');
  if (served && losing.bound.size === 1) assert.equal(await losing.visit(), '200');
  const { stdout } = await lab.exec('s1', ['./espalier', 'doctor']);
  assert.match(stdout, /quorum +1 of 3 servers are heard, and Incus decides by more than half/);
  for (const server of others) await mend(server);
  await untilWhole();
});
