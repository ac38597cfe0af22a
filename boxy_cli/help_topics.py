"""What `boxy help TOPIC` says: things that concern several commands."""

from __future__ import annotations

TOPICS: dict[str, tuple[str, str]] = {
    "exit-status": (
        "what the numbers mean",
        """\
boxy run, exec, start -a and attach exit with the status of the command in the box:
  0..124   the command's own
  125      Boxy itself failed: wrong flags, no daemon, a box that could not be made,
           or a connection that broke
  126      the command exists in the box but cannot be executed
  127      the command does not exist in the box
  128+N    signal N ended the command: 137 is SIGKILL (also: out of memory), 143 SIGTERM
Other commands exit with 0, with 1 if anything failed, with 125 after wrong flags.
Leaving a box by the detach keys is 0.""",
    ),
    "detach": (
        "leaving a box that goes on",
        """\
In a box with a terminal (-it, attach, start -ai, exec -it) the keys ctrl-p ctrl-q leave it and
let it go on; boxy attach BOX returns. A single ctrl-p reaches the program with the next key, or
after half a second. Other keys: --detach-keys ctrl-],d or BOXY_DETACH_KEYS; none turns them off.
ctrl-c goes to the program in the box. Boxes also go on when the terminal is closed, and when the
daemon ends.""",
    ),
    "names": (
        "how a box is named",
        """\
Wherever a command takes a BOX, give its name, its id, or a beginning of its id that fits only
one box. boxy ps -a lists them; names are complete by the tab key (boxy help completion).""",
    ),
    "streams": (
        "standard input and output",
        """\
Without -t a box's standard output and standard error come apart, byte for byte, so that boxy
works in pipelines:
  tar c . | boxy run -i --rm alpine sh -c 'cd /tmp && tar x && ls' > list
-i gives the box our standard input; without it, its input is empty. With -t both outputs are one
terminal. A reader that stops early (| head) ends the box's command as it would any other. Signals
that boxy receives are passed on (--no-sig-proxy keeps them).""",
    ),
    "environment": (
        "variables that boxy heeds",
        """\
BOXY_SOCKET         the daemon's socket (--socket PATH)
BOXY_RUN            folder of the socket, where BOXY_SOCKET is not set
BOXY_DETACH_KEYS    keys that leave a box
NO_COLOR            if set, no colours
The daemon also heeds BOXY_ROOT, BOXY_REGISTRY_PATH and BOXY_CGROUP.""",
    ),
    "limits": (
        "memory, processors, processes",
        """\
  -m, --memory 256m      killed above it (status 137; boxy inspect -f exit.oom BOX)
  --cpus 1.5             processors, in parts
  --pids-limit 64        processes and threads
boxy update changes them while a box runs, boxy stats shows what is used. What each means on
cgroup v1 and v2: docs/how-to/limits.md.""",
    ),
    "isolation": (
        "what a box may see and do",
        """\
By default: own namespaces of every kind, root in the box is nobody outside, 11 capabilities, a
filter for system calls, masked places in /proc and /sys. Its network is the bridge `bridge` where
the machine can have one: the box reaches the world, only this machine and boxes of that network
reach the box. Else it has loopback only, and a notice says why. --network none asks for that.
  boxy run --dry-run IMAGE   the steps that would make it
  boxy explain BOX           what a running box is made of
Flags that weaken it say so in boxy help run. More: docs/explanation/security.md.""",
    ),
    "debugging": (
        "when a box does not do what it should",
        """\
  boxy ps -a                 its state and exit status (boxy help exit-status)
  boxy logs BOX              what it printed
  boxy exec -it BOX sh       look around in it
  boxy explain BOX           namespaces, mounts, limits, network
  boxy trace BOX             what its start did, and how long
  boxy info                  what this machine lacks
The daemon's own log: journalctl -u boxyd. More: docs/how-to/debugging.md.""",
    ),
    "own-images": (
        "where images come from",
        """\
An image is a folder with image.json and a root file system, in /var/lib/boxy/registry/NAME, or in
a registry. `host` is this machine's own programs: no download. boxy images lists them, boxy pull
fetches one. Making your own: docs/how-to/own-images.md.""",
    ),
}
