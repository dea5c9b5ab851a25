<?php
// The configuration of every WordPress site of this image. What differs is read from the site's own file.

$espalier = json_decode((string) @file_get_contents((string) getenv('ESPALIER_SITE_FILE')), true);
if (!is_array($espalier)) {
    http_response_code(503);
    exit("This command or request belongs to no site: ESPALIER_SITE_FILE names no readable file.\n");
}

define('DB_HOST', $espalier['database']['host'] . ':' . $espalier['database']['port']);
define('DB_NAME', $espalier['database']['name']);
define('DB_USER', $espalier['database']['user']);
define('DB_PASSWORD', $espalier['database']['password']);
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
$table_prefix = $espalier['settings']['tablePrefix'] ?? 'wp_';

define('WP_HOME', $espalier['url']);
define('WP_SITEURL', $espalier['url']);
// A task on the command line is of the same scheme as a visit.
if (PHP_SAPI === 'cli' && str_starts_with($espalier['url'], 'https:')) {
    $_SERVER['HTTPS'] = 'on';
}

$names = ['AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY', 'AUTH_SALT', 'SECURE_AUTH_SALT', 'LOGGED_IN_SALT', 'NONCE_SALT'];
foreach ($names as $name) {
    define($name, hash_hmac('sha256', $name, $espalier['secrets']['keys']));
}

define('ESPALIER_UPLOADS', '/srv/content/' . $espalier['site'] . '/uploads');
unset($espalier, $names, $name);

// Cron is one of the site's tasks; code changes with the image.
define('DISABLE_WP_CRON', true);
define('DISALLOW_FILE_MODS', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
define('WP_AUTO_UPDATE_CORE', false);
define('FS_METHOD', 'direct');
define('WP_MEMORY_LIMIT', ini_get('memory_limit'));
define('WP_MAX_MEMORY_LIMIT', ini_get('memory_limit'));

if (!defined('ABSPATH')) {
    define('ABSPATH', '/usr/share/wordpress/');
}
require_once ABSPATH . 'wp-settings.php';
