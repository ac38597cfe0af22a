"""The `host` image: this machine's own programs, read-only, in a root of their own.

A skeleton of some 100 small entries is its only layer; the machine's /usr and the parts of
/etc that programs need are bound beneath it, read-only. So it needs no network and no copy, is
as new as the machine, and nothing on the machine can be changed from it.

Constraint: what a box can read here is decided by this file alone. Never bound: /etc as a
whole, /etc/shadow, keys of ssh and tls, /root, /home, /var, /opt, machine-id. Binds carry no id
map, so a box's root has only what "other" may read. The skeleton follows the machine: whatever
it depends on is in `Facts`, and a changed fact means a new layer.
"""

from __future__ import annotations

import glob
import os
import stat
from typing import NamedTuple

from boxy_core.image.skeleton import Item, file, folder, link
from boxy_core.models import Mount

_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""what is part of /usr on a merged machine, and a folder of its own on others"""

_ETC = (
    "alternatives", "bash_completion", "bash_completion.d", "ca-certificates.conf",
    "crypto-policies", "debian_version", "emacs", "fonts", "gai.conf", "groff", "host.conf",
    "htoprc", "java-*-openjdk", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias",
    "localtime", "lsb-release", "lynx", "magic", "magic.mime", "man_db.conf", "manpath.config",
    "mc", "mime.types", "nanorc", "networks", "os-release", "perl", "pki/ca-trust/extracted",
    "pki/tls/cert.pem", "pki/tls/certs", "pki/tls/openssl.cnf", "protocols", "python3",
    "python3.*", "redhat-release", "rpc", "screenrc", "services", "shells", "ssl/cert.pem",
    "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone", "tmux.conf", "vim", "vimrc",
    "wgetrc", "zsh",
)  # fmt: skip
"""below /etc; patterns of glob(7). All are world-readable configuration without secrets."""

_USERS = """\
root:x:0:0:root:/root:{shell}
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
man:x:6:12:man:/var/cache/man:/usr/sbin/nologin
user:x:1000:1000:user:/home/user:{shell}
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUPS = """\
root:x:0:
daemon:x:1:
tty:x:5:
man:x:12:
utmp:x:43:
staff:x:50:
users:x:100:
user:x:1000:
nogroup:x:65534:
"""
_NSSWITCH = """\
passwd: files
group: files
hosts: files dns
networks: files
protocols: files
services: files
rpc: files
"""
_HOSTS = """\
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
"""
_PROFILE = """\
# Read by login shells.
export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
[ -n "$BASH_VERSION" ] && [ -n "$PS1" ] && . /etc/bash.bashrc
[ -n "$PS1" ] || PS1='$ '
"""
_BASHRC = r"""# Read by interactive shells.
[ -z "$PS1" ] && return
shopt -s checkwinsize histappend
case $TERM in
    dumb) PS1='\u@\h:\w\$ ' ;;
    *) PS1='\[\e[1;36m\]\u@\h\[\e[0m\]:\[\e[1;34m\]\w\[\e[0m\]\$ ' ;;
esac
alias ls='ls --color=auto' ll='ls -l --color=auto' grep='grep --color=auto'
if [ -r /usr/share/bash-completion/bash_completion ] && ! shopt -oq posix; then
    . /usr/share/bash-completion/bash_completion
fi
"""
_RC = "[ -r /etc/bash.bashrc ] && . /etc/bash.bashrc\n"
_INPUTRC = r"""set input-meta on
set output-meta on
set bell-style none
set completion-ignore-case on
"\e[1~": beginning-of-line
"\e[4~": end-of-line
"\e[3~": delete-char
"\e[H": beginning-of-line
"\e[F": end-of-line
"\e[1;5C": forward-word
"\e[1;5D": backward-word
"\e[5~": history-search-backward
"\e[6~": history-search-forward
"""

_FOLDERS = (
    ("dev", 0o755), ("etc", 0o755), ("etc/profile.d", 0o755), ("home", 0o755),
    ("media", 0o755), ("mnt", 0o755), ("opt", 0o755), ("proc", 0o555), ("root", 0o700),
    ("run", 0o755), ("run/lock", 0o1777), ("srv", 0o755), ("sys", 0o555), ("tmp", 0o1777),
    ("usr", 0o755), ("var", 0o755), ("var/cache", 0o755), ("var/cache/man", 0o755),
    ("var/lib", 0o755), ("var/log", 0o755), ("var/mail", 0o1777), ("var/spool", 0o755),
    ("var/tmp", 0o1777),
)  # fmt: skip


class Facts(NamedTuple):
    """What the skeleton depends on: `links` are (path, target), `folders` and `files` binds."""

    links: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]
    files: tuple[str, ...]
    shell: str


def read_facts(root: str = "/") -> Facts:
    """The facts of the machine whose root directory is `root`."""
    root = root.rstrip("/")
    links, folders, files = [], ["/usr"], []
    places = [f"{root}/{name}" for name in _TOP]
    for pattern in _ETC:
        place = f"{root}/etc/{pattern}"
        places += sorted(glob.glob(place)) if "*" in pattern else [place]
    for place in places:
        try:
            found = os.lstat(place)
        except OSError:
            continue
        path = place[len(root) :]
        if stat.S_ISLNK(found.st_mode):
            links.append((path, os.readlink(place)))
        elif stat.S_ISDIR(found.st_mode) and found.st_mode & 0o005 == 0o005:
            folders.append(path)
        elif stat.S_ISREG(found.st_mode) and found.st_mode & 0o004:
            files.append(path)
    shell = "/bin/bash" if os.path.exists(f"{root}/usr/bin/bash") else "/bin/sh"
    return Facts(tuple(links), tuple(folders), tuple(files), shell)


def mounts(facts: Facts) -> list[Mount]:
    """The machine's parts beneath the skeleton."""
    return [
        Mount(source=path, target=path, read_only=True) for path in (*facts.folders, *facts.files)
    ]


def items(facts: Facts) -> list[Item]:
    """The skeleton: every mount point and link, a small /etc, the usual folders."""
    made = [folder("./"), *(folder(path, mode) for path, mode in _FOLDERS)]
    made.append(folder("home/user", 0o755, uid=1000))
    made += [
        link("var/run", "/run"),
        link("var/lock", "/run/lock"),
        link("etc/mtab", "../proc/self/mounts"),
        file("etc/passwd", _USERS.format(shell=facts.shell)),
        file("etc/group", _GROUPS),
        file("etc/nsswitch.conf", _NSSWITCH),
        file("etc/hosts", _HOSTS),
        file("etc/hostname", "host\n"),
        file("etc/resolv.conf"),
        file("etc/profile", _PROFILE),
        file("etc/bash.bashrc", _BASHRC),
        file("etc/inputrc", _INPUTRC),
        file("root/.bashrc", _RC, 0o600),
        file("root/.profile", _RC, 0o600),
    ]
    have = {item.path for item in made}
    for path, target in facts.links:
        made += [*_above(path, have), link(path[1:], target)]
    for path in facts.folders:
        if path[1:] not in have:
            made += [*_above(path, have), folder(path[1:])]
    for path in facts.files:
        made += [*_above(path, have), file(path[1:])]
    return made


def _above(path: str, have: set[str]) -> list[Item]:
    """The folders above `path` that are still missing."""
    parts = path.strip("/").split("/")[:-1]
    missing = []
    for end in range(1, len(parts) + 1):
        above = "/".join(parts[:end])
        if above not in have:
            have.add(above)
            missing.append(folder(above))
    return missing
