#!/bin/sh
# Unpacks the release (a tar with the folder `moodle`) to /usr/share/moodle and puts our configuration in it.
set -eu

target=/usr/share/moodle
work=$(mktemp -d)
tar -C "$work" -xf "$ESPALIER_ARCHIVE"
[ -f "$work/moodle/version.php" ] && [ -d "$work/moodle/lib" ] || { echo "the archive holds no Moodle up to 5.0: there is no moodle/version.php beside moodle/lib in it" >&2; exit 1; }
rm -rf "$target"
mv "$work/moodle" "$target"
rm -rf "$work"
chown -R root:root "$target"
chmod -R u=rwX,go=rX "$target"
ln -sfn /usr/lib/espalier/app/config.php "$target/config.php"
