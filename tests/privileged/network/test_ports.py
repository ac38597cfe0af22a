"""Published ports: where they answer, where they must not, and who may have them."""

from __future__ import annotations

import secrets
import socket
import time

from tests.privileged.network.ground import HOST, OUTSIDE, Ground


def test_a_published_port_answers_on_loopback_and_not_outside(ground: Ground) -> None:
    daemon, host, outside = ground.daemon, ground.host, ground.outside
    web = ground.server("web", "-p", "8080:80", "-p", f"{HOST}:8081:80", "-p", "0.0.0.0:8082:80")
    daemon.run("run", "-d", "--name", "other", "alpine", "sleep", "300")
    address = web["networks"][0]["address"].partition("/")[0]
    gateway = web["networks"][0]["gateway"]
    assert daemon.run("port", "web", "80").splitlines() == [
        "127.0.0.1:8080", f"{HOST}:8081", "0.0.0.0:8082",
    ]  # fmt: skip
    assert "127.0.0.1:8080->80/tcp" in daemon.run("ps")

    # from the host itself, by loopback and by its addresses
    assert host.fetch("127.0.0.1", 8080) == "I-am-web"
    assert host.fetch(HOST, 8081) == "I-am-web"
    assert host.fetch("127.0.0.1", 8082) == "I-am-web"
    assert host.fetch(HOST, 8080) == "refused"
    # from outside, only where that was asked for
    assert outside.fetch(HOST, 8081) == "I-am-web"
    assert outside.fetch(HOST, 8082) == "I-am-web"
    assert outside.fetch(HOST, 8080) == "refused"
    # from another box and from the box itself (hairpin)
    for box in ("other", "web"):
        assert ground.says(box, HOST, 8082) == "I-am-web", box
        assert ground.says(box, gateway, 8082) == "I-am-web", box
        assert "I-am-web" not in ground.says(box, gateway, 8080)

    # an outside that knows where boxes are, and sends to them by the host
    outside.run("ip", "route", "add", f"{gateway}/24".replace(".1/", ".0/"), "via", HOST)
    assert outside.fetch(address, 80, 1) in ("nothing", "no way")
    assert outside.fetch(gateway, 8082, 1) in ("nothing", "no way")
    # and one that sends loopback's addresses over the wire
    outside.write("ipv4/conf/all/route_localnet", "1")
    outside.write("ipv4/conf/out0/route_localnet", "1")
    outside.run("ip", "rule", "add", "pref", "5", "to", "127.0.0.0/8", "lookup", "100")
    outside.run("ip", "rule", "add", "pref", "10", "lookup", "local")
    outside.run("ip", "rule", "del", "pref", "0")
    outside.run("ip", "route", "add", "127.0.0.0/8", "via", HOST, "dev", "out0", "src", OUTSIDE,
                "table", "100")  # fmt: skip
    assert outside.fetch("127.0.0.1", 8080, 1) in ("nothing", "no way")
    # nor does a box reach the host's loopback, or say that it is somebody else
    assert "I-am-web" not in ground.says("other", "127.0.0.1", 8080)


def test_ports_come_and_go_while_the_box_runs_and_belong_to_one_only(ground: Ground) -> None:
    daemon, host = ground.daemon, ground.host
    ground.server("web")
    assert host.fetch("127.0.0.1", 8080) == "refused"
    daemon.run("update", "--publish-add", "8080:80", "--publish-add", "80", "web")
    free = ground.inspect("web")["ports"][1]["host"]
    assert host.fetch("127.0.0.1", 8080) == host.fetch("127.0.0.1", free) == "I-am-web"

    # held: no program of the host's takes it, no other box
    def take() -> str:
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", 8080))
            except OSError as error:
                return str(error.strerror)
        return "taken"

    assert host.call(take) == "Address already in use"
    done = daemon.boxy("run", "-d", "--name", "thief", "-p", "8080:80", "alpine", "sleep", "9")
    assert "port 8080/tcp of the host is taken: box web publishes it" in done.stderr
    assert "box thief was made and stays: boxy start thief once the port is free" in done.stderr
    assert ground.inspect("thief")["status"] == "created"
    done = daemon.boxy("run", "--rm", "--name", "brief", "-p", "8080:80", "alpine", "true")
    assert "port 8080/tcp of the host is taken" in done.stderr
    assert "stays" not in done.stderr
    daemon.run("rm", "thief")

    # killed and started again: the port goes on, and is still held
    daemon.kill()
    assert host.fetch("127.0.0.1", 8080) == "I-am-web"
    assert host.call(take) == "Address already in use"
    daemon.start("--default-network", "bridge")
    assert host.fetch("127.0.0.1", 8080) == "I-am-web"

    # taken back: refused at once, and free
    daemon.run("update", "--publish-rm", "8080", "web")
    assert host.fetch("127.0.0.1", 8080) == "refused"
    ground.until(lambda: host.call(take) == "taken")
    assert (
        "no published port 8080/tcp" in daemon.boxy("update", "--publish-rm", "8080", "web").stderr
    )
    assert host.fetch("127.0.0.1", free) == "I-am-web"

    # a port of the host's own program says whose it is, and what else was taken is given back
    with host.call(lambda: socket.create_server(("127.0.0.1", 9000))):
        done = daemon.boxy("update", "--publish-add", "8083:80", "--publish-add", "9000:80", "web")
        assert "port 9000/tcp of the host is taken: process" in done.stderr
        assert "(pid " in done.stderr
    assert len(ground.inspect("web")["ports"]) == 1
    assert host.fetch("127.0.0.1", 8083) == "refused"

    # what was asked for comes back at a restart, as it is now
    daemon.run("update", "--publish-add", "8084:80", "web")
    daemon.run("restart", "-t", "0", "web")
    ground.until(lambda: host.fetch("127.0.0.1", 8084) == "I-am-web")
    daemon.run("stop", "-t", "0", "web")
    assert ground.inspect("web")["ports"] == []
    ground.until(lambda: host.fetch("127.0.0.1", 8084) == "refused")


def test_udp_and_ranges_are_published_too(ground: Ground) -> None:
    ground.daemon.run("run", "-d", "--name", "u", "-p", "5300-5301:53-54/udp", "alpine", "sh", "-c",
                      "nc -u -lk -p 54 -e cat & nc -u -lk -p 53 -e cat")  # fmt: skip

    def ask(port: int) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.5)
            sock.connect(("127.0.0.1", port))
            for _ in range(40):
                try:
                    sock.send(b"hello")
                    return sock.recv(100)
                except (TimeoutError, ConnectionRefusedError):
                    time.sleep(0.1)
        return b""

    assert ground.host.call(lambda: ask(5301)) == b"hello"
    assert ground.daemon.run("port", "u", "53/udp") == "127.0.0.1:5300"

    # a client that keeps asking from one port has a flow: it ends with the port, and begins anew
    def talk() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", 5300))
            sock.settimeout(0.3)
            assert _heard(sock)
            ground.daemon.run("update", "--publish-rm", "5300/udp", "u")
            assert not _heard(sock, 3)
            ground.daemon.run("update", "--publish-add", "5300:53/udp", "u")
            assert _heard(sock)

    ground.host.call(talk)


def _heard(sock: socket.socket, times: int = 60) -> bool:
    """Whether what is sent now comes back; an answer to what was sent before does not count."""
    for _ in range(times):
        word = secrets.token_hex(8).encode()
        try:
            sock.send(word)
            while (answer := sock.recv(100)) != word:
                assert answer
            return True
        except TimeoutError:
            continue
        except ConnectionRefusedError:
            time.sleep(0.1)
    return False


def test_another_program_flushing_all_rules_is_undone(ground: Ground) -> None:
    ground.server("web", "-p", "8080:80")
    before = ground.rules()
    assert "table inet boxy_" in before
    ground.host.run("nft", "flush", "ruleset")
    ground.until(lambda: ground.rules() == before)
    assert ground.host.fetch("127.0.0.1", 8080) == "I-am-web"
    name = next(word for word in before.split() if word.startswith("boxy_"))
    ground.host.run("nft", "flush", "chain", "inet", name, "raw")
    ground.until(lambda: ground.rules() == before)
    assert "another program had changed" in ground.daemon.log_text()
