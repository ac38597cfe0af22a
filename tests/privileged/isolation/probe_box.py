"""Runs inside a container as its root: tries to get out, to see the host, to change its kernel.

    python3 probe_box.py [CLASS...]

Only the standard library.  It prints one JSON object: for each probe its class, the verdict and
what was found.  PASS: refused or not there.  WARN: something of the host can be learned, or a
door is closed by one lock only.  FAIL: the host can be changed, or another's data be read.
Nothing that gets through is used: no file is written, no call is made with arguments that work.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import json
import os
import platform
import re
import socket
import struct
import sys
from collections.abc import Callable

libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
PASS, WARN, FAIL = "PASS", "WARN", "FAIL"
Verdict = tuple[str, str]
PROBES: list[tuple[str, str, Callable[[], Verdict]]] = []


def probe(group: str) -> Callable[[Callable[[], Verdict]], Callable[[], Verdict]]:
    """Register a probe of that class."""

    def register(function: Callable[[], Verdict]) -> Callable[[], Verdict]:
        PROBES.append((group, function.__name__, function))
        return function

    return register


def call(x86: int, arm: int, *arguments: int) -> int:
    """A raw system call: the errno, 0 if it was let through."""
    words = [ctypes.c_long(n) for n in (*arguments, *[0] * (6 - len(arguments)))]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(x86 if X86 else arm), *words)
    return 0 if result >= 0 else ctypes.get_errno()


def refused(numbers: dict[str, tuple[int, int]], *arguments: int) -> Verdict:
    """Whether the filter refuses each of these calls, as it does what no box needs."""
    through = []
    for name, (x86, arm) in numbers.items():
        error = call(x86, arm, *(arguments or (-1, -1, -1, -1, -1)))
        if error not in (errno.EPERM, errno.ENOSYS):
            through.append(f"{name}: {errno.errorcode.get(error, error)}")
    return (WARN, ", ".join(through)) if through else (PASS, "refused")


def read(path: str, size: int = 4096) -> bytes:
    """The beginning of a file; empty if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(fd, size)
    except OSError:
        return b""
    finally:
        os.close(fd)


def writable(path: str) -> bool:
    """Whether it could be opened for writing."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def none_of(found: list[str], bad: str) -> Verdict:
    """PASS for an empty list, else `bad` with its beginning."""
    return (bad, ", ".join(found[:12])) if found else (PASS, "none")


# ------------------------------------------------------------------------ identity and powers


def status() -> dict[str, str]:
    text = read("/proc/self/status").decode()
    return {k: v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())}


@probe("identity")
def root_is_nobody_outside() -> Verdict:
    first = read("/proc/self/uid_map").split()
    same = first[:2] == [b"0", b"0"]
    return (WARN, "uid 0 is uid 0 outside") if same else (PASS, b" ".join(first).decode())


@probe("capabilities")
def capabilities_are_few() -> Verdict:
    mask = int(status()["CapBnd"], 16)
    dangerous = {1: "dac_override is usual", 13: "net_raw", 27: "mknod", 29: "audit_write"}
    fatal = {12: "net_admin", 16: "sys_module", 17: "sys_rawio", 19: "sys_ptrace", 21: "sys_admin",
             22: "sys_boot", 25: "sys_time", 34: "syslog", 2: "dac_read_search", 39: "bpf",
             38: "perfmon", 23: "sys_nice", 24: "sys_resource"}  # fmt: skip
    got = [name for bit, name in fatal.items() if mask >> bit & 1]
    if got:
        return FAIL, ", ".join(got)
    got = [name for bit, name in dangerous.items() if bit != 1 and mask >> bit & 1]
    return (WARN, ", ".join(got)) if got else (PASS, f"{mask.bit_count()} of them")


@probe("capabilities")
def none_is_ambient_or_inheritable() -> Verdict:
    held = [name for name in ("CapInh", "CapAmb") if int(status()[name], 16)]
    return none_of(held, WARN)


@probe("no_new_privs")
def no_new_privileges() -> Verdict:
    value = status().get("NoNewPrivs", "0")
    return (PASS, "set") if value == "1" else (WARN, "set-uid programs gain rights")


@probe("seccomp")
def a_filter_is_on() -> Verdict:
    value = status().get("Seccomp", "0")
    return (PASS, "filter") if value == "2" else (FAIL, f"mode {value}")


@probe("seccomp")
def foreign_abis_are_refused() -> Verdict:
    if not X86:
        return PASS, "no x32 here"
    error = call(0x40000000 | 39, 0)
    return (WARN, "x32") if not error else (PASS, "refused")


# ------------------------------------------------------------------------ system calls


@probe("namespaces")
def no_nested_user_namespace() -> Verdict:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if libc.unshare(0x10000000) == 0 else 1)
    made = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    error = call(435, 435, 0, 0)
    through = ["unshare"] * made + [f"clone3 {error}"] * (error != errno.ENOSYS)
    clone = libc.syscall(
        *(ctypes.c_long(n) for n in (56 if X86 else 220, 0x10000000 | 17, 0, 0, 0, 0))
    )
    if clone == 0:
        os._exit(0)
    if clone > 0:
        os.waitpid(clone, 0)
        through.append("clone")
    return none_of(through, WARN)


@probe("namespaces")
def no_namespace_can_be_entered() -> Verdict:
    try:
        fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    except OSError:
        return PASS, "none to be seen"
    entered = libc.setns(fd, 0) == 0
    os.close(fd)
    return (FAIL, "setns") if entered else (PASS, "refused")


@probe("mounts")
def nothing_can_be_mounted() -> Verdict:
    through = []
    for kind in (b"tmpfs", b"proc", b"sysfs", b"cgroup", b"cgroup2", b"overlay", b"devtmpfs"):
        if libc.mount(b"x", b"/mnt" if os.path.isdir("/mnt") else b"/tmp", kind, 0, None) == 0:
            libc.umount2(b"/mnt", 2)
            through.append(kind.decode())
    for number in (428, 430, 442):
        error = call(number, number, -1, 0, 0, 0, 0)
        through += [str(number)] * (error not in (errno.EPERM, errno.ENOSYS))
    return none_of(through, FAIL)


@probe("io_uring")
def io_uring() -> Verdict:
    return refused({"io_uring_setup": (425, 425), "io_uring_enter": (426, 426)})


@probe("keyctl")
def keyrings() -> Verdict:
    return refused({"add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219)})


@probe("bpf")
def bpf() -> Verdict:
    return refused({"bpf": (321, 280)})


@probe("kernel calls")
def calls_that_no_container_needs() -> Verdict:
    return refused({
        "perf_event_open": (298, 241), "userfaultfd": (323, 282), "kexec_load": (246, 104),
        "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224),
        "swapoff": (168, 225), "quotactl": (179, 60), "acct": (163, 89), "settimeofday": (164, 170),
        "clock_settime": (227, 112), "lookup_dcookie": (212, 18), "nfsservctl": (180, 42),
        "move_pages": (279, 239), "mbind": (237, 235), "kcmp": (312, 272),
        "pidfd_getfd": (438, 438), "fanotify_init": (300, 262), "syslog": (103, 116),
        "process_madvise": (440, 440), "vhangup": (153, 58),
    })  # fmt: skip


@probe("kernel calls")
def what_only_old_or_x86_programs_call() -> Verdict:
    if not X86:
        return PASS, "not on this machine"
    names = {"iopl": 172, "ioperm": 173, "uselib": 134, "ustat": 136, "sysfs": 139, "_sysctl": 156,
             "create_module": 174, "get_kernel_syms": 177, "query_module": 178}  # fmt: skip
    return refused({name: (number, -1) for name, number in names.items()})


@probe("kernel calls")
def personality_cannot_be_weakened() -> Verdict:
    before = libc.personality(ctypes.c_ulong(0xFFFFFFFF))
    through = libc.personality(ctypes.c_ulong(0x40000)) != -1
    libc.personality(ctypes.c_ulong(before))
    return (WARN, "ADDR_NO_RANDOMIZE") if through else (PASS, "refused")


@probe("modules")
def modules() -> Verdict:
    verdict = refused(
        {"init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106)}
    )
    shown = read("/proc/modules")
    return (WARN, "the host's are listed") if verdict[0] == PASS and shown else verdict


@probe("open_by_handle_at")
def open_by_handle_at() -> Verdict:
    return refused({"open_by_handle_at": (304, 265)})


@probe("vsock")
def sockets_that_pass_by_namespaces() -> Verdict:
    through = []
    for name, family, kind, protocol in (
        ("vsock", 40, 1, 0), ("alg", 38, 5, 0), ("packet", 17, 3, 3), ("netlink audit", 16, 3, 9),
        ("bluetooth", 31, 3, 1), ("can", 29, 3, 1), ("raw", 2, 3, 1),
    ):  # fmt: skip
        try:
            socket.socket(family, kind, protocol).close()
        except OSError:
            continue
        through.append(name)
    harmless = {"netlink audit"}
    return none_of([name for name in through if name not in harmless], WARN)


@probe("terminals")
def nobody_types_into_a_shared_terminal() -> Verdict:
    one, two = os.openpty()
    through = [name for name, number in (("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541C))
               if libc.ioctl(two, ctypes.c_ulong(number), b"x") == 0]  # fmt: skip
    errors = ctypes.get_errno()
    os.close(one)
    os.close(two)
    return none_of(through, FAIL) if through or errors == errno.EPERM else (WARN, "not by a filter")


@probe("terminals")
def consoles_of_the_host_are_absent() -> Verdict:
    return none_of(glob.glob("/dev/tty[0-9S]*") + glob.glob("/dev/vcs*"), FAIL)


# ------------------------------------------------------------------------ files of the kernel


@probe("core_pattern")
def core_pattern() -> Verdict:
    names = ("core_pattern", "modprobe", "hotplug", "poweroff_cmd", "usermodehelper/bset",
             "core_uses_pid", "panic", "sysrq", "randomize_va_space", "ns_last_pid")  # fmt: skip
    paths = [f"/proc/sys/kernel/{name}" for name in names]
    paths += ["/proc/sys/vm/panic_on_oom", "/proc/sys/fs/binfmt_misc/register",
              "/proc/sys/fs/suid_dumpable", "/proc/sys/vm/drop_caches", "/sys/kernel/uevent_helper",
              "/proc/sys/kernel/domainname"]  # fmt: skip
    return none_of([p for p in paths if writable(p)], FAIL)


@probe("core_pattern")
def proc_sys_is_read_only() -> Verdict:
    found = []
    for folder, _, names in os.walk("/proc/sys"):
        found += [f"{folder}/{n}" for n in names if writable(f"{folder}/{n}")]
    return none_of(found, WARN)


@probe("sysrq")
def sysrq() -> Verdict:
    if writable("/proc/sysrq-trigger"):
        is_null = os.stat("/proc/sysrq-trigger").st_rdev == os.makedev(1, 3)
        return (PASS, "it is the null device") if is_null else (FAIL, "writable")
    return PASS, "not writable"


@probe("kcore")
def kcore() -> Verdict:
    names = ("/proc/kcore", "/dev/mem", "/dev/kmem", "/dev/port", "/proc/vmcore",
             "/proc/kpagemap", "/proc/kpagecount", "/proc/kpageflags")  # fmt: skip
    return none_of([p for p in names if read(p, 64)], FAIL)


@probe("kmsg")
def kernel_log() -> Verdict:
    got = [p for p in ("/dev/kmsg", "/proc/kmsg") if read(p, 64) or (writable(p) and not null(p))]
    error = call(103, 116, 3, 0, 0)
    return none_of(got + ["syslog"] * (error not in (errno.EPERM, errno.ENOSYS)), FAIL)


def null(path: str) -> bool:
    """Whether it is the null device, put there to hide something."""
    return os.stat(path).st_rdev == os.makedev(1, 3)


@probe("proc")
def proc_tells_nothing_of_the_host() -> Verdict:
    names = ("cmdline", "config.gz", "interrupts", "iomem", "ioports", "kallsyms", "keys",
             "key-users",
             "latency_stats", "locks", "mdstat", "modules", "mtrr", "pagetypeinfo", "partitions",
             "sched_debug", "schedstat", "slabinfo", "timer_list", "timer_stats", "vmallocinfo",
             "zoneinfo", "buddyinfo", "acpi/wakeup", "asound/cards", "scsi/scsi", "fb", "consoles",
             "dma", "execdomains", "bus/pci/devices", "bus/input/devices")  # fmt: skip
    return none_of([n for n in names if read(f"/proc/{n}", 64).strip(b"\0\n ")], WARN)


@probe("proc")
def proc_is_not_writable() -> Verdict:
    usual = {"self", "thread-self", "sys"}
    found = []
    for name in os.listdir("/proc"):
        path = f"/proc/{name}"
        if name in usual or name.isdecimal():
            continue
        if os.path.islink(path):
            continue
        if os.path.isfile(path) and writable(path) and not null(path):
            found.append(path)
    inner = [os.path.join(at, n) for top in ("irq", "bus", "fs", "acpi", "scsi", "driver")
             for at, _, names in os.walk(f"/proc/{top}") for n in names]  # fmt: skip
    return none_of(found + [p for p in inner if writable(p) and not null(p)], FAIL)


@probe("sys")
def sys_tells_little_of_the_host() -> Verdict:
    paths = ["/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security",
             "/sys/fs/bpf", "/sys/fs/pstore", "/sys/module", "/sys/block", "/sys/hypervisor",
             "/sys/devices/virtual/dmi", "/sys/devices/virtual/powercap", "/sys/kernel/slab",
             "/sys/kernel/boot_params", "/sys/kernel/btf", "/sys/fs/selinux"]  # fmt: skip
    seen = [p for p in paths if os.path.isdir(p) and listing(p)]
    seen += [p for p in ("/sys/kernel/vmcoreinfo", "/sys/kernel/notes") if read(p)]
    return none_of(seen, WARN)


def listing(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


@probe("sys")
def sys_is_read_only() -> Verdict:
    found = []
    for folder, _, names in os.walk("/sys"):
        paths = [f"{folder}/{n}" for n in names]
        found += [path for path in paths if writable(path) and not null(path)]
        if len(found) > 3:
            break
    return none_of(found, FAIL)


# ------------------------------------------------------------------------ cgroups


@probe("release_agent")
def release_agent() -> Verdict:
    found = []
    for folder, _, names in os.walk("/sys/fs/cgroup"):
        found += [f"{folder}/{n}" for n in names
                  if n in ("release_agent", "notify_on_release", "cgroup.procs", "tasks",
                           "devices.allow", "memory.max", "pids.max", "cgroup.subtree_control")
                  and writable(f"{folder}/{n}")]  # fmt: skip
    return none_of(found, FAIL)


@probe("release_agent")
def cgroups_bear_no_host_names() -> Verdict:
    text = read("/proc/self/cgroup").decode()
    names = {line.partition(":")[2].partition(":")[2] for line in text.splitlines()}
    return none_of(sorted(names - {"/", ""}), WARN)


# ------------------------------------------------------------------------ devices


@probe("mknod")
def mknod() -> Verdict:
    path = "/tmp/probe-node"
    for mode, device in ((0o60600, os.makedev(8, 0)), (0o20600, os.makedev(1, 1))):
        try:
            os.mknod(path, mode, device)
        except OSError:
            continue
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError:
            return WARN, "a node can be made, not opened"
        else:
            return FAIL, "a device of the host was opened"
        finally:
            os.unlink(path)
    return PASS, "refused"


@probe("raw devices")
def dev_is_minimal() -> Verdict:
    usual = {"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm",
             "stderr", "stdin", "stdout", "tty", "urandom", "zero"}  # fmt: skip
    return none_of(sorted(set(os.listdir("/dev")) - usual), WARN)


@probe("raw devices")
def no_block_device() -> Verdict:
    found = [os.path.join(at, n) for at, _, names in os.walk("/dev") for n in names
             if (os.lstat(os.path.join(at, n)).st_mode & 0o170000) == 0o060000]  # fmt: skip
    return none_of(found, FAIL)


# ------------------------------------------------------------------------ inheritance


@probe("leaked fd or cwd")
def no_descriptor_is_inherited() -> Verdict:
    found = []
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                target = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                continue
            found += [f"{name} -> {target}"] * (not target.startswith(("/proc/", __file__)))
    return none_of(found, FAIL)


@probe("leaked fd or cwd")
def the_working_folder_is_inside() -> Verdict:
    return (PASS, os.getcwd()) if os.getcwd().startswith("/") else (FAIL, os.getcwd())


@probe("leaked fd or cwd")
def the_environment_is_its_own() -> Verdict:
    usual = {"PATH", "HOSTNAME", "HOME", "TERM", "LC_CTYPE", "PWD", "SHLVL", "OLDPWD", "_",
             "container", "LANG", "container_uuid", "NOTIFY_SOCKET", "USER", "LOGNAME"}  # fmt: skip
    return none_of(sorted(set(os.environ) - usual), WARN)


@probe("leaked fd or cwd")
def the_first_process_hides_the_runtime() -> Verdict:
    words = read("/proc/1/cmdline") + read("/proc/1/environ")
    found = [w for w in ("boxyd", "zygote", "memfd", "/var/lib/boxy") if w.encode() in words]
    return none_of(found, WARN)


@probe("limits")
def no_core_is_dumped() -> Verdict:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_CORE)
    return (PASS, "0") if soft == 0 else (WARN, f"core size {soft}")


@probe("limits")
def processes_are_limited() -> Verdict:
    for pattern in ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"):
        value = read(pattern).strip()
        if value:
            return (WARN, "no limit") if value == b"max" else (PASS, value.decode())
    return WARN, "cannot be seen"


@probe("limits")
def the_oom_killer_may_take_it() -> Verdict:
    value = int(read("/proc/self/oom_score_adj") or b"0")
    return (PASS, str(value)) if value >= 0 else (FAIL, str(value))


@probe("limits")
def files_are_made_for_the_owner_to_write() -> Verdict:
    mask = os.umask(0o22)
    os.umask(mask)
    return (PASS, oct(mask)) if mask & 0o022 == 0o022 else (WARN, oct(mask))


# ------------------------------------------------------------------------ others on the machine


@probe("ptrace or signals across")
def only_its_own_processes_are_seen() -> Verdict:
    pids = [int(n) for n in os.listdir("/proc") if n.isdecimal()]
    return (PASS, f"{len(pids)}") if len(pids) < 12 else (FAIL, f"{len(pids)} processes")


@probe("host files")
def mounts_show_no_path_of_the_host() -> Verdict:
    found = []
    for line in read("/proc/self/mountinfo", 65536).decode(errors="replace").splitlines():
        fields = line.split()
        kind = fields[fields.index("-") + 1]
        roots = re.findall(r"(?:lowerdir|upperdir|workdir)\+?=([^, ]+)", line)
        if kind not in ("proc", "sysfs", "cgroup", "cgroup2", "tmpfs", "devpts", "mqueue"):
            roots += [fields[3]] if fields[3] != "/" and fields[4] not in PROBE_BINDS else []
        found += [root for root in roots if root.startswith("/") and len(root) > 1]
    return none_of(sorted(set(found)), WARN)


PROBE_BINDS = {"/usr", "/lib", "/lib64", "/bin", "/sbin", "/p"}


@probe("host loopback")
def the_network_is_its_own() -> Verdict:
    names = set(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else set()
    odd = [n for n in names if n.startswith(("docker", "br-", "veth", "virbr", "boxy", "wlan"))]
    return none_of(odd, FAIL)


@probe("abstract sockets")
def no_abstract_socket_of_the_host() -> Verdict:
    lines = read("/proc/net/unix", 1 << 20).decode(errors="replace").splitlines()[1:]
    names = [line.split()[-1] for line in lines if line.split()[-1].startswith("@")]
    return none_of(names, FAIL)


@probe("host files")
def no_socket_of_a_container_daemon() -> Verdict:
    paths = ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock",
             "/run/podman/podman.sock", "/run/crio/crio.sock", "/run/boxy/boxyd.sock",
             "/run/dbus/system_bus_socket", "/run/systemd/private")  # fmt: skip
    return none_of([p for p in paths if os.path.exists(p)], FAIL)


@probe("host files")
def secrets_of_the_host_are_absent() -> Verdict:
    paths = ("/etc/shadow-", "/root/.ssh", "/var/run/secrets", "/host", "/hostfs", "/rootfs",
             "/etc/kubernetes", "/var/lib/docker", "/var/lib/boxy")  # fmt: skip
    return none_of([p for p in paths if os.path.exists(p)], FAIL)


@probe("hostname")
def the_name_cannot_be_changed() -> Verdict:
    name = os.uname().nodename.encode()
    return (WARN, "sethostname") if libc.sethostname(name, len(name)) == 0 else (PASS, "refused")


@probe("chroot")
def a_chroot_can_not_be_left() -> Verdict:
    """The classic escape: fchdir out of a chroot; what it finds must be the box's own root."""
    before = os.stat("/")
    pid = os.fork()
    if pid == 0:
        try:
            fd = os.open("/", os.O_RDONLY)
            os.makedirs("/tmp/jail", exist_ok=True)
            os.chroot("/tmp/jail")
            os.fchdir(fd)
            for _ in range(64):
                os.chdir("..")
            os.chroot(".")
            after = os.stat("/")
            os._exit(0 if (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino) else 1)
        except OSError:
            os._exit(0)
    out = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    return (FAIL, "the root behind the root is another") if out else (PASS, "it is its own root")


@probe("time")
def the_clock_cannot_be_set() -> Verdict:
    now = struct.pack("qq", 0, 0)
    buffer = ctypes.create_string_buffer(now)
    error = call(227, 112, 0, ctypes.addressof(buffer))
    return (FAIL, "clock_settime") if not error else (PASS, "refused")


def main(wanted: list[str]) -> None:
    """Run the probes and print what came of them."""
    found = {}
    for group, name, function in PROBES:
        if wanted and group not in wanted:
            continue
        try:
            verdict, detail = function()
        except Exception as error:  # noqa: BLE001 - a probe that breaks is no PASS
            verdict, detail = WARN, f"{type(error).__name__}: {error}"
        found[name] = {"class": group, "verdict": verdict, "found": detail}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
