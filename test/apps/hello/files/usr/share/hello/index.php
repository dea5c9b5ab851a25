<?php
require '/usr/lib/espalier/app/site.php';
session_start();
$_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
$db->execute_query('INSERT INTO visit VALUES (?, 1) ON DUPLICATE KEY UPDATE visits = visits + 1', [gethostname()]);
if (isset($_FILES['file'])) {
    move_uploaded_file($_FILES['file']['tmp_name'], "/srv/content/{$site['site']}/files/" . basename($_FILES['file']['name']));
}
header('Content-Type: application/json');
echo json_encode([
    'site' => $site['site'],
    'title' => $site['title'],
    'version' => $site['version'],
    'node' => gethostname(),
    'user' => posix_getpwuid(posix_geteuid())['name'] ?? posix_geteuid(),
    'visits' => (int) $db->query('SELECT SUM(visits) FROM visit')->fetch_column(),
    'session' => $_SESSION['count'],
    'url' => ($_SERVER['REQUEST_SCHEME'] ?? '?') . '://' . $_SERVER['HTTP_HOST'] . $_SERVER['REQUEST_URI'],
    'client' => $_SERVER['REMOTE_ADDR'],
], JSON_UNESCAPED_SLASHES), "\n";
