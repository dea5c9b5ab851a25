#!/bin/sh
# Puts our configuration in the place of Debian's, which would read one file for each host name.
set -eu

config=/usr/share/wordpress/wp-config.php
dpkg-divert --quiet --local --rename --add "$config"
ln -sfn /usr/lib/espalier/app/wp-config.php "$config"
