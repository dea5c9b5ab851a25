// Two sites on the same nodes: whoever is in one, as its Unix user or as code in its PHP, gets at nothing of the other.
// Every refusal has a control beside it, so that a thing that is merely absent does not pass for a protected one.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { readSetting, renderProbe } from './isolation-probe.ts';
import { type LivePlace, openLivePlace } from './live-place.ts';

const INTRUDER = 'intruder';
let place: LivePlace;
let node: { name: string; address: string };
/** Ids: Unix users, databases and accounts are named so. */
let mine: string;
let theirs: string;

before(async () => {
  place = await openLivePlace();
  const { api } = place;
  await removeIntruder();
  const created = await place.espalier([
    ...['site', 'create', INTRUDER, '--app', 'wordpress', '--host', `${INTRUDER}.localhost`],
  ]);
  assert.equal(created.code, 0, created.stderr);
  mine = (await api.readSite(INTRUDER)).id;
  theirs = (await api.readSite('wordpress')).id;
  const [first] = await api.readNodes('wordpress');
  assert.ok(first !== undefined);
  node = first;
  // Their PHP runs, they have a session, and something that they uploaded.
  assert.equal((await api.visit('wordpress.localhost', '/', { address: node.address })).status, 200);
  const session = `$redis->set($site['cache']['prefix'] . 'session:secret', 'theirs');`;
  await inSite(theirs, ['php', '-r', `${readSetting}${session}`]);
  await inSite(theirs, ['sh', '-c', `echo theirs >/srv/content/${theirs}/uploads/upload.txt`]);
});
after(async () => {
  await removeIntruder();
  await place.leave();
});

async function removeIntruder(): Promise<void> {
  const { api } = place;
  if ((await api.ask('GET', `/v1/sites/${INTRUDER}`)).status === 404) return;
  await api.removeSite(INTRUDER);
}

/** A command as a site's user, as its tasks are run; it must succeed. */
async function inSite(site: string, argv: readonly string[]): Promise<string> {
  const result = await place.fleet.exec(node.name, ['/usr/lib/espalier/site-exec', site, '--', ...argv]);
  assert.equal(result.code, 0, result.stderr);
  return result.stdout;
}

/** A login as a user of the node: nothing but the user's own rights, none of the service's further walls. */
const asUser = (user: string, command: string) =>
  place.fleet.exec(node.name, ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups', 'sh', '-c', command]);

void describe("a site's Unix user in a node", () => {
  void it("reads none of another site's files, secrets and processes", async () => {
    const php = await place.fleet.exec(node.name, ['pgrep', '--oldest', '--uid', theirs]);
    const pid = php.stdout.trim();
    assert.match(pid, /^\d+$/, 'their PHP runs');
    const targets = [
      `/etc/espalier/sites/${theirs}/site.json`,
      `/etc/espalier/sites/${theirs}/environment`,
      `/etc/espalier/sites/${theirs}/php-fpm.conf`,
      `/srv/content/${theirs}/uploads/upload.txt`,
      `/proc/${pid}/environ`,
      `/proc/${pid}/maps`,
    ];
    for (const path of targets) {
      const control = await asUser(theirs, `cat ${path} | wc -c`);
      assert.ok(Number(control.stdout) > 0, `${path} is there for its owner`);
      const { code, stdout, stderr } = await asUser(mine, `cat ${path}`);
      assert.notEqual(code, 0, path);
      assert.equal(stdout, '', path);
      assert.match(stderr, /Permission denied/, path);
    }
    for (const folder of ['/srv/content', `/srv/content/${theirs}`, `/var/lib/espalier/sites/${theirs}`]) {
      assert.match((await asUser(mine, `ls ${folder}`)).stderr, /Permission denied/, folder);
    }
    for (const folder of ['/etc/espalier/sites', '/etc/espalier/hosts']) {
      assert.match((await asUser(mine, `ls ${folder}`)).stderr, /Permission denied/, `${folder} names the neighbours`);
    }
    assert.notEqual((await asUser(mine, `kill -9 ${pid}`)).code, 0);
    assert.equal((await asUser(theirs, `kill -0 ${pid}`)).code, 0, 'it lives');
  });

  void it("changes nothing of its own settings and of the image's code", async () => {
    for (const path of [
      `/etc/espalier/sites/${mine}/site.json`,
      `/etc/espalier/sites/${mine}/intruded`,
      '/usr/share/wordpress/intruded.php',
      '/usr/lib/espalier/site-exec',
      '/srv/content/intruded',
    ]) {
      assert.match((await asUser(mine, `: >>${path}`)).stderr, /Permission denied|Read-only/, path);
    }
    assert.equal((await asUser(mine, `: >>/srv/content/${mine}/uploads/own`)).code, 0, 'its uploads are its own');
  });
});

/** What the probe says of one run in the intruder's PHP. */
type Findings = Record<string, string>;

const REFUSALS: Record<string, RegExp> = {
  'file: settings': /Permission denied$/,
  'file: content': /Permission denied$/,
  'php: socket': /\(Permission denied\)$/,
  'database: others by its own account': /^refused: SELECT command denied to user/,
  'database: others without a password': /^refused: Access denied for user .* \(using password: NO\)$/,
  'database: list others': /^refused: only information_schema, s[a-z0-9]{9}$/,
  'database: the whole server': /^refused: SELECT command denied .* `mysql`\.`user`$/,
  'sessions: read theirs': /^refused: NOPERM No permissions to access a key$/,
  'sessions: change theirs': /^refused: NOPERM No permissions to access a key$/,
  'sessions: list': /^refused: NOPERM .* 'scan' command$/,
  'sessions: all keys': /^refused: NOPERM .* 'keys' command$/,
  'sessions: the whole server': /^refused: NOPERM .* 'acl\|list' command$/,
};

function assertKeptOut({ own, ...tries }: Findings): void {
  assert.equal(own, 'database ok, cache ok', 'with its own things it works');
  assert.deepEqual(Object.keys(tries).sort(), Object.keys(REFUSALS).sort());
  for (const [what, refusal] of Object.entries(REFUSALS)) assert.match(tries[what] ?? '', refusal, what);
}

void describe("code in a site's PHP", () => {
  void it("reaches no other site's database, sessions, files or PHP when run as a task", async () => {
    assertKeptOut(JSON.parse(await inSite(mine, ['php', '-r', renderProbe(theirs)])) as Findings);
  });

  void it('reaches none of them in a request either', async () => {
    const script = `/srv/content/${mine}/uploads/probe.php`;
    const file = `<?php header('Content-Type: application/json'); ${renderProbe(theirs)}`;
    await place.fleet.exec(node.name, ['/usr/lib/espalier/site-exec', mine, '--', 'tee', script], { stdin: file });
    // As nginx asks PHP, but for a script that nginx would never ask for.
    const cgi = await place.fleet.exec(node.name, ['php', '-r', renderAsk(mine, script)]);
    const body = cgi.stdout.slice(cgi.stdout.indexOf('\r\n\r\n') + 4);
    assertKeptOut(JSON.parse(body) as Findings);
  });
});

void describe('what people upload', () => {
  const host = `${INTRUDER}.localhost`;
  const get = (path: string) => place.api.visit(host, path, { address: node.address });

  void it('is never executed, whatever it is called', async () => {
    const uploads = `/srv/content/${mine}/uploads`;
    const code = `<?php echo 'executed as ' . (40 + 2);`;
    for (const name of ['evil.php', 'evil.phtml', 'evil.phar', 'evil.PHP', 'evil.php.jpg', 'evil.jpg']) {
      await place.fleet.exec(node.name, ['/usr/lib/espalier/site-exec', mine, '--', 'tee', `${uploads}/${name}`], {
        stdin: code,
      });
      for (const path of [name, `${name}/x.php`, `${name}%00.php`, `${name}/../${name}`, `./${name}?x=.php`]) {
        const answer = await get(`/wp-content/uploads/${path}`);
        assert.ok(!answer.body.toString().includes('executed as 42'), `${path} was executed`);
      }
    }
    const refused = await get('/wp-content/uploads/evil.php');
    assert.equal(refused.status, 403);
    assert.equal((await get('/wp-content/uploads/evil.jpg')).status, 200, 'what is not named as code is a file');
  });

  void it('cannot lead out of its site by a link, although the web server may read all sites', async () => {
    const uploads = `/srv/content/${mine}/uploads`;
    for (const [name, target] of [
      ['theirs', `/srv/content/${theirs}/uploads/upload.txt`],
      ['folder', `/srv/content/${theirs}/uploads`],
      ['settings', `/etc/espalier/sites/${theirs}/site.json`],
      ['passwd', '/etc/passwd'],
    ] as const) {
      await inSite(mine, ['ln', '-sfn', target, `${uploads}/${name}`]);
      const path = name === 'folder' ? 'folder/upload.txt' : name;
      const answer = await get(`/wp-content/uploads/${path}`);
      assert.match(`${answer.status}`, /^40[34]$/, `${name}: ${answer.body}`);
    }
    const control = await place.api.visit('wordpress.localhost', '/wp-content/uploads/upload.txt', {
      address: node.address,
    });
    assert.equal(control.body.toString(), 'theirs\n');
  });
});

/** PHP for the node's root: one FastCGI request (FastCGI Specification 1.0) to a site's PHP. */
function renderAsk(site: string, script: string): string {
  return `
$params = '';
foreach (['SCRIPT_FILENAME' => '${script}', 'REQUEST_METHOD' => 'GET', 'QUERY_STRING' => ''] as $name => $value)
  $params .= chr(strlen($name)) . chr(strlen($value)) . $name . $value;
$record = fn($type, $body) => pack('CCnnxx', 1, $type, 1, strlen($body)) . $body;
$door = stream_socket_client('unix:///run/espalier/php/${site}.sock');
fwrite($door, $record(1, pack('nCx5', 1, 0)) . $record(4, $params) . $record(4, '') . $record(5, ''));
while (strlen($head = (string) stream_get_contents($door, 8)) === 8) {
  $r = unpack('Cversion/Ctype/nid/nlength/Cpadding', $head);
  $body = $r['length'] + $r['padding'] ? stream_get_contents($door, $r['length'] + $r['padding']) : '';
  if ($r['type'] === 6) echo substr($body, 0, $r['length']);
  if ($r['type'] === 7) fwrite(STDERR, substr($body, 0, $r['length']));
  if ($r['type'] === 3) break;
}`;
}
