// Tests of the text of haproxy.cfg, by exact comparison.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderConfig } from './config.ts';
import type { ProxyLayout } from './layout.ts';

const server = { name: 'shop-1', address: '10.0.0.11', port: 80, drain: false };
const layout: ProxyLayout = {
  trustedProxies: [],
  pools: [
    { name: 'wiki', servers: [] },
    { name: 'shop', servers: [server, { name: 'shop-2', address: '10.0.0.12', port: 80, drain: true }] },
  ],
  hosts: [],
};
const options = { certificates: undefined, pages: 'p1' };

void test('the whole file without certificates and trusted proxies', () => {
  const { text, structure } = renderConfig(layout, options);
  assert.equal(
    text,
    `# Written by the Espalier agent; a change made here is lost.
global
    description ${structure}
    chroot /var/lib/haproxy
    user haproxy
    group haproxy
    stats socket /etc/espalier-edge/admin.sock mode 600 level admin
    stats timeout 1m
    hard-stop-after 10m
    server-state-file /etc/espalier-edge/servers.state
    lua-load /etc/espalier-edge/hold.lua

defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout http-request 10s
    timeout http-keep-alive 15s
    timeout client-fin 5s
    timeout server 10m
    timeout tunnel 1h
    timeout check 1s
    balance random(2)
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response 502
    option srvtcpka
    srvtcpka-idle 5s
    srvtcpka-intvl 2s
    srvtcpka-cnt 3
    option httpchk
    http-check send meth GET uri /.espalier/health ver HTTP/1.1 hdr Host edge.espalier
    http-check expect status 200
    load-server-state-from-file global
    errorfile 502 /etc/espalier-edge/errors/broken.http
    errorfile 503 /etc/espalier-edge/errors/no-node.http
    errorfile 504 /etc/espalier-edge/errors/too-slow.http

frontend _web
    bind :80
    bind 127.0.0.1:81 accept-proxy
    monitor-uri /.espalier/edge
    option idle-close-on-response
    stick-table type string len 16 size 100k expire 20s store gpc0_rate(10s),conn_cur
    http-request set-var(txn.host) req.hdr(host),host_only,lower
    http-request set-var(txn.route) var(txn.host),map_str(/etc/espalier-edge/maps/hosts.map)
    acl held var(txn.route) -m beg held/
    http-request lua.hold_site if held
    http-request set-var(txn.route) var(txn.host),map_str(/etc/espalier-edge/maps/hosts.map) if held
    http-request return status 421 errorfile /etc/espalier-edge/errors/unknown.http unless { var(txn.route) -m found }
    http-request return status 503 errorfile /etc/espalier-edge/errors/held.http if held
    http-request return status 503 errorfile /etc/espalier-edge/errors/suspended.http if { var(txn.route) -m beg suspended/ }
    http-request return status 503 errorfile /etc/espalier-edge/errors/creating.http if { var(txn.route) -m beg creating/ }
    acl unlimited var(txn.route) -m end /0/0
    http-request track-sc0 var(txn.route),field(2,/) unless unlimited
    http-request set-var(txn.requests) var(txn.route),field(4,/) unless unlimited
    http-request set-var(txn.connections) var(txn.route),field(5,/) unless unlimited
    http-request return status 429 errorfile /etc/espalier-edge/errors/too-many.http if !unlimited { var(txn.connections) -m int gt 0 } { sc0_conn_cur,sub(txn.connections) gt 0 }
    http-request return status 429 errorfile /etc/espalier-edge/errors/too-many.http if !unlimited { var(txn.requests) -m int gt 0 } { sc0_gpc0_rate,div(10),sub(txn.requests) ge 0 }
    http-request sc-inc-gpc0(0) unless unlimited
    http-request del-header x-forwarded- -m beg
    http-request del-header forwarded
    http-request del-header x-real-ip
    http-request del-header proxy
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request disable-l7-retry unless { method GET HEAD OPTIONS }
    use_backend %[var(txn.route),field(3,/)]

backend shop
    server shop-1 10.0.0.11:80 weight 16 check inter 1s fastinter 250ms downinter 1s fall 3 rise 2 observe layer4 error-limit 3 on-error sudden-death slowstart 10s
    server shop-2 10.0.0.12:80 weight 0 check inter 1s fastinter 250ms downinter 1s fall 3 rise 2 observe layer4 error-limit 3 on-error sudden-death slowstart 10s

backend wiki
`,
  );
});

void test('a trusted proxy may say scheme and client, each before the rule that forgets what it said', () => {
  const { text } = renderConfig({ ...layout, trustedProxies: ['192.0.2.0/24', '2001:db8::/32'] }, options);
  const rules = text.slice(text.indexOf('    acl trusted'), text.indexOf('    http-request disable-l7-retry'));
  assert.equal(
    rules,
    `    acl trusted src 192.0.2.0/24 2001:db8::/32
    http-request set-var(txn.scheme) str(http)
    http-request set-var(txn.scheme) req.hdr(x-forwarded-proto) if trusted { req.hdr(x-forwarded-proto) -m str http https }
    http-request set-src req.hdr_ip(x-forwarded-for,-1) if trusted { req.hdr_ip(x-forwarded-for,-1) -m found }
    http-request del-header x-forwarded- -m beg
    http-request del-header forwarded
    http-request del-header x-real-ip
    http-request del-header proxy
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto %[var(txn.scheme)]
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
`,
  );
});

void test('certificates open 443, and 444 for the PROXY protocol', () => {
  const { text } = renderConfig(layout, { ...options, certificates: 'c1' });
  assert.match(text, /^ {4}bind :443 ssl crt \/etc\/espalier-edge\/certs\/ alpn h2,http\/1\.1$/m);
  assert.match(
    text,
    /^ {4}bind 127\.0\.0\.1:444 accept-proxy ssl crt \/etc\/espalier-edge\/certs\/ alpn h2,http\/1\.1$/m,
  );
  assert.match(text, /^ {4}http-request set-var\(txn\.scheme\) str\(https\) if \{ ssl_fc \}$/m);
  assert.match(text, /^ {4}ssl-default-bind-options ssl-min-ver TLSv1\.2$/m);
});

void test('servers and hosts do not change the structure; pools, proxies, certificates and pages do', () => {
  const { structure } = renderConfig(layout, options);
  const [wiki, shop] = layout.pools;
  assert.ok(wiki && shop);
  const hosts = [
    { host: 'a.test', site: 's000000001', pool: 'shop', state: 'ready', requestsPerS: 0, connections: 0 },
  ] as const;
  assert.equal(
    renderConfig({ ...layout, pools: [{ ...shop, servers: [] }, wiki], hosts }, options).structure,
    structure,
  );
  assert.notEqual(renderConfig({ ...layout, pools: [shop] }, options).structure, structure);
  assert.notEqual(renderConfig({ ...layout, trustedProxies: ['192.0.2.1/32'] }, options).structure, structure);
  assert.notEqual(renderConfig(layout, { ...options, certificates: 'c1' }).structure, structure);
  assert.notEqual(renderConfig(layout, { ...options, pages: 'p2' }).structure, structure);
});

void test('a pool that may sleep holds its first requests', () => {
  const [wiki] = layout.pools;
  assert.ok(wiki);
  const { text, structure } = renderConfig({ ...layout, pools: [{ ...wiki, holds: true }] }, options);
  assert.ok(
    text.endsWith(`
backend wiki
    errorfile 503 /etc/espalier-edge/errors/waking.http
    http-request lua.hold wiki if { nbsrv eq 0 } { be_conn le 500 }
`),
  );
  const without = renderConfig({ ...layout, pools: [wiki] }, options);
  assert.doesNotMatch(without.text, /lua\.hold wiki/);
  assert.notEqual(structure, without.structure);
});

void test('edges tell each other how often sites were asked, also one its own next worker', () => {
  const edges = [
    { name: 'edge1', address: '10.87.0.2' },
    { name: 'edge2', address: '10.87.0.66' },
  ];
  const alone = renderConfig(layout, options);
  const { text, structure } = renderConfig({ ...layout, edges }, { ...options, self: 'edge2' });
  assert.match(text, /^ {4}localpeer edge2$/m);
  assert.ok(
    text.includes(`
peers _edges
    peer edge1 10.87.0.2:10000
    peer edge2 10.87.0.66:10000

defaults
`),
  );
  assert.match(
    text,
    /^ {4}stick-table type string len 16 size 100k expire 20s store gpc0_rate\(10s\),conn_cur peers _edges$/m,
  );
  assert.notEqual(structure, alone.structure);
  assert.equal(renderConfig({ ...layout, edges }, { ...options, self: 'edge9' }).text, alone.text);
});
