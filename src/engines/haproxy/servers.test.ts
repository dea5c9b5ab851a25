// Tests of reading running servers and of the commands that put them right.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffServers, parseServersState, type RuntimeServer, renderServersState } from './servers.ts';

const columns =
  '# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port';

const lines = (commands: readonly { line: string }[]) => commands.map((command) => command.line);
const wanted = { name: 'n1', address: '10.0.0.11', port: 80, drain: false };
const running: RuntimeServer = {
  pool: 'shop',
  name: 'n1',
  address: '10.0.0.11',
  port: 80,
  weight: 16,
  adminState: 0,
  checked: true,
  sinceS: 100,
};

void test('the state of servers is read by column names', () => {
  const answer = `1\n${columns}\n3 shop 1 n1 10.0.0.11 2 1 0 16 7 1 0 0 2 0 0 0 - 8080 - 0 0 - - 0\n`;
  assert.deepEqual(parseServersState(answer), [
    { ...running, port: 8080, weight: 0, adminState: 1, checked: false, sinceS: 7 },
  ]);
  assert.deepEqual(parseServersState(''), []);
});

void test('a reload hands over who is up, and neither weights nor what was done by hand', () => {
  const answer = `1\n${columns}\n3 shop 1 n1 10.0.0.11 2 1 0 16 7 1 0 0 2 0 0 0 - 80 - 0 0 - - 0`;
  assert.equal(
    renderServersState(answer),
    `1\n${columns}\n3 shop 1 n1 10.0.0.11 2 0 16 16 7 1 0 0 2 0 0 0 - 80 - 0 0 - - 0\n`,
  );
  assert.equal(renderServersState('1'), '1\n');
});

void test('nothing is said when the servers are as they should be', () => {
  assert.deepEqual(diffServers([{ name: 'shop', servers: [wanted] }], [running]), {
    added: 0,
    changed: 0,
    removed: 0,
    additions: [],
    removals: [],
  });
});

void test('a new server is added with every parameter of the file, and switched on', () => {
  const diff = diffServers([{ name: 'shop', servers: [wanted] }], []);
  assert.equal(diff.added, 1);
  assert.deepEqual(lines(diff.additions), [
    'add server shop/n1 10.0.0.11:80 weight 16 check inter 1s fastinter 250ms downinter 1s fall 3 rise 2 observe layer4 error-limit 3 on-error sudden-death slowstart 10s',
    'enable health shop/n1',
    'enable server shop/n1',
  ]);
});

void test('a drained server has no weight, before and after it is added', () => {
  const pools = [{ name: 'shop', servers: [{ ...wanted, drain: true }] }];
  assert.deepEqual(lines(diffServers(pools, [running]).additions), ['set weight shop/n1 0']);
  assert.match(lines(diffServers(pools, []).additions)[0] ?? '', / weight 0 check /);
});

void test('a server that was left half done, moved, or changed by hand is put right', () => {
  const found = { ...running, address: '10.0.0.99', weight: 0, adminState: 1, checked: false };
  assert.deepEqual(lines(diffServers([{ name: 'shop', servers: [wanted] }], [found]).additions), [
    'set server shop/n1 addr 10.0.0.11 port 80',
    'set weight shop/n1 16',
    'enable health shop/n1',
    'set server shop/n1 state ready',
  ]);
});

void test('a server that should go gets no more requests, and is deleted once nothing holds it', () => {
  const diff = diffServers([{ name: 'shop', servers: [] }], [running]);
  assert.equal(diff.removed, 1);
  assert.deepEqual(lines(diff.removals), [
    'disable server shop/n1',
    'wait 20ms srv-removable shop/n1',
    'del server shop/n1',
  ]);
  assert.equal(diff.removals[2]?.leaving, 'n1');
});

void test('a leaving server keeps its requests for a minute and loses them after', () => {
  const pools = [{ name: 'shop', servers: [] }];
  const waiting = ['wait 20ms srv-removable shop/n1', 'del server shop/n1'];
  assert.deepEqual(lines(diffServers(pools, [{ ...running, adminState: 1, sinceS: 59 }]).removals), waiting);
  assert.deepEqual(lines(diffServers(pools, [{ ...running, adminState: 1, sinceS: 60 }]).removals), [
    'shutdown sessions server shop/n1',
    ...waiting,
  ]);
});

void test('servers of a pool that is not listed are left to the reload', () => {
  assert.deepEqual(diffServers([], [running]).removals, []);
});
