#!/bin/sh
# Unpacks the release (tar or zip, with or without a folder around it) to /usr/share/mautic and lets it find each
# site's own settings.
set -eu

target=/usr/share/mautic
work=$(mktemp -d)
if ! tar -C "$work" -xf "$ESPALIER_ARCHIVE" 2>/dev/null; then
	php -r '$zip = new ZipArchive; exit($zip->open($argv[1]) === true && $zip->extractTo($argv[2]) ? 0 : 1);' \
		"$ESPALIER_ARCHIVE" "$work" || { echo "the archive is neither a tar nor a zip" >&2; exit 1; }
fi
kernel=$(find "$work" -maxdepth 3 -path '*/app/AppKernel.php' | head -n 1)
[ -n "$kernel" ] || { echo "the archive holds no Mautic: there is no app/AppKernel.php in it" >&2; exit 1; }
[ -d "${kernel%/app/*}/vendor" ] || { echo "the archive holds no vendor folder: take a release, not the sources" >&2; exit 1; }
rm -rf "$target"
mv "${kernel%/app/*}" "$target"
rm -rf "$work"
chown -R root:root "$target"
chmod -R u=rwX,go=rX "$target"

# Some builds keep vendor beside the web root; here it is inside.
sed -i "s#'/../vendor/autoload.php'#'/vendor/autoload.php'#" "$target/autoload.php"
rm -rf "$target/var" "$target/config/local.php"
printf 'APP_ENV=prod\nAPP_DEBUG=0\n' >"$target/.env"
ln -sfn /usr/lib/espalier/app/paths_local.php "$target/config/paths_local.php"
ln -sfn /usr/lib/espalier/app/parameters_local.php "$target/app/config/parameters_local.php"

# Compiles container, routes, texts and templates once, for all sites: nothing in them is a site's own.
export ESPALIER_SITE=ssample000 ESPALIER_SITE_FILE=/usr/lib/espalier/app/sample-site.json
php "$target/bin/console" cache:warmup --no-interaction
rm -rf /usr/lib/espalier/app/cache
mv "/var/lib/espalier/sites/$ESPALIER_SITE/cache/prod" /usr/lib/espalier/app/cache
rm -rf "/var/lib/espalier/sites/$ESPALIER_SITE"
# The log's folder was compiled as a place beside this cache; every site has its own.
cd /usr/lib/espalier/app/cache
grep -rl '\\dirname(__DIR__, 3)' . | xargs sed -i "s#\\\\dirname(__DIR__, 3)\.'/logs#\\\\getenv('HOME').'/logs#g"
if grep -rq 'dirname(__DIR__' Container*; then
	echo "this Mautic compiles a path that would lead a site into the image; the recipe must learn of it" >&2
	exit 1
fi
