// The text of haproxy.cfg. Pure: tests compare it exactly. What needs a reload (everything but servers and hosts) is
// its structure, whose fingerprint HAProxy repeats in `show info`, so that the running one can be compared.
import { createHash } from 'node:crypto';
import { HOLD_MOST } from './hold.ts';
import { edgeDir, edgeFiles, type ProxyLayout, type ProxyPool } from './layout.ts';
import { renderServer } from './servers.ts';

/** What decides the structure beside the layout itself. */
export interface ConfigOptions {
  /** A fingerprint of the certificates in certs/; undefined when there are none and port 443 stays closed. */
  certificates: string | undefined;
  /** A fingerprint of the pages, which HAProxy reads only when it loads. */
  pages: string;
  /** Which of the layout's edges this one is. */
  self?: string;
}

function renderGlobal(structure: string, certificates: boolean, self: string | undefined): string {
  return `# Written by the Espalier agent; a change made here is lost.
global
    description ${structure}
    chroot /var/lib/haproxy
    user haproxy
    group haproxy
    stats socket ${edgeDir}/${edgeFiles.adminSocket} mode 600 level admin
    stats timeout 1m
    hard-stop-after 10m
    server-state-file ${edgeDir}/${edgeFiles.serversState}
${self === undefined ? '' : `    localpeer ${self}\n`}${certificates ? '    ssl-default-bind-options ssl-min-ver TLSv1.2\n' : ''}    lua-load ${edgeDir}/${edgeFiles.hold}
`;
}

/**
 * A server that owes an answer may take its ten minutes; whether its machine is there at all is asked from the fifth second on, every two, and
 * after three silences its requests go to another. `tcp-ut` would say so too, but not for servers that are added at run time.
 */
function renderDefaults(): string {
  return `
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
    errorfile 502 ${page('broken')}
    errorfile 503 ${page('no-node')}
    errorfile 504 ${page('too-slow')}
`;
}

function page(name: string): string {
  return `${edgeDir}/${edgeFiles.pages}/${name}.http`;
}

/** Who the client is: one address, one scheme, one host, said by us, or by a proxy that is trusted. */
function renderForwarded(trustedProxies: readonly string[], certificates: boolean): string {
  const trusted = trustedProxies.length > 0;
  const rules = [`http-request set-var(txn.scheme) str(http)`];
  if (certificates) rules.push(`http-request set-var(txn.scheme) str(https) if { ssl_fc }`);
  if (trusted) {
    rules.unshift(`acl trusted src ${trustedProxies.join(' ')}`);
    rules.push(
      `http-request set-var(txn.scheme) req.hdr(x-forwarded-proto) if trusted { req.hdr(x-forwarded-proto) -m str http https }`,
      `http-request set-src req.hdr_ip(x-forwarded-for,-1) if trusted { req.hdr_ip(x-forwarded-for,-1) -m found }`,
    );
  }
  const scheme = certificates || trusted ? '%[var(txn.scheme)]' : 'http';
  return [
    ...(certificates || trusted ? rules : []),
    `http-request del-header x-forwarded- -m beg`,
    `http-request del-header forwarded`,
    `http-request del-header x-real-ip`,
    `http-request del-header proxy`,
    `http-request set-header X-Forwarded-For %[src]`,
    `http-request set-header X-Forwarded-Proto ${scheme}`,
    `http-request set-header X-Forwarded-Host %[req.hdr(host)]`,
  ]
    .map((rule) => `    ${rule}\n`)
    .join('');
}

/** Between containers of edges; nothing else listens there. */
export const PEERS_PORT = 10_000;

/** What sites were asked is told to the other edges, and at a reload to the next worker. Only rates: what is under way is each one's own. */
function renderPeers(layout: ProxyLayout): string {
  const peers = (layout.edges ?? []).map(({ name, address }) => `    peer ${name} ${address}:${PEERS_PORT}\n`);
  return `\npeers _edges\n${peers.join('')}`;
}

/**
 * The route of a request is one map value, `state/site/pool/requests per second/connections` (see hosts-map.ts). Requests
 * are counted over ten seconds: one page of an administrator asks for fifty files at once, and that is no flood.
 */
function renderFrontend(layout: ProxyLayout, certificates: boolean, hasPeers: boolean): string {
  const tls = certificates
    ? `    bind :443 ssl crt ${edgeDir}/${edgeFiles.certificates}/ alpn h2,http/1.1
    bind 127.0.0.1:444 accept-proxy ssl crt ${edgeDir}/${edgeFiles.certificates}/ alpn h2,http/1.1\n`
    : '';
  return `
frontend _web
    bind :80
    bind 127.0.0.1:81 accept-proxy
${tls}    monitor-uri /.espalier/edge
    option idle-close-on-response
    stick-table type string len 16 size 100k expire 20s store gpc0_rate(10s),conn_cur${hasPeers ? ' peers _edges' : ''}
    http-request set-var(txn.host) req.hdr(host),host_only,lower
    http-request set-var(txn.route) var(txn.host),map_str(${edgeDir}/${edgeFiles.hostsMap})
    acl held var(txn.route) -m beg held/
    http-request lua.hold_site if held
    http-request set-var(txn.route) var(txn.host),map_str(${edgeDir}/${edgeFiles.hostsMap}) if held
    http-request return status 421 errorfile ${page('unknown')} unless { var(txn.route) -m found }
    http-request return status 503 errorfile ${page('held')} if held
    http-request return status 503 errorfile ${page('suspended')} if { var(txn.route) -m beg suspended/ }
    http-request return status 503 errorfile ${page('creating')} if { var(txn.route) -m beg creating/ }
    acl unlimited var(txn.route) -m end /0/0
    http-request track-sc0 var(txn.route),field(2,/) unless unlimited
    http-request set-var(txn.requests) var(txn.route),field(4,/) unless unlimited
    http-request set-var(txn.connections) var(txn.route),field(5,/) unless unlimited
    http-request return status 429 errorfile ${page('too-many')} if !unlimited { var(txn.connections) -m int gt 0 } { sc0_conn_cur,sub(txn.connections) gt 0 }
    http-request return status 429 errorfile ${page('too-many')} if !unlimited { var(txn.requests) -m int gt 0 } { sc0_gpc0_rate,div(10),sub(txn.requests) ge 0 }
    http-request sc-inc-gpc0(0) unless unlimited
${renderForwarded(layout.trustedProxies, certificates)}    http-request disable-l7-retry unless { method GET HEAD OPTIONS }
    use_backend %[var(txn.route),field(3,/)]
`;
}

/** Whoever comes to a pool that sleeps waits for its first node, then sees the site, or a page that asks again by itself. */
function renderHolding(pool: string): string {
  return `    errorfile 503 ${page('waking')}
    http-request lua.hold ${pool} if { nbsrv eq 0 } { be_conn le ${HOLD_MOST} }\n`;
}

function renderPool(pool: ProxyPool): string {
  const servers = pool.servers.map((server) => `    server ${server.name} ${renderServer(server)}\n`);
  const hold = pool.holds === true ? renderHolding(pool.name) : '';
  return `\nbackend ${pool.name}\n${hold}${servers.join('')}`;
}

/** The whole file, and the fingerprint of its structure that `show info` will report as its description. */
export function renderConfig(layout: ProxyLayout, options: ConfigOptions): { text: string; structure: string } {
  const certificates = options.certificates !== undefined;
  // An edge that the document does not name yet counts for itself.
  const self = (layout.edges ?? []).some(({ name }) => name === options.self) ? options.self : undefined;
  const pools = [...layout.pools].sort((one, other) => (one.name < other.name ? -1 : 1));
  const render = (structure: string, backends: readonly ProxyPool[]) =>
    [
      renderGlobal(structure, certificates, self),
      ...(self === undefined ? [] : [renderPeers(layout)]),
      renderDefaults(),
      renderFrontend(layout, certificates, self !== undefined),
      ...backends.map(renderPool),
    ].join('');
  const bare = pools.map((pool) => ({ ...pool, servers: [] }));
  const hash = createHash('sha256').update(
    JSON.stringify([render('', bare), options.certificates ?? '', options.pages]),
  );
  const structure = `espalier-${hash.digest('hex').slice(0, 16)}`;
  return { text: render(structure, pools), structure };
}
