#!/bin/busybox sh
# /sbin/shutdown, as the guest agent calls it (-h and -P, -r or -H, then a time and a message), and what the power button runs.
export PATH=/bin:/sbin
asked=agent how=off
for word in "$0" "$@"; do
    case $word in
        */PWRF/*) asked=button ;; # the name under which acpid finds it
        -r) how=reboot ;;
        -H) how=halt ;;
    esac
done
echo "$asked" > /dev/console
for word in $(cat /proc/cmdline); do
    case $word in
        virengine.ignore) [ "$asked" = button ] && exit ;;
        virengine.delay=*) delay=${word#*=} ;;
    esac
done
mkdir /run/going-down 2> /dev/null || exit 0 # it is on its way already
sleep "${delay:-0}"
echo "$how" > /dev/console
case $how in
    off) poweroff -f ;;
    *) "$how" -f ;;
esac
