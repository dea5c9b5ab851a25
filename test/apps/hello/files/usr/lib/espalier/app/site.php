<?php
// The site's own file, and its database.
$site = json_decode(file_get_contents(getenv('ESPALIER_SITE_FILE')), true, 16, JSON_THROW_ON_ERROR);
$d = $site['database'];
$db = new mysqli($d['host'], $d['user'], $d['password'], $d['name'], $d['port']);
