<?php
// What Espalier decides of a site; read by Mautic over what people set in config/local.php.

$espalier = json_decode((string) @file_get_contents((string) getenv('ESPALIER_SITE_FILE')), true);
if (is_array($espalier)) {
    $espalierContent = '/srv/content/' . $espalier['site'];
    $espalierHome = '/var/lib/espalier/sites/' . $espalier['site'];
    $parameters = [
        'db_driver' => 'pdo_mysql',
        'db_host' => $espalier['database']['host'],
        'db_port' => $espalier['database']['port'],
        'db_name' => $espalier['database']['name'],
        'db_user' => $espalier['database']['user'],
        'db_table_prefix' => ($espalier['settings']['tablePrefix'] ?? '') ?: null,
        'db_password' => $espalier['database']['password'],
        'secret_key' => $espalier['secrets']['secretKey'],
        'upload_dir' => "$espalierContent/media/files",
        'dashboard_import_user_dir' => "$espalierContent/media/dashboards",
        'cache_path' => "$espalierHome/cache",
        'log_path' => "$espalierHome/logs",
        'tmp_path' => "$espalierHome/tmp",
        'import_leads_dir' => "$espalierHome/tmp/imports",
        // Images bring updates, and nobody is told of them.
        'composer_updates' => false,
        'stats_update_url' => '',
        'system_update_url' => '',
    ];
    // The installer takes a site with an address for an installed one.
    if (!getenv('ESPALIER_INSTALLING')) {
        $parameters['site_url'] = $espalier['url'];
    }
    unset($espalierContent, $espalierHome);
}
unset($espalier);
