<?php
/*
 * Plugin Name: Espalier
 * Description: Keeps uploads on the volume that all nodes of the pool share.
 */

add_filter('upload_dir', static function (array $uploads): array {
    $uploads['basedir'] = ESPALIER_UPLOADS;
    $uploads['baseurl'] = content_url('uploads');
    $uploads['path'] = $uploads['basedir'] . $uploads['subdir'];
    $uploads['url'] = $uploads['baseurl'] . $uploads['subdir'];
    return $uploads;
});

// A visit to itself by its public address may not be possible from inside a node, and updates come with images.
add_filter('site_status_tests', static function (array $tests): array {
    unset($tests['async']['loopback_requests'], $tests['async']['background_updates']);
    return $tests;
});
