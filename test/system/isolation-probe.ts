// PHP that tries, from inside one site, everything that belongs to another, and says of each try how it was refused. Apart
// because the same code is run as a task and in a request.

/** Opens the site's own settings, database and cache as `$site`, `$db` and `$redis`. */
export const readSetting = `
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$site = json_decode(file_get_contents(getenv('ESPALIER_SITE_FILE')), true);
$d = $site['database'];
$c = $site['cache'];
$db = new mysqli($d['host'], $d['user'], $d['password'], $d['name'], $d['port']);
$redis = new Redis();
$redis->connect($c['host'], $c['port'], 3);
$redis->auth([$c['user'], $c['password']]);
`;

/** `theirs`: the other site's id. Prints an object of outcomes, each `refused: …` or `ALLOWED: …`, and `own`. */
export function renderProbe(theirs: string): string {
  return `${readSetting}
$try = function (callable $work) {
  try {
    $got = @$work();
    if ($got === false) throw new Exception(error_get_last()['message'] ?? 'false');
    return 'ALLOWED: ' . json_encode($got);
  } catch (Throwable $thrown) {
    return 'refused: ' . $thrown->getMessage();
  }
};
$ask = function (string ...$command) use ($redis) {
  $redis->clearLastError();
  $got = $redis->rawCommand(...$command);
  if ($redis->getLastError() !== null) throw new Exception($redis->getLastError());
  return $got;
};
$redis->set($c['prefix'] . 'probe', 'mine');
echo json_encode([
  'own' => 'database ' . ($db->query('SELECT 1')->fetch_column() == 1 ? 'ok' : 'broken')
    . ', cache ' . ($redis->get($c['prefix'] . 'probe') === 'mine' ? 'ok' : 'broken'),
  'file: settings' => $try(fn() => file_get_contents('/etc/espalier/sites/${theirs}/site.json')),
  'file: content' => $try(fn() => file_get_contents('/srv/content/${theirs}/uploads/upload.txt')),
  'php: socket' => $try(fn() => (bool) stream_socket_client('unix:///run/espalier/php/${theirs}.sock')),
  'database: others by its own account' => $try(fn() => $db->query('SELECT * FROM \`${theirs}\`.wp_users')->fetch_all()),
  'database: others without a password' => $try(fn() => (new mysqli($d['host'], '${theirs}', '', '${theirs}', $d['port']))->stat()),
  'database: list others' => $try(function () use ($db) {
    $names = array_column($db->query('SHOW DATABASES')->fetch_all(), 0);
    if (!in_array('${theirs}', $names, true)) throw new Exception('only ' . implode(', ', $names));
    return $names;
  }),
  'database: the whole server' => $try(fn() => $db->query('SELECT user, authentication_string FROM mysql.user')->fetch_all()),
  'sessions: read theirs' => $try(fn() => $ask('GET', '${theirs}:session:secret')),
  'sessions: change theirs' => $try(fn() => $ask('SET', '${theirs}:session:secret', 'mine')),
  'sessions: list' => $try(fn() => $ask('SCAN', '0')),
  'sessions: all keys' => $try(fn() => $ask('KEYS', '*')),
  'sessions: the whole server' => $try(fn() => $ask('ACL', 'LIST')),
]);
`;
}
