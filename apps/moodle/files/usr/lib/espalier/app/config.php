<?php
// The configuration of every Moodle site of this image. What differs is read from the site's own file.

unset($CFG);
global $CFG;
$CFG = new stdClass();

$espalier = json_decode((string) @file_get_contents((string) getenv('ESPALIER_SITE_FILE')), true);
if (!is_array($espalier)) {
    http_response_code(503);
    exit("This command or request belongs to no site: ESPALIER_SITE_FILE names no readable file.\n");
}

$CFG->wwwroot = $espalier['url'];
$CFG->dataroot = '/srv/content/' . $espalier['site'] . '/moodledata';
$CFG->localcachedir = '/var/lib/espalier/sites/' . $espalier['site'] . '/cache';
$CFG->tempdir = $CFG->dataroot . '/temp';
$CFG->directorypermissions = 02750;
$CFG->admin = 'admin';

$CFG->dbtype = 'mariadb';
$CFG->dblibrary = 'native';
$CFG->dbhost = $espalier['database']['host'];
$CFG->dbname = $espalier['database']['name'];
$CFG->dbuser = $espalier['database']['user'];
$CFG->dbpass = $espalier['database']['password'];
$CFG->prefix = 'mdl_';
$CFG->dboptions = ['dbport' => $espalier['database']['port'], 'dbcollation' => 'utf8mb4_unicode_ci'];

$CFG->session_handler_class = '\core\session\redis';
$CFG->session_redis_host = $espalier['cache']['host'];
$CFG->session_redis_port = $espalier['cache']['port'];
$CFG->session_redis_auth = [$espalier['cache']['user'], $espalier['cache']['password']];
$CFG->session_redis_prefix = $espalier['cache']['prefix'] . 'session:';
$CFG->session_redis_acquire_lock_timeout = 60;
$CFG->session_redis_lock_expire = 7200;

// Code changes with the image.
$CFG->disableupdateautodeploy = true;
$CFG->preventexecpath = true;
unset($espalier);

require_once '/usr/share/moodle/lib/setup.php';
