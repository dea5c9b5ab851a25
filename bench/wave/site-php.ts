// What the bench does and reads inside a WordPress site: a few lines of PHP, run as the site's own user. Apart because it is the
// only PHP text of the bench, and because the second image carries some of it.

/** The plugin of the second image: its own table and a line in a file, made by the app's database upgrade; three ways to break. */
export const PLUGIN = `<?php
/* Plugin Name: Bench */
add_action('wp_upgrade', static function ($to): void {
    global $wpdb;
    $done = $wpdb->query("CREATE TABLE wp_bench_$to (id int PRIMARY KEY, words text) ENGINE=InnoDB");
    file_put_contents(ESPALIER_UPLOADS . '/bench.txt', "upgraded to $to\\n", FILE_APPEND);
    update_option('bench_upgraded', $to);
    if ($done === false) {
        fwrite(STDERR, $wpdb->last_error . "\\n");
        exit(1);
    }
});
add_action('template_redirect', static function (): void {
    if (get_option('bench_break') === 'page' && get_option('bench_upgraded')) bench_function_that_is_gone();
});
add_action('login_init', static function (): void {
    if (get_option('bench_break') === 'words' && get_option('bench_upgraded')) exit('<title>' . get_bloginfo('name') . '</title>Nothing is left of this page but these few words, which nobody wrote here before.');
});
`;

/** The new image's tables are one version on. */
export const BUMP = String.raw`$p = '/usr/share/wordpress/wp-includes/version.php'; $t = file_get_contents($p);
file_put_contents($p, preg_replace_callback('/(\$wp_db_version = )(\d+)/', fn($m) => $m[1] . ($m[2] + 1), $t));`;

/** Makes an upload, and breaks the site for later: by a table that is in the way, a page that fails, or a page that loses its words. */
export const renderPrepare = (way: 'table' | 'page' | 'words' | undefined): string => `
require '/usr/share/wordpress/wp-load.php';
wp_mkdir_p(ESPALIER_UPLOADS);
file_put_contents(ESPALIER_UPLOADS . '/bench.txt', "a picture\\n");
delete_option('bench_upgraded');
${way === 'table' ? 'global $wpdb; $next = (int) get_option("db_version") + 1; $wpdb->query("CREATE TABLE IF NOT EXISTS wp_bench_$next (mine int)");' : ''}
${way === undefined || way === 'table' ? '' : `update_option('bench_break', '${way}');`}
echo 'ok';`;

/** Digests of the database, of what its people wrote, and of its files; and the version of its tables. Passing values of WordPress's own are left out. */
export const DIGESTS = `
require '/usr/share/wordpress/wp-load.php';
global $wpdb;
$all = hash_init('sha256'); $written = hash_init('sha256'); $files = hash_init('sha256');
foreach ($wpdb->get_col('SHOW TABLES') as $table) {
    $where = $table === 'wp_options' ? "WHERE option_name NOT LIKE '%transient%' AND option_name <> 'cron'" : '';
    hash_update($all, $table);
    foreach ($wpdb->get_results("SELECT * FROM $table $where ORDER BY 1", ARRAY_N) as $row) {
        hash_update($all, serialize($row));
        if (in_array($table, ['wp_posts', 'wp_comments', 'wp_users'], true)) hash_update($written, serialize($row));
    }
}
$root = dirname(ESPALIER_UPLOADS);
$paths = iterator_to_array(new RecursiveIteratorIterator(new RecursiveDirectoryIterator($root, FilesystemIterator::SKIP_DOTS)));
ksort($paths);
foreach ($paths as $path => $file) if ($file->isFile()) { hash_update($files, $path); hash_update($files, file_get_contents($path)); }
echo json_encode(['database' => hash_final($all), 'written' => hash_final($written), 'files' => hash_final($files),
    'tables' => (int) get_option('db_version'), 'code' => (int) $GLOBALS['wp_db_version']]);`;
