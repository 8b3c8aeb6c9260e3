#!/bin/busybox sh
# First program of the virtual machine: loads what the kernel needs, puts a writable layer over the host's root, which
# it sees read-only, and goes on in there.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r module; do
  $b insmod "/modules/$module"
done </modules/order
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /host
$b mount -t tmpfs layer /layer
$b mkdir /layer/upper /layer/work
$b mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work root /root
for folder in proc sys dev; do
  $b mount --move "/$folder" "/root/$folder"
done
$b mount -t tmpfs run /root/run
$b mkdir /root/run/results
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 results /root/run/results
exec $b switch_root /root /bin/bash /run/results/guest.sh
