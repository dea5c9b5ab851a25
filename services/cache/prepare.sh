#!/bin/bash
# Runs as root in the seed, after the packages and files are there. The image carries no data of its own.
set -euo pipefail
chmod 0755 /usr/lib/espalier/cache-*
chown valkey:valkey /etc/valkey/espalier.conf
systemctl enable valkey-server.service
systemctl stop valkey-server.service 2>/dev/null || true
find /var/lib/valkey -mindepth 1 -delete
