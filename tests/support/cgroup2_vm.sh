#!/bin/bash
# cgroup2_vm.sh [--memory MIB] [--timeout S] [--writable DIR]... COMMAND...
#
# Runs a command (one word for the shell, or a program and its arguments) as root in a throw-away
# virtual machine whose cgroups are version 2 alone, in the current directory, and exits with its
# status (125: the machine did not start; 124: it ran past the time-out).  stdout and stderr come
# out merged.
#
# The machine is User Mode Linux, a kernel that runs as an ordinary process: no KVM is needed.
# Debian's user-mode-linux, kmod and e2fsprogs are.  Its root is this machine's own file system
# below a layer of memory, so that what it writes is thrown away; only the folders that
# --writable names are really written.  /scratch, also TMPDIR, is an ext4 disk: idmapped mounts
# and overlays need one.  There is no network.
set -u
memory=1024 limit=900 writable=()
while [ $# -gt 0 ]; do
    case $1 in
        --memory) memory=$2; shift 2 ;;
        --timeout) limit=$2; shift 2 ;;
        --writable) writable+=("$(realpath "$2")"); shift 2 ;;
        --available)
            for program in linux.uml mkfs.ext4 modprobe; do
                command -v "$program" >/dev/null || { echo "cgroup2_vm: $program is missing (apt-get install user-mode-linux kmod e2fsprogs)" >&2; exit 1; }
            done
            [ "$(uname -m)" = x86_64 ] && [ -d /usr/lib/uml/modules ] && [ "$(id -u)" = 0 ]
            exit ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2; }

exchange=$(mktemp -d "${TMPDIR:-/tmp}/boxy-vm.XXXXXX")
machine=
finish() {
    [ -z "$machine" ] || kill -KILL -- "-$machine" 2>/dev/null
    rm -rf "$exchange"
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ $# = 1 ]; then printf '%s\n' "$1"; else printf '%q ' "$@"; fi >"$exchange/command"
printf '%s\n' "$PWD" >"$exchange/folder"
printf '%s\n' ${writable[@]+"${writable[@]}"} >"$exchange/writable"
export -p | grep -vE '^declare -x (PWD|OLDPWD|SHLVL|_|TMPDIR)=' >"$exchange/environment"
date +%s >"$exchange/now"
mkdir -p "$exchange/modules/lib"
ln -s /usr/lib/uml/modules "$exchange/modules/lib/modules"
truncate -s 1G "$exchange/disk"
mkfs.ext4 -q -F -E lazy_itable_init=1,nodiscard -O ^has_journal "$exchange/disk" || exit 125

# What runs as PID 1 in the machine: hostfs shows this machine's files as they are.
{ echo '#!/bin/bash'; echo "exchange=$exchange"; cat <<'INIT'
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
root=/mnt/root
end() {
    sync
    halt -f 2>/dev/null || busybox halt -f || echo o >/proc/sysrq-trigger
    sleep 10
}
trap 'echo "not ready: $BASH_COMMAND"; end' ERR
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
modprobe -d "$exchange/modules" -q overlay
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/upper /mnt/work $root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay $root
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
mount -t devtmpfs devtmpfs $root/dev
mkdir -p $root/dev/pts $root/dev/shm $root/dev/mqueue $root/scratch
mount -t devpts -o ptmxmode=666,mode=620,gid=5 devpts $root/dev/pts
mount -t tmpfs tmpfs $root/dev/shm
mount -t mqueue mqueue $root/dev/mqueue
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
    ln -sfn "/proc/self/${link#*:}" "$root/dev/${link%%:*}"
done
mount -t tmpfs -o mode=755 tmpfs $root/run
mount -t cgroup2 -o nsdelegate cgroup2 $root/sys/fs/cgroup
mount -t ext4 /dev/ubda $root/scratch
mkdir -p "$root$exchange" $root/lib/modules
mount --bind "$exchange" "$root$exchange"
mount --bind /usr/lib/uml/modules $root/lib/modules
while read -r folder; do
    [ -z "$folder" ] || { mkdir -p "$root$folder"; mount --bind "$folder" "$root$folder"; }
done <"$exchange/writable"
modprobe -d "$exchange/modules" -aq fuse veth bridge tun loop nf_tables || true
date -s "@$(cat "$exchange/now")" >/dev/null
mkdir -p $root/mnt/old
trap - ERR
mount --make-rprivate /
cd $root && pivot_root . mnt/old && cd / && umount -l /mnt/old
ip link set lo up
hostname boxy-vm
stty -F /dev/ttyS0 raw -echo
(
    . "$exchange/environment"
    export HOME=/root TMPDIR=/scratch BOXY_TEST_VM=cgroup2
    cd "$(cat "$exchange/folder")" 2>/dev/ttyS0 && exec setsid bash "$exchange/command" </dev/null >/dev/ttyS0 2>&1
)
echo $? >"$exchange/status"
end
INIT
} >"$exchange/init"
chmod 755 "$exchange/init"

# UML sets O_NONBLOCK on what it is given: pipes of its own, never our stdout.
mkfifo "$exchange/in" "$exchange/console-in" "$exchange/out"
cat "$exchange/out" &
reader=$!
exec 7<>"$exchange/out" 5<>"$exchange/in" 8<>"$exchange/console-in"
setsid linux.uml mem="${memory}M" root=/dev/root rootfstype=hostfs hostfs=/ rw \
    init="$exchange/init" ubd0="$exchange/disk" ssl0=fd:5,fd:7 con0=fd:8,fd:6 quiet \
    6>>"$exchange/console" >>"$exchange/console" 2>&1 </dev/null &
machine=$!
exec 7>&- 5<&- 8<&-
deadline=$((SECONDS + limit)) late=
while kill -0 "$machine" 2>/dev/null; do
    [ $SECONDS -lt $deadline ] || { late=yes; kill -KILL -- "-$machine"; }
    sleep 0.1
done
wait "$machine" 2>/dev/null
machine=
wait "$reader"
[ ! -s "$exchange/status" ] || exit "$(cat "$exchange/status")"
if [ -n "$late" ]; then
    echo "cgroup2_vm: the command was still running after $limit s" >&2
    exit 124
fi
echo "cgroup2_vm: the machine ended without telling the command's status; its console:" >&2
tail -30 "$exchange/console" >&2
exit 125
