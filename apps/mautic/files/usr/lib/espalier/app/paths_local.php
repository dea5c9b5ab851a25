<?php
// Where this site's own files lie; read by Mautic's paths.php. Code, themes and plugins stay the image's.

$espalierContent = '/srv/content/' . getenv('ESPALIER_SITE');
$paths['local_config'] = $espalierContent . '/config/local.php';
$paths['local_root'] = $paths['images_root'] = $espalierContent;
unset($espalierContent);
