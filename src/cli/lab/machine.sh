# Run in the root file system of a lab's servers while their image is made. A server of the lab is a container that
# stands for a machine: it has systemd, the packages that `espalier up` would install, and no name of its own.
set -eu

cat >/etc/systemd/network/10-eth0.network <<'NETWORK'
[Match]
Name=eth0
[Network]
DHCP=ipv4
LinkLocalAddressing=no
[DHCPv4]
ClientIdentifier=mac
NETWORK

# A container's /dev shows no loop devices, which Incus needs for a storage pool in a file.
cat >/etc/systemd/system/lab-devices.service <<'UNIT'
[Unit]
Description=Loop devices of a lab's server
DefaultDependencies=no
Before=incus.service incus-startup.service incus.socket sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'mknod -m 660 /dev/loop-control c 10 237; for n in $(seq 0 127); do mknod -m 660 /dev/loop$n b 7 $n; done; true'
[Install]
WantedBy=sysinit.target
UNIT

printf 'root:1000000:1000000000\n' | tee /etc/subuid >/etc/subgid
systemctl enable systemd-networkd.service lab-devices.service
systemctl disable systemd-networkd-wait-online.service
# Every clone gets its own.
: >/etc/machine-id
rm -f /etc/hostname
