#!/bin/busybox sh
# PID 1 of the Linux guest: a system that listens to its power button and to its agent, and takes its time to go down.
# Kernel command line: virengine.delay=SECONDS before it powers off, virengine.ignore (the button), virengine.http=PORT (a page
# on 10.0.2.15, the address of QEMU's user network).
export PATH=/bin:/sbin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /run

for module in $(cat /modules/order); do
    insmod "/modules/$module.ko"
done
acpid -l /dev/null

for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name" 2>/dev/null)" = org.qemu.guest_agent.0 ] || continue
    qemu-ga --method=virtio-serial --path="/dev/${port##*/}" --statedir=/run &
done

for word in $(cat /proc/cmdline); do
    case $word in
        virengine.http=*)
            ifconfig lo 127.0.0.1
            ifconfig eth0 10.0.2.15
            httpd -p "${word#*=}" -h /www
            ;;
    esac
done

echo ready > /dev/console
while :; do
    wait
    sleep 3600 & # PID 1 may not end; whatever dies is reaped
done
