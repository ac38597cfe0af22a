#!/bin/bash
# Install Boxy for all users of this machine; `make install` calls it with PREFIX, UNITDIR, DESTDIR.
# The programs live in an environment of their own, PREFIX/lib/boxy; PREFIX/bin gets links.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
prefix=${PREFIX:-/usr/local} units=${UNITDIR:-/etc/systemd/system} dest=${DESTDIR:-}
home=$prefix/lib/boxy

if [ -z "$dest" ] && [ "$(id -u)" -ne 0 ]; then
    echo "boxy: installing to $prefix needs root; say: sudo make install." >&2
    exit 1
fi
python=$(scripts/find-python)
rm -rf build # setuptools would pack modules that an older checkout left in it
"$python" -m venv --clear "$dest$home"
"$dest$home/bin/python" -m pip --disable-pip-version-check --quiet install .
rm -rf build
DESTDIR=$dest "$dest$home/bin/python" packaging/quicken
if [ -n "$dest" ]; then # a package's root: the scripts must name where they will live
    sed -i "1s|^#!$dest|#!|" "$dest$home"/bin/boxy*
fi
mkdir -p "$dest$prefix/bin" "$dest$units"
for program in boxy boxyd boxy-tui boxy-registry; do
    ln -sfn "$home/bin/$program" "$dest$prefix/bin/$program"
done
sed "s|@bindir@|$prefix/bin|" packaging/systemd/boxyd.service >"$dest$units/boxyd.service"
cp packaging/systemd/boxyd.socket "$dest$units/boxyd.socket"
sed "s|@bindir@|$prefix/bin|" packaging/systemd/boxy-registry.service >"$dest$units/boxy-registry.service"

"$dest$home/bin/python" docs/generate_man.py "$dest$prefix/share/man" >/dev/null

echo "Boxy is installed in $dest$prefix/bin."
[ -z "$dest" ] || exit 0
getent group boxy >/dev/null || groupadd --system boxy
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    echo "Start it now and at every boot:  systemctl enable --now boxyd.socket boxyd.service"
else
    echo "This machine does not run systemd; start the daemon with:  boxyd &"
fi
echo "Let a user drive it (as good as giving root):  usermod -aG boxy NAME"
