#!/bin/bash
# Undo packaging/install.sh. Boxes, images and the group stay: they are the user's.
set -euo pipefail
prefix=${PREFIX:-/usr/local} units=${UNITDIR:-/etc/systemd/system} dest=${DESTDIR:-}

if [ -z "$dest" ] && [ "$(id -u)" -ne 0 ]; then
    echo "boxy: uninstalling from $prefix needs root; say: sudo make uninstall." >&2
    exit 1
fi
if [ -z "$dest" ] && [ -d /run/systemd/system ] && [ -e "$units/boxyd.service" ]; then
    systemctl disable --now boxyd.socket boxyd.service || true
    systemctl disable --now boxy-registry.service || true
fi
rm -rf "$dest$prefix/lib/boxy"
rm -f "$dest$prefix"/bin/{boxy,boxyd,boxy-tui,boxy-registry} "$dest$units"/boxyd.{service,socket}
rm -f "$dest$units/boxy-registry.service"
rm -f "$dest$prefix"/share/man/man1/boxy{,-*}.1 "$dest$prefix/share/man/man8/boxyd.8"
if [ -z "$dest" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

echo "Boxy is gone from $dest$prefix. What it kept is still there; to remove that as well:"
echo "  rm -rf /var/lib/boxy /run/boxy /var/lib/boxy-registry /etc/boxy-registry; groupdel boxy"
