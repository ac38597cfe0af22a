"""Networks and boxes that come and go, live, in numbers, and what must be left: nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.privileged.network.ground import HOST6, OUTSIDE, Ground


def test_a_running_box_is_connected_and_disconnected(ground: Ground) -> None:
    daemon = ground.daemon
    daemon.run("network", "create", "--subnet", "10.9.0.0/24", "back")
    ground.server("db", "--network", "back", "--ip", "10.9.0.50", "--mac-address",
                  "02:00:00:00:00:07")  # fmt: skip
    daemon.run("run", "-d", "--name", "web", "alpine", "sleep", "300")
    assert "I-am-db" not in ground.says("web", "10.9.0.50")
    daemon.run("network", "connect", "--alias", "front", "back", "web")
    box = ground.inspect("web")
    assert [one["network"] for one in box["networks"]] == ["bridge", "back"]
    assert ground.says("web", "10.9.0.50") == "I-am-db"
    assert "02:00:00:00:00:07" in ground.inside("web", "ping -c 1 10.9.0.50 >&-; ip neigh")
    assert "2 packets" in ground.inside("db", "ping -c 2 -i 0.1 front")
    assert ground.inside("web", "ls /sys/class/net").split() == ["eth0", "eth1", "lo"]
    # what the box reads of itself is true at once, and what it wrote itself stays
    own = [one["address"].partition("/")[0] for one in box["networks"]]
    gateways = [one["gateway"] for one in box["networks"]]
    assert ground.inside("web", "grep -w web /etc/hosts | cut -f 1").split() == own
    assert ground.inside("web", "sed -n 's/nameserver //p' /etc/resolv.conf").split() == gateways
    listed = daemon.request("GET", "/networks/back")
    assert {b["name"]: b["running"] for b in listed["boxes"]} == {"db": True, "web": True}
    assert listed["dns"] == "10.9.0.1:53"
    assert "already" in daemon.boxy("network", "connect", "back", "web").stderr

    # it lasts over a restart of the box, then it goes live
    daemon.run("restart", "-t", "0", "web")
    assert ground.says("web", "10.9.0.50") == "I-am-db"
    # its names leave the files of those that stay, and theirs its own; other networks' names stay
    daemon.run("run", "-d", "--name", "near", "alpine", "sleep", "300")
    ground.until(lambda: {"web", "front"} <= names_in(ground, "db"))
    ground.until(lambda: {"db", "near"} <= names_in(ground, "web"))
    ground.inside("web", "sed '1i 192.0.2.1 mine' /etc/hosts >/tmp/h; cat /tmp/h >/etc/hosts")
    daemon.run("network", "disconnect", "back", "web")
    here = ground.inspect("web")["networks"][0]
    hosts = ground.inside("web", "cat /etc/hosts").splitlines()
    assert hosts[0] == "192.0.2.1 mine"
    assert any(line.startswith(f"{here['address'].partition('/')[0]}\t") for line in hosts)
    assert not [line for line in hosts if line.startswith("10.9.0.")]
    resolv = ground.inside("web", "cat /etc/resolv.conf")
    assert resolv.split()[:2] == ["nameserver", here["gateway"]]
    assert "10.9.0.1" not in resolv
    ground.until(lambda: not {"web", "front"} & names_in(ground, "db"))
    ground.until(lambda: "db" not in names_in(ground, "web"))
    assert "near" in names_in(ground, "web")
    assert ground.inside("web", "ls /sys/class/net").split() == ["eth0", "lo"]
    assert "not on network" in daemon.boxy("network", "disconnect", "back", "web").stderr

    # a box that shares another's network has its addresses, and nothing of its own
    shared = daemon.run("run", "--rm", "--network", "box:db", "alpine", "sh", "-c",
                        "nc -w 2 127.0.0.1 80 </dev/null; ls /sys/class/net; "
                        "cat /etc/hosts")  # fmt: skip
    assert shared.startswith("I-am-db\neth0\nlo\n")
    assert "10.9.0.50" in shared
    assert "does not go" in daemon.boxy("run", "-p", "1:1", "--network", "box:db", "alpine").stderr


def names_in(ground: Ground, box: str) -> set[str]:
    """The names of other boxes in the hosts file of a box."""
    block = ground.inside(box, "sed -n '/kept by Boxy/,/until here/p' /etc/hosts")
    assert block.endswith("# until here"), block
    return {name for line in block.splitlines()[1:-1] for name in line.split()[1:]}


def test_an_internal_network_and_one_of_ipv6(ground: Ground) -> None:
    daemon = ground.daemon
    daemon.run("network", "create", "--internal", "inner")
    daemon.run("network", "create", "--ipv6", "six")
    ground.server("db", "--network", "inner")
    daemon.run("run", "-d", "--name", "in", "--network", "inner", "alpine", "sleep", "300")
    assert ground.says("in", "db") == "I-am-db"
    assert "default" not in ground.inside("in", "ip route")
    assert "unreachable" in ground.inside("in", f"ping -c 1 -W 1 {OUTSIDE}")
    web = ground.server("web", "--network", "six", "-p", "[::]:8080:80")
    address = web["networks"][0]["address6"].partition("/")[0]
    assert address.startswith("fd")
    daemon.run("run", "-d", "--name", "out", "--network", "six", "alpine", "sleep", "300")
    assert address in ground.inside("out", "nslookup -type=aaaa web")
    assert "0% packet loss" in ground.inside("out", "ping -6 -c 1 -W 2 2001:db8::99")
    assert "0% packet loss" in ground.inside("out", "ping -6 -c 1 -W 2 web")  # by hosts, in musl
    assert ground.host.fetch("::1", 8080) == "refused"
    assert ground.outside.fetch(HOST6, 8080) == "I-am-web"
    assert ground.outside.fetch(address, 80, 1) in ("nothing", "no way")


def test_what_a_killed_daemon_left_is_cleared_by_the_next(ground: Ground) -> None:
    daemon, host = ground.daemon, ground.host
    assert host.read("ipv4/ip_forward") == "0"
    ground.server("web", "-p", "8080:80")
    assert host.read("ipv4/ip_forward") == "1"
    # we switched it on: what has nothing to do with boxes is still not forwarded
    guard = ground.rules().partition("chain guard")[2].splitlines()[2]
    assert guard.strip() == 'iifname != "bx*" oifname != "bx*" drop'
    daemon.kill()
    shim = ground_pid(ground)
    os.kill(shim, 9)
    ground.until(lambda: not os.path.exists(f"/proc/{shim}"))
    assert ground.ours()
    assert "boxy_" in ground.rules()
    daemon.start("--default-network", "bridge")
    ground.until(ground.is_clean)
    ground.until(lambda: host.read("ipv4/ip_forward") == "0")
    assert not Path(daemon.paths.run, "networks").exists()
    daemon.run("rm", "web")


def ground_pid(ground: Ground) -> int:
    """The shim of the box `web`, from its folder, since nobody else can be asked."""
    run = Path(ground.daemon.paths.run, "boxes")
    return int(json.loads(next(run.glob("*/shim.json")).read_text())["pid"])


def test_a_machine_without_the_means_says_so_and_none_and_host_go_on(ground: Ground) -> None:
    daemon = ground.daemon
    daemon.stop()
    lame = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
    daemon.prefix = [*ground.host.prefix, *lame]
    daemon.start("--default-network", "auto")
    done = daemon.boxy("run", "--network", "bridge", "alpine", "true")
    assert done.returncode == 125
    assert "this machine cannot connect boxes" in done.stderr
    assert daemon.run("run", "--rm", "--network", "host", "alpine", "echo", "host") == "host"
    daemon.run("run", "-d", "--name", "quiet", "alpine", "sleep", "60")
    box = ground.inspect("quiet")
    assert box["spec"]["network"] == "none"
    assert any("it has no network" in notice for notice in box["notices"])
    assert "cannot connect boxes" in daemon.boxy("run", "-p", "80", "alpine").stderr
