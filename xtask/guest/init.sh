#!/bin/sh
# /sbin/init of the small guest: the mounts that a systemd host would have, then the command.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sys /sys
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 shm /dev/shm
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
# /tmp stays on the disk, so that block I/O there is real.
mount -t tmpfs -o nosuid,nodev,mode=755 run /run
# As on a systemd host: mounts propagate unless a program asks otherwise.
mount --make-rshared /
chown 1000:1000 /home/user
hostname vm
ip link set lo up
ulimit -Hn 524288
exec /bin/sh /usr/lib/xtask/run.sh
