#!/bin/bash
# Runs as root in the seed, after the packages and files are there. The package initialised a data folder for itself;
# the image carries none, because the volume brings its own.
set -euo pipefail
chmod 0755 /usr/lib/espalier/database-*
systemctl enable mariadb.service
systemctl stop mariadb.service 2>/dev/null || true
find /var/lib/mysql -mindepth 1 -delete
chmod 0750 /var/lib/mysql
install -d -m 0700 /var/backups/espalier
