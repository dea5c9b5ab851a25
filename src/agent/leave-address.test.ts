// What keeps new visitors away while an address is given up, and how open connections are counted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countOpen, parseAddress, renderNewConnections, renderNoNewConnections } from './leave-address.ts';
import { renderKeepalived } from './shared-address.ts';

test('only beginnings of connections to the address are dropped, by a table that is made anew', () => {
  assert.equal(
    renderNoNewConnections('espalier', '10.0.0.100'),
    `table inet espalier-espalier-leave
delete table inet espalier-espalier-leave
table inet espalier-espalier-leave {
    chain input {
        type filter hook input priority -300; policy accept;
        ip daddr 10.0.0.100 tcp flags & (syn | ack) == syn drop
    }
}
`,
  );
  assert.equal(
    renderNewConnections('espalier'),
    'table inet espalier-espalier-leave\ndelete table inet espalier-espalier-leave\n',
  );
});

test('the address is read from what keepalived was told', () => {
  const shared = { address: '10.0.0.100', routerId: 87, edge: '10.87.0.2', own: '10.0.0.11', peers: [], priority: 200 };
  assert.equal(parseAddress(renderKeepalived(shared, { check: '/check', device: 'eth0' })), '10.0.0.100');
  assert.equal(parseAddress('nothing of ours'), undefined);
});

test('each line is a connection that is open', () => {
  assert.equal(countOpen(''), 0);
  assert.equal(countOpen('ESTAB 0 0 10.0.0.100:80 10.0.0.9:4711\nCLOSE-WAIT 1 0 10.0.0.100:80 10.0.0.9:4712\n'), 2);
});
