#!/bin/sh
# Strips the fresh Debian of what a container does not need. Runs once, as root, in a chroot of the new tree.
set -eu

systemctl enable systemd-networkd.service systemd-resolved.service espalier-sys.service
systemctl disable systemd-networkd-wait-online.service
systemctl set-default multi-user.target

# Hardware, consoles, first boots and updates of a machine. /tmp stays on disk: uploads pass through it.
for unit in \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
	getty.target getty-static.service console-getty.service systemd-logind.service \
	systemd-ask-password-console.path systemd-ask-password-wall.path \
	systemd-binfmt.service systemd-firstboot.service systemd-hwdb-update.service systemd-modules-load.service \
	systemd-pstore.service systemd-journal-catalog-update.service systemd-update-done.service ldconfig.service \
	systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup-dev-early.service \
	systemd-network-generator.service systemd-networkd-persistent-storage.service \
	systemd-initctl.socket systemd-sysext.socket systemd-hostnamed.socket systemd-creds.socket \
	proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount tmp.mount \
	sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount
do
	systemctl mask --quiet "$unit"
done

# Each copy names itself: the container's manager sets the host name, the first boot makes the id.
rm -f /etc/hostname
: >/etc/machine-id
ln -sfn ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
