import assert from 'node:assert/strict';
import test from 'node:test';
import type { SiteDocument } from '../protocol/site-document.ts';
import { renderSiteVersion, renderUserRecords } from './render-site.ts';

const document: SiteDocument = {
  site: 'sabc123def',
  name: 'acme',
  app: 'wordpress',
  version: 7,
  uid: 10_001,
  state: 'ready',
  hosts: ['acme.localhost', 'www.acme.localhost'],
  primaryHost: 'acme.localhost',
  url: 'http://acme.localhost:8080',
  title: 'Acme "& Söhne"',
  database: { host: '10.0.0.3', port: 3306, name: 'sabc123def', user: 'sabc123def', password: 'd' },
  cache: { host: '10.0.0.4', port: 6379, user: 'sabc123def', password: 'a"b$c;d\'e%', prefix: 'sabc123def:' },
  secrets: { keys: '00ff' },
  settings: {},
  limits: {
    phpWorkers: 6,
    phpMemoryMb: 256,
    requestTimeoutS: 120,
    uploadMb: 64,
    requestsPerS: 50,
    connections: 100,
    databaseConnections: 30,
    statementTimeS: 60,
  },
};

function textOf(of: SiteDocument, path: string): string {
  const entry = renderSiteVersion(of).find((each) => each.path === path);
  assert.ok(entry !== undefined && 'content' in entry, `${path} is not rendered`);
  return entry.content;
}

void test('A version holds the document, its environment, PHP settings and links, closed to all but root and the site', () => {
  const shape = renderSiteVersion(document).map((entry) =>
    'linkTo' in entry ? [entry.path, entry.linkTo] : [entry.path, entry.mode.toString(8), entry.uid, entry.gid],
  );
  assert.deepEqual(shape, [
    ['site.json', '440', 0, 10_001],
    ['environment', '440', 0, 10_001],
    ['content', '/srv/content/sabc123def'],
    ['php-fpm.conf', '440', 0, 10_001],
    ['php.sock', '/run/espalier/php/sabc123def.sock'],
  ]);
  assert.deepEqual(JSON.parse(textOf(document, 'site.json')), document);
});

void test('A suspended site keeps its document and environment, and has no PHP', () => {
  const paths = renderSiteVersion({ ...document, state: 'suspended' }).map((entry) => entry.path);
  assert.deepEqual(paths, ['site.json', 'environment', 'content']);
});

void test('Commands get the host name as a visitor types it, with its port', () => {
  assert.equal(
    textOf(document, 'environment'),
    'ESPALIER_SITE=sabc123def\nESPALIER_SITE_FILE=/etc/espalier/sites/sabc123def/site.json\nHTTP_HOST=acme.localhost:8080\n',
  );
});

void test('A site whose mail is held back has no way to a mail server, neither in visits nor in commands', () => {
  const held = { ...document, mailHeld: true };
  assert.match(textOf(held, 'environment'), /^PHP_INI_SCAN_DIR=:\/usr\/lib\/espalier\/held$/m);
  const php = textOf(held, 'php-fpm.conf');
  assert.match(php, /^php_admin_value\[sendmail_path\] = "\/usr\/lib\/espalier\/hold-mail"$/m);
  assert.doesNotMatch(php, /disable_functions/);
  assert.doesNotMatch(php, /PHP_INI_SCAN_DIR/);
  assert.equal(textOf({ ...document, mailHeld: false }, 'php-fpm.conf'), textOf(document, 'php-fpm.conf'));
});

void test('a site whose hooks are held is told of a proxy that is not there, and its own hosts need none', () => {
  const held = { ...document, mailHeld: true, hooksHeld: true };
  const environment = textOf(held, 'environment');
  assert.match(environment, /^PHP_INI_SCAN_DIR=:\/usr\/lib\/espalier\/held:\/usr\/lib\/espalier\/held-hooks$/m);
  assert.match(environment, /^https_proxy=http:\/\/127\.0\.0\.1:9$/m);
  assert.match(environment, new RegExp(`^no_proxy=${document.hosts.join(',')}$`, 'm'));
  assert.match(textOf(held, 'php-fpm.conf'), /^env\[https_proxy\] = "http:\/\/127\.0\.0\.1:9"$/m);
  assert.doesNotMatch(textOf(document, 'environment'), /proxy/);
});

void test('PHP settings bound workers, memory and time, and point sessions at Valkey with locks that end', () => {
  assert.equal(
    textOf(document, 'php-fpm.conf'),
    `[global]
error_log = syslog
syslog.ident = espalier-php
log_level = warning
process_control_timeout = 20s
systemd_interval = 0
[sabc123def]
listen = /run/espalier/php/sabc123def.sock
pm = ondemand
pm.max_children = 6
pm.process_idle_timeout = 60s
pm.max_requests = 1000
request_terminate_timeout = 120s
env[ESPALIER_SITE] = "sabc123def"
env[ESPALIER_SITE_FILE] = "/etc/espalier/sites/sabc123def/site.json"
env[HOME] = "/var/lib/espalier/sites/sabc123def"
env[PATH] = "/usr/local/bin:/usr/bin:/bin"
env[LANG] = "C.UTF-8"
php_admin_value[memory_limit] = "256M"
php_admin_value[max_execution_time] = "120"
php_admin_value[upload_max_filesize] = "64M"
php_admin_value[post_max_size] = "65M"
php_admin_value[error_log] = "syslog"
php_admin_value[output_buffering] = "1048576"
php_value[session.save_handler] = "redis"
php_value[session.save_path] = "tcp://10.0.0.4:6379?auth[user]=sabc123def&auth[pass]=a%22b%24c%3Bd%27e%25&prefix=sabc123def%3Asession%3A&timeout=2&read_timeout=5"
php_value[redis.session.lock_expire] = "130"
`,
  );
});

void test('A new title changes the document and not the PHP settings, so that PHP is not restarted for it', () => {
  const renamed = { ...document, version: 8, title: 'Other' };
  assert.equal(textOf(renamed, 'php-fpm.conf'), textOf(document, 'php-fpm.conf'));
  assert.notEqual(textOf(renamed, 'site.json'), textOf(document, 'site.json'));
});

void test('A site is a Unix user without useradd: records by name and by id', () => {
  assert.deepEqual(renderUserRecords(document), [
    {
      path: 'sabc123def.user',
      content:
        '{"userName":"sabc123def","uid":10001,"gid":10001,"homeDirectory":"/var/lib/espalier/sites/sabc123def","shell":"/usr/sbin/nologin","locked":true}\n',
      mode: 0o444,
      uid: 0,
      gid: 0,
    },
    { path: '10001.user', linkTo: 'sabc123def.user' },
    { path: 'sabc123def.group', content: '{"groupName":"sabc123def","gid":10001}\n', mode: 0o444, uid: 0, gid: 0 },
    { path: '10001.group', linkTo: 'sabc123def.group' },
  ]);
});
