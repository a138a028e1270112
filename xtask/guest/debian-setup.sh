# Run once inside the freshly bootstrapped Debian tree: what makes it a guest. The arguments are more packages.
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get install --yes --quiet --no-install-recommends "$@"
echo vm >/etc/hostname
echo '127.0.0.1 localhost vm' >/etc/hosts

# An ordinary user with a user manager of its own (lingering) and subordinate ids.
useradd --create-home --uid 1000 --shell /bin/bash user
mkdir -p /var/lib/systemd/linger
touch /var/lib/systemd/linger/user

# A fixed identity: otherwise every boot of the shared image would be a first boot, with presets to apply.
systemd-machine-id-setup

# Nobody logs in: the console and the terminal are the host's.
mkdir -p /etc/systemd/system-generators
ln -s /dev/null /etc/systemd/system-generators/systemd-getty-generator
systemctl mask getty.target getty@tty1.service

# The command of `cargo xtask vm`, once all else is up. Not a oneshot: to the system, it is no job that
# the boot is still waiting for.
cat >/etc/systemd/system/xtask.service <<'UNIT'
[Unit]
Description=The command of cargo xtask vm
After=multi-user.target

[Service]
Type=exec
ExecStart=/bin/sh /usr/lib/xtask/run.sh
Restart=no
TasksMax=infinity
LimitNOFILE=524288

[Install]
WantedBy=graphical.target
UNIT
systemctl enable xtask.service
systemctl set-default graphical.target

# Nothing starts on its own while a test measures.
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
systemctl mask podman-auto-update.timer podman-auto-update.service podman-restart.service podman.service podman.socket

systemctl disable earlyoom.service systemd-oomd.service

# Packages and their lists, for which a guest without a network has no use.
apt-get clean
rm -rf /var/lib/apt/lists/*
