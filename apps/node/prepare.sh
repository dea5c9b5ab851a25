#!/bin/sh
# Makes a Debian with nginx and PHP a node: one PHP for all, no pool but the sites' own.
set -eu

version=$(php -r 'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;')
ln -sfn "/usr/sbin/php-fpm$version" /usr/lib/espalier/php-fpm
for sapi in cli fpm; do
	ln -sfn /usr/lib/espalier/php.ini "/etc/php/$version/$sapi/conf.d/90-espalier.ini"
	ln -sfn /usr/lib/espalier/app/php.ini "/etc/php/$version/$sapi/conf.d/95-app.ini"
done
systemctl disable --now --quiet "php$version-fpm.service"
systemctl mask --quiet "php$version-fpm.service" phpsessionclean.timer
rm -f /etc/nginx/sites-enabled/default

# Site users are records that the agent writes, looked up by nss-systemd.
ln -sfn /etc/espalier/userdb /etc/userdb
install -d -m 755 /etc/espalier /srv/content
install -d -m 711 /var/lib/espalier /var/lib/espalier/sites
systemctl enable --quiet nginx.service espalier-sites.service espalier-idle.timer
