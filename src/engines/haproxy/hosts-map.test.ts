// Tests of the hosts map: its file, and the commands that put a running one right.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { diffMap, type MapEntry, parseShowMap, renderHostsMap, renderHostValue, renderWholeMap } from './hosts-map.ts';
import type { ProxyHost } from './layout.ts';

const PATH = '/etc/espalier-edge/maps/hosts.map';
const acme: ProxyHost = {
  host: 'acme.test',
  site: 's00000acme',
  pool: 'shop',
  state: 'ready',
  requestsPerS: 50,
  connections: 20,
};
const diffLines = (hosts: readonly ProxyHost[], running: readonly MapEntry[]) =>
  diffMap(PATH, hosts, running).commands.map((command) => command.line);

void test('the file has a line for each host, sorted', () => {
  const other: ProxyHost = { ...acme, host: 'a.test', state: 'suspended', requestsPerS: 0, connections: 0 };
  assert.equal(
    renderHostsMap([acme, other]),
    'a.test suspended/s00000acme/shop/0/0\nacme.test ready/s00000acme/shop/50/20\n',
  );
});

void test('the running map is read without its references', () => {
  assert.deepEqual(parseShowMap('0x7f46fb0900e0 acme.test ready/s00000acme/shop/50/20\n'), [
    { key: 'acme.test', value: 'ready/s00000acme/shop/50/20' },
  ]);
});

void test('a host that is new, changed or gone is one command', () => {
  const entry = { key: 'acme.test', value: renderHostValue(acme) };
  assert.deepEqual(diffLines([acme], [entry]), []);
  assert.deepEqual(diffLines([acme], []), [`add map ${PATH} acme.test ready/s00000acme/shop/50/20`]);
  assert.deepEqual(diffLines([{ ...acme, state: 'suspended' }], [entry]), [
    `set map ${PATH} acme.test suspended/s00000acme/shop/50/20`,
  ]);
  assert.deepEqual(diffLines([], [entry]), [`del map ${PATH} acme.test`]);
});

void test('a host that somebody added twice ends up once', () => {
  const entry = { key: 'acme.test', value: 'ready/s000000bad/shop/0/0' };
  assert.deepEqual(diffLines([acme], [entry, entry]), [
    `del map ${PATH} acme.test`,
    `add map ${PATH} acme.test ready/s00000acme/shop/50/20`,
  ]);
});

void test('a large change is loaded in chunks beside the running map and switched over', () => {
  const hosts = Array.from({ length: 1001 }, (_, index) => ({ ...acme, host: `host-${index}.test` }));
  assert.equal(diffMap(PATH, hosts, []).whole, true);
  assert.equal(diffMap(PATH, hosts.slice(1), []).whole, false);
  const commands = renderWholeMap(PATH, '3', hosts).map((command) => command.line);
  assert.equal(commands.at(-1), `commit map @3 ${PATH}`);
  const chunks = commands.slice(0, -1);
  assert.ok(chunks.length > 1);
  for (const chunk of chunks) {
    assert.ok(chunk.startsWith(`add map @3 ${PATH} <<\n`));
    assert.ok(chunk.length < 16_000);
    assert.ok(chunk.endsWith('\n'), 'the line end that is sent after it makes the empty line that ends a payload');
  }
  assert.equal(chunks.map((chunk) => chunk.slice(chunk.indexOf('\n') + 1)).join(''), renderHostsMap(hosts));
});

void test('the commands lead from any running map to any wanted one', () => {
  const name = fc.integer({ min: 0, max: 8 }).map((number) => `h${number}.test`);
  const host = fc.record({ host: name, requestsPerS: fc.integer({ min: 0, max: 2 }) });
  const entry = fc.record({ key: name, value: fc.constantFrom('ready/s00000acme/shop/1/20', 'old') });
  fc.assert(
    fc.property(
      fc.uniqueArray(host, { selector: (one) => one.host }),
      fc.array(entry),
      (wishes, running: MapEntry[]) => {
        const hosts = wishes.map((wish) => ({ ...acme, ...wish }));
        let map = [...running];
        for (const line of diffLines(hosts, running)) {
          const [verb, , , key = '', value = ''] = line.split(' ');
          if (verb === 'del') map = map.filter((one) => one.key !== key);
          else if (verb === 'add') map.push({ key, value });
          else map = map.map((one) => (one.key === key ? { key, value } : one));
        }
        const text = map.map((one) => `${one.key} ${one.value}\n`);
        assert.equal(text.sort().join(''), renderHostsMap(hosts));
      },
    ),
  );
});
