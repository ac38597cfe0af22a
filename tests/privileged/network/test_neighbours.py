"""Others on the host: programs whose rules drop, who has a port, a second daemon of ours."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.privileged.network.ground import OUTSIDE, Ground
from tests.support.daemon import Daemon
from tests.support.images import AlpineRegistry

PING = f"ping -c 1 -W 3 {OUTSIDE} >/dev/null && echo out || echo kept"


def _notices(ground: Ground) -> list[str]:
    notices: list[str] = ground.daemon.request("GET", "/networks/bridge")["notices"]
    return notices


def test_a_host_that_drops_what_is_forwarded_is_told_of_and_its_hint_works(ground: Ground) -> None:
    """As Docker and ufw set it, before the first box or while boxes run."""
    host = ground.host
    ground.daemon.run("run", "-d", "--name", "c", "alpine", "sleep", "300")
    assert ground.inside("c", PING) == "out"
    assert _notices(ground) == []
    host.run("nft", "-f", "-", stdin="table ip filter { chain FORWARD { type filter hook forward "
             "priority 0; policy drop; }\n}")  # fmt: skip
    ground.until(lambda: _notices(ground) != [])
    [notice] = _notices(ground)
    assert "ip filter FORWARD, policy drop" in notice
    assert ground.inside("c", PING) == "kept"
    assert notice in ground.daemon.log_text()
    for command in notice.split("`")[1::2]:
        assert command.startswith("nft insert rule ip filter FORWARD ")
        host.run(*command.split())
    assert ground.inside("c", PING) == "out"
    ground.until(lambda: _notices(ground) == [])
    # a box that is started now would have been told; one on a host that still drops is
    host.run("nft", "flush", "chain", "ip", "filter", "FORWARD")
    ground.until(lambda: _notices(ground) != [])
    ground.daemon.run("run", "-d", "--name", "late", "alpine", "sleep", "300")
    assert notice in ground.inspect("late")["notices"]
    assert "policy drop" in ground.daemon.run("network", "inspect", "bridge")
    host.run("iptables", "-I", "FORWARD", "-i", "bx+", "-j", "ACCEPT")
    host.run("iptables", "-I", "FORWARD", "-o", "bx+", "-j", "ACCEPT")
    assert ground.inside("late", PING) == "out"
    ground.until(lambda: _notices(ground) == [])


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
def test_who_has_port_53_is_told_and_boxes_find_each_other_still(ground: Ground, kind: int) -> None:
    def take() -> socket.socket:
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind(("0.0.0.0", 53))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        return sock

    with ground.host.call(take):
        ground.server("db")
        ground.daemon.run("run", "-d", "--name", "c", "alpine", "sleep", "300")
        [notice] = _notices(ground)
        assert "port 53 of " in notice
        assert "is taken: process " in notice
        assert "(pid " in notice
        assert notice in ground.inspect("c")["notices"]
        assert ground.says("c", "db") == "I-am-db"
        ground.daemon.run("rm", "-f", "c", "db")
        ground.until(ground.is_clean)
    ground.daemon.run("run", "-d", "--name", "c", "alpine", "sleep", "300")
    assert _notices(ground) == []


def test_two_daemons_side_by_side_share_nothing_and_one_leaves_the_other_as_it_is(
    ground: Ground, new_daemon: Callable[..., Daemon], alpine_registry: AlpineRegistry
) -> None:
    """Forwarding is off on this host, so each of them keeps others from using it as a router."""
    host, second = ground.host, new_daemon(alpine_registry.folder)
    second.prefix = host.prefix
    second.start("--default-network", "auto")

    def there(name: str, *words: str) -> str:
        return second.boxy("exec", name, *words).stdout.strip()

    try:
        ground.server("web", "-p", "8080:80")
        server = ["sh", "-c", "while :; do nc -lk -p 80 -e echo I-am-theirs; done"]
        second.run("run", "-d", "--name", "web", "-p", "8081:80", "alpine", *server)
        mine, theirs = ground.daemon.request("GET", "/networks/bridge"), _bridge(second)
        for key in ("subnet", "interface", "table", "dns"):
            assert mine[key] != theirs[key], key
        taken = second.boxy("run", "--rm", "-p", "8080:80", "alpine", "true")
        assert "port 8080/tcp of the host is taken: process boxy" in taken.stderr
        assert ground.inside("web", PING) == there("web", "sh", "-c", PING) == "out"
        assert host.fetch("127.0.0.1", 8080) == "I-am-web"
        assert host.fetch("127.0.0.1", 8081) == "I-am-theirs"
        address = ground.inspect("web")["networks"][0]["address"].partition("/")[0]
        assert there("web", "nc", "-w", "1", address, "80") == ""
        assert there("web", "nslookup", "-type=a", "web.bridge").count(address) == 0

        ground.daemon.run("rm", "-f", "web")
        ground.until(lambda: mine["table"] not in ground.rules())
        assert mine["interface"] not in host.links()
        assert host.read("ipv4/ip_forward") == "1"
        assert there("web", "sh", "-c", PING) == "out"
        assert host.fetch("127.0.0.1", 8081) == "I-am-theirs"
        assert "chain guard" in ground.rules()
        second.run("rm", "-f", "web")
        ground.until(ground.is_clean)
        ground.until(lambda: host.read("ipv4/ip_forward") == "0")
    finally:
        second.close()


def _bridge(daemon: Daemon) -> dict[str, Any]:
    found: dict[str, Any] = daemon.request("GET", "/networks/bridge")
    return found
