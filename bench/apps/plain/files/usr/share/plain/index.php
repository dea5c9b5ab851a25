<?php
// Which node answered, in about a kilobyte; `?wait=300` after so many milliseconds, as a slow page would.
if (isset($_GET['wait'])) usleep(1000 * min(5000, (int) $_GET['wait']));
header('Content-Type: text/plain');
echo 'node=', gethostname(), "\n", str_repeat("The quick brown fox jumps over the lazy dog.\n", 20);
