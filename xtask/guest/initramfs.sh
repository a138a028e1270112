#!/bin/busybox sh
# The guest's first program: load the drivers, mount the disk, hand over to its init.
# A launcher needs a root that pivot_root accepts, and an initramfs is not one.
alias b=/bin/busybox
b mount -t devtmpfs dev /dev
exec </dev/null >/dev/console 2>&1
for module in /modules/*.ko; do
    b insmod "$module" || echo "initramfs: $module does not load"
done
# noinit_itable: no background thread of ext4 writes while a test measures I/O.
b mount -t ext4 -o noinit_itable /dev/vda /disk
# A cached system image gets the files of this run from a disk of their own.
if [ -b /dev/vdc ]; then
    b mount -t ext4 -o ro /dev/vdc /payload
    # Directories that the image has keep their owner, their mode, and the links that lead to them.
    (
        cd /payload || exit
        b find . -type d -exec /bin/busybox test -d '/disk/{}' ';' -o -print0 | b cpio -0 -o -H newc
    ) | (
        cd /disk || exit
        b cpio --quiet -i -d -m -u
    )
    b umount /payload
fi
b mount --move /dev /disk/dev
exec /bin/busybox switch_root /disk /sbin/init
