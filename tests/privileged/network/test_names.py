"""Boxes on one network find each other by name, whatever becomes of the daemon."""

from __future__ import annotations

import socket
import threading

from tests.privileged.network.ground import OUTSIDE, Ground


def test_a_server_and_a_client_on_a_network_of_their_own_talk_by_name(ground: Ground) -> None:
    daemon = ground.daemon
    daemon.run("network", "create", "app")
    ground.server("db", "--network", "app", "--network-alias", "sql")
    daemon.run("run", "-d", "--name", "client", "--network", "app", "--dns-search", "app",
               "--add-host", "me:host-gateway", "alpine", "sleep", "300")  # fmt: skip
    daemon.run("run", "-d", "--name", "stranger", "alpine", "sleep", "300")
    db, client = ground.inspect("db"), ground.inspect("client")
    address, gateway = (db["networks"][0][key] for key in ("address", "gateway"))
    address = address.partition("/")[0]

    for name in ("db", "sql", "db.app", db["id"][:12]):
        assert ground.says("client", name) == "I-am-db", name
    look = ground.inside("client", "nslookup -type=a db; nslookup -type=aaaa db; echo =$?")
    assert f"Address: {address}" in look
    assert "NXDOMAIN" not in look  # of the family that it lacks: no data, not no name
    assert "NXDOMAIN" in ground.inside("client", "nslookup nosuch.")
    assert "db.app" in ground.inside("client", f"nslookup {address}")
    assert gateway in ground.inside("client", "nslookup host.boxy.internal")
    assert f"{gateway}\tme" in ground.inside("client", "cat /etc/hosts")
    assert ground.inside("client", "cat /etc/resolv.conf") == f"nameserver {gateway}\nsearch app"
    # another network is another world, by name and by address
    assert "I-am-db" not in ground.says("stranger", "db") + ground.says("stranger", address)
    assert "I-am-db" in ground.says("client", address)
    # the way out, as the host
    assert ground.inside("client", f"ping -c 1 -W 2 {OUTSIDE} >/dev/null && echo out") == "out"

    daemon.run("rename", "db", "base")
    assert ground.says("client", "base") == "I-am-db"

    # while no daemon answers, /etc/hosts does; and the next one takes up where it was
    ground.until(lambda: "base" in ground.inside("client", "cat /etc/hosts"))
    daemon.kill()
    joined = ground.host.run(
        "nsenter", "-t", str(client["pid"]), "-a", "nc", "-w", "2", "base", "80", stdin=""
    )
    assert joined.strip() == "I-am-db"
    daemon.start("--default-network", "bridge")
    assert f"Address: {address}" in ground.inside("client", "nslookup -type=a base")
    assert ground.inspect("base")["networks"] == db["networks"]


def test_the_resolver_hands_on_what_it_does_not_know_and_survives_nonsense(ground: Ground) -> None:
    """The host's own resolver here is a socket of ours in the outside."""
    ground.daemon.run("run", "-d", "--name", "c", "--dns", OUTSIDE, "alpine", "sleep", "300")
    gateway = ground.inspect("c")["networks"][0]["gateway"]

    def bound() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((OUTSIDE, 53))
        sock.settimeout(45)
        return sock

    def upstream() -> None:
        with upstreams as sock:
            for _ in range(2):  # A, AAAA
                data, source = sock.recvfrom(512)
                end = data.index(b"\0", 12) + 5
                record = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\xc0\0\2\7"
                known = data[end - 4 : end - 2] == b"\0\1"
                head = data[:2] + b"\x81\x80\0\1" + (b"\0\1" if known else b"\0\0") + b"\0\0\0\0"
                sock.sendto(head + data[12:end] + (record if known else b""), source)

    def shout() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for noise in (b"", b"\0", b"\xff" * 700, b"\0" * 12, bytes(range(256)), b"a" * 40000):
                sock.sendto(noise, (gateway, 53))
        for noise in (b"\0", b"\0\5ab", b"\xff\xff" + b"x" * 1000):
            with socket.create_connection((gateway, 53), 2) as sock:
                sock.sendall(noise)

    ground.host.call(shout)
    upstreams = ground.outside.call(bound)
    thread = threading.Thread(target=upstream)
    thread.start()
    assert "192.0.2.7" in ground.inside("c", "nslookup example.org")
    thread.join()
    assert ground.daemon.running


def test_what_is_wrong_with_a_network_is_one_sentence(ground: Ground) -> None:
    daemon = ground.daemon
    daemon.run("network", "create", "--subnet", "10.9.0.0/24", "--label", "a=b", "app")
    for words, says in {
        ("network", "create", "app"): "there is a network app already",
        ("network", "create", "--subnet", "10.9.0.128/25", "b"): "overlaps network app",
        ("network", "create", "--subnet", "198.51.100.0/25", "b"): "this host reaches already",
        ("network", "create", "--subnet", "10.9.0.1/24", "b"): "host bits set",
        ("network", "create", "host"): "a network cannot be called 'host'",
        ("network", "create", "--gateway", "10.1.1.1", "b"): "a gateway needs a subnet",
        ("network", "rm", "nosuch"): "there is no network nosuch",
        ("run", "--network", "nosuch", "alpine"): "there is no network nosuch",
        ("run", "--network", "none", "-p", "80", "alpine"): "does not go with --network none",
        ("run", "--network", "box:nosuch", "alpine"): "there is no box nosuch",
        ("run", "--network", "app", "--ip", "10.8.0.1", "alpine"): "not an address of the subnet",
        ("run", "--network", "app", "--ip6", "fd00::1", "alpine"): "has no IPv6",
        ("run", "-p", "[::]:80:80", "alpine"): "no IPv6",
        ("run", "-p", "192.0.2.9:80:80", "alpine"): "no address 192.0.2.9",
        ("run", "--dns", "x", "alpine"): "dns cannot be 'x'",
        ("port", "nosuch"): "there is no box nosuch",
    }.items():
        done = daemon.boxy(*words)
        assert done.returncode != 0
        assert says in done.stderr, (words, done.stderr)
        assert "Traceback" not in done.stderr
    daemon.run("create", "--name", "a", "--network", "app", "alpine")
    done = daemon.boxy("network", "rm", "app")
    assert "network app is in use by a" in done.stderr
    assert daemon.run("network", "prune") == ""
    daemon.remove_boxes()
    assert daemon.run("network", "prune") == "app"
    assert "app" not in daemon.run("network", "ls", "-q").splitlines()


def test_a_start_that_the_network_refuses_leaves_nothing(ground: Ground) -> None:
    daemon = ground.daemon
    daemon.run("network", "create", "--subnet", "10.9.0.0/24", "app")
    daemon.run("run", "-d", "--name", "a", "--network", "app", "--ip", "10.9.0.7", "alpine",
               "sleep", "300")  # fmt: skip
    daemon.run("create", "--name", "b", "--network", "app", "--ip", "10.9.0.7", "-p", "7000:80",
               "alpine", "sleep", "300")  # fmt: skip
    done = daemon.boxy("start", "b")
    assert "10.9.0.7 is in use by box" in done.stderr
    assert ground.inspect("b")["status"] == "created"
    daemon.run("rm", "-f", "a")
    daemon.run("start", "b")
    assert ground.inspect("b")["networks"][0]["address"] == "10.9.0.7/24"
    daemon.run("rm", "-f", "b")
