// What keepalived is told, by exact comparison.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SharedAddress } from '../protocol/contract.ts';
import { renderCheck, renderKeepalived, renderStart } from './shared-address.ts';

const shared: SharedAddress = {
  ...{ address: '10.0.0.100', routerId: 87, edge: '10.87.0.2', own: '10.0.0.11' },
  ...{ peers: ['10.0.0.12', '10.0.0.13'], priority: 200 },
};

test('keepalived takes the address where the edge answers, and keeps it', () => {
  assert.equal(
    renderKeepalived(shared, { check: '/var/lib/espalier/agent/shared-address/edge-answers', device: 'eth0' }),
    `# Written by the Espalier agent; a change made here is lost.
global_defs {
    enable_script_security
    script_user root
    vrrp_version 3
}

vrrp_script edge_answers {
    script "/var/lib/espalier/agent/shared-address/edge-answers"
    interval 1
    timeout 1
    fall 2
    rise 3
    init_fail
}

vrrp_instance edge {
    state BACKUP
    nopreempt
    interface eth0
    virtual_router_id 87
    priority 200
    advert_int 0.3
    check_unicast_src
    unicast_src_ip 10.0.0.11
    unicast_peer {
        10.0.0.12
        10.0.0.13
    }
    virtual_ipaddress {
        10.0.0.100/32 dev eth0
    }
    garp_master_refresh 30
    track_script {
        edge_answers
    }
}
`,
  );
});

test('the check asks HAProxy itself, and takes nothing but a 200', () => {
  assert.equal(
    renderCheck(shared),
    `#!/bin/bash
# Written by the Espalier agent: whether this server's edge answers.
[[ $1 == now ]] || exec timeout 0.7 "$0" now
exec 3<>/dev/tcp/10.87.0.2/80 || exit 1
printf 'GET /.espalier/edge HTTP/1.0\\r\\n\\r\\n' >&3
read -r line <&3
[[ $line == 'HTTP/1.'?' 200 '* ]]
`,
  );
});

test('it runs beside the agent, by systemd where that is', () => {
  const about = { unit: 'espalier-try-shared-address', config: '/d/keepalived.conf', pidFile: '/d/keepalived.pid' };
  const program = [
    ...['/usr/sbin/keepalived', '--vrrp', '--use-file', '/d/keepalived.conf', '--pid', '/d/keepalived.pid'],
    ...['--vrrp_pid', '/d/keepalived.pid.vrrp'],
  ];
  assert.deepEqual(renderStart({ ...about, systemd: false }), program);
  assert.deepEqual(renderStart({ ...about, systemd: true }), [
    ...['systemd-run', '--quiet', '--unit=espalier-try-shared-address', '--property=Restart=always'],
    ...['--property=RestartSec=1', '--description=The shared address of Espalier edges', '--', ...program],
    ...['--dont-fork', '--log-console'],
  ]);
});
