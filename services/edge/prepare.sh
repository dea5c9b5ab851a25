#!/bin/bash
# Runs as root in the seed, after the packages and files are there. Debian's own unit and its configuration stay unused.
set -euo pipefail
chmod 0755 /usr/lib/espalier/edge-prepare
install -d -m 0700 /etc/espalier-edge
systemctl mask haproxy.service
systemctl enable espalier-edge.service
