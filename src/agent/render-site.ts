// One site as files: what its folder under /etc/espalier/sites holds, and the records that make its Unix
// user. Pure, and apart from the writing of them, so that tests compare exactly what a node will read.
import type { SiteDocument } from '../protocol/site-document.ts';

/** A file, or a link; `path` is relative to the folder that is rendered. `mode` as in chmod; owners are ids in the node. */
export type RenderedEntry =
  | { path: string; content: string; mode: number; uid: number; gid: number }
  | { path: string; linkTo: string };

/** Seconds that an idle PHP process lives on; a master without processes is stopped by the node's espalier-idle. */
const WORKER_IDLE_S = 60;
/** A worker is replaced after so many requests: what extensions leak stays small. */
const WORKER_REQUESTS = 1_000;
/** A request that takes a session's lock and dies gives it up this much after its own bound. */
const LOCK_GRACE_S = 10;
/** What PHP keeps of a page until it is whole; a longer one begins to be sent when this is full. */
const PAGE_BYTES = 1_048_576;
/** Bounds of a connection to Valkey; PHP's own default is a day. */
const CACHE_CONNECT_S = 2;
const CACHE_READ_S = 5;

/**
 * The rest of it is in /usr/lib/espalier/held/held.ini, which PHP reads when it starts (PHP_INI_SCAN_DIR): functions that go away
 * later do not fit the code that was compiled ahead. This line is there too, so that a change of it starts PHP anew.
 */
const HELD: [string, string][] = [['sendmail_path', '/usr/lib/espalier/hold-mail']];

/** Everything in `sites/<site>`. One that is suspended or in maintenance has no PHP: neither settings nor a socket. */
export function renderSiteVersion(document: SiteDocument): RenderedEntry[] {
  const { site, uid } = document;
  const secret = { mode: 0o440, uid: 0, gid: uid };
  const entries: RenderedEntry[] = [
    { path: 'site.json', content: `${JSON.stringify(document, undefined, 2)}\n`, ...secret },
    { path: 'environment', content: renderEnvironment(document), ...secret },
    { path: 'content', linkTo: `/srv/content/${site}` },
  ];
  if (document.state === 'suspended' || document.state === 'maintenance') return entries;
  return [
    ...entries,
    { path: 'php-fpm.conf', content: renderPhpFpm(document), ...secret },
    { path: 'php.sock', linkTo: socketPath(site) },
  ];
}

/** The site's Unix user and group as static userdb records (systemd, `man userdbd`), each by name and by id. */
export function renderUserRecords({ site, uid }: Pick<SiteDocument, 'site' | 'uid'>): RenderedEntry[] {
  const open = { mode: 0o444, uid: 0, gid: 0 };
  const user = {
    userName: site,
    uid,
    gid: uid,
    homeDirectory: `/var/lib/espalier/sites/${site}`,
    shell: '/usr/sbin/nologin',
    locked: true,
  };
  return [
    { path: `${site}.user`, content: `${JSON.stringify(user)}\n`, ...open },
    { path: `${uid}.user`, linkTo: `${site}.user` },
    { path: `${site}.group`, content: `${JSON.stringify({ groupName: site, gid: uid })}\n`, ...open },
    { path: `${uid}.group`, linkTo: `${site}.group` },
  ];
}

/** `NAME=value` lines for site-exec, as systemd's EnvironmentFile reads them too; none of the values needs quoting. */
function renderEnvironment(document: SiteDocument): string {
  return variables(document)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

/** curl, in PHP and by itself, takes these for granted. Nobody listens there, so what goes out fails at once. */
const NOWHERE = 'http://127.0.0.1:9';
const renderNoWayOut = ({ hosts }: SiteDocument): [name: string, value: string][] => [
  ...['http_proxy', 'https_proxy', 'all_proxy'].map((name): [string, string] => [name, NOWHERE]),
  ['no_proxy', hosts.join(',')],
];

function variables(document: SiteDocument): [name: string, value: string][] {
  const folders = [
    ...(document.mailHeld === true ? ['/usr/lib/espalier/held'] : []),
    ...(document.hooksHeld === true ? ['/usr/lib/espalier/held-hooks'] : []),
  ];
  return [
    ['ESPALIER_SITE', document.site],
    ['ESPALIER_SITE_FILE', `/etc/espalier/sites/${document.site}/site.json`],
    ['HTTP_HOST', new URL(document.url).host],
    // PHP's own folders first, then ours.
    ...(folders.length === 0 ? [] : [['PHP_INI_SCAN_DIR', `:${folders.join(':')}`] as [string, string]]),
    ...(document.hooksHeld === true ? renderNoWayOut(document) : []),
  ];
}

function renderPhpFpm(document: SiteDocument): string {
  const { site, limits } = document;
  const home = `/var/lib/espalier/sites/${site}`;
  const fixed: [string, string][] = [
    ['memory_limit', `${limits.phpMemoryMb}M`],
    ['max_execution_time', `${limits.requestTimeoutS}`],
    ['upload_max_filesize', `${limits.uploadMb}M`],
    // A form's other fields need room beside the file.
    ['post_max_size', `${limits.uploadMb + 1}M`],
    ['error_log', 'syslog'],
    // A page is sent when it is whole: of a node that dies while it makes one, the edge asks another one again.
    ['output_buffering', `${PAGE_BYTES}`],
    ...(document.mailHeld === true ? HELD : []),
  ];
  // Apps that keep sessions in a way of their own may: a fixed value would silently win over their handler.
  const defaults: [string, string][] = [
    ['session.save_handler', 'redis'],
    ['session.save_path', sessionPath(document)],
    ['redis.session.lock_expire', `${limits.requestTimeoutS + LOCK_GRACE_S}`],
  ];
  return [
    '[global]',
    'error_log = syslog',
    `syslog.ident = espalier-php`,
    'log_level = warning',
    'process_control_timeout = 20s',
    'systemd_interval = 0',
    `[${site}]`,
    `listen = ${socketPath(site)}`,
    'pm = ondemand',
    `pm.max_children = ${limits.phpWorkers}`,
    `pm.process_idle_timeout = ${WORKER_IDLE_S}s`,
    `pm.max_requests = ${WORKER_REQUESTS}`,
    `request_terminate_timeout = ${limits.requestTimeoutS}s`,
    ...variables(document)
      .filter(([name]) => name !== 'HTTP_HOST' && name !== 'PHP_INI_SCAN_DIR')
      .map(([name, value]) => `env[${name}] = "${value}"`),
    `env[HOME] = "${home}"`,
    'env[PATH] = "/usr/local/bin:/usr/bin:/bin"',
    'env[LANG] = "C.UTF-8"',
    ...fixed.map(([name, value]) => `php_admin_value[${name}] = "${value}"`),
    ...defaults.map(([name, value]) => `php_value[${name}] = "${value}"`),
    '',
  ].join('\n');
}

/** php-redis' address of the sessions' server. Percent encoding leaves nothing that the settings' quotes could mind. */
function sessionPath({ cache }: SiteDocument): string {
  const query = [
    ['auth[user]', cache.user],
    ['auth[pass]', cache.password],
    ['prefix', `${cache.prefix}session:`],
    ['timeout', `${CACHE_CONNECT_S}`],
    ['read_timeout', `${CACHE_READ_S}`],
  ].map(([name, value]) => `${name}=${encode(value ?? '')}`);
  return `tcp://${cache.host}:${cache.port}?${query.join('&')}`;
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function socketPath(site: string): string {
  return `/run/espalier/php/${site}.sock`;
}
