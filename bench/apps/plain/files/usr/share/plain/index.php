<?php
// About a kilobyte; with `?wait=400` after so many milliseconds, as a slow page would.
if (isset($_GET['wait'])) usleep(1000 * min(5000, (int) $_GET['wait']));
header('Content-Type: text/plain');
echo "A page of PHP\n", str_repeat("The quick brown fox jumps over the lazy dog.\n", 20);
