<?php
// Compiles every PHP file and folder that the app's `precompile` names into the file cache; with a socket as
// argument, has the PHP-FPM behind it do so.

if (isset($argv[1])) {
    echo ask($argv[1], __FILE__);
    exit;
}
error_reporting(0);
ini_set('memory_limit', '-1');
set_time_limit(0);
$compiled = $skipped = 0;
foreach (file('/usr/lib/espalier/app/precompile', FILE_IGNORE_NEW_LINES) as $path) {
    $files = is_dir($path)
        ? new RecursiveIteratorIterator(new RecursiveDirectoryIterator($path, FilesystemIterator::SKIP_DOTS))
        : [new SplFileInfo($path)];
    foreach ($files as $file) {
        // Tests and fixtures that releases carry are never run.
        if (preg_match('#/(tests?|fixtures)/#i', substr($file->getPathname(), strlen($path)))) continue;
        if (!$file->isFile() || !in_array($file->getExtension(), ['php', 'inc'], true)) continue;
        try {
            opcache_compile_file($file->getPathname()) ? $compiled++ : $skipped++;
        } catch (Throwable) {
            $skipped++;
        }
    }
}
echo PHP_SAPI, ": $compiled files compiled, $skipped could not be\n";
// A file that does not compile (a template of another PHP version) is no failure of the bake.
exit($compiled > 0 ? 0 : 1);

/** One FastCGI request for a script, without a web server; gives the body of its answer. */
function ask(string $socket, string $script): string
{
    for ($tries = 0; !($stream = @stream_socket_client("unix://$socket")); $tries++) {
        if ($tries === 100) exit("PHP-FPM did not start\n");
        usleep(50_000);
    }
    $record = static fn(int $type, string $content): string => pack('CCnnCx', 1, $type, 1, strlen($content), 0) . $content;
    $params = '';
    foreach (['SCRIPT_FILENAME' => $script, 'REQUEST_METHOD' => 'GET'] as $name => $value) {
        $params .= pack('CC', strlen($name), strlen($value)) . $name . $value;
    }
    fwrite($stream, $record(1, pack('nCx5', 1, 0)) . $record(4, $params) . $record(4, '') . $record(5, ''));
    $answer = '';
    while (strlen($head = (string) stream_get_contents($stream, 8)) === 8) {
        ['type' => $type, 'length' => $length, 'padding' => $padding] = unpack('Cversion/Ctype/nid/nlength/Cpadding', $head);
        $content = $length + $padding ? stream_get_contents($stream, $length + $padding) : '';
        if ($type === 6) $answer .= substr($content, 0, $length);
    }
    return substr(strstr($answer, "\r\n\r\n") ?: '', 4);
}
