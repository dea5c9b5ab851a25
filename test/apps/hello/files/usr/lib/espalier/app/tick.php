<?php
require __DIR__ . '/site.php';
$db->execute_query('INSERT INTO tick (node, pid) VALUES (?, ?)', [gethostname(), getmypid()]);
echo "ticked\n";
