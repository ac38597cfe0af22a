"""Ports of the host: which can be had, and who has those that cannot."""

from __future__ import annotations

import os
import socket

import pytest

from boxy_core.errors import Conflict, InvalidRequest
from boxy_core.models_network import Port, Published
from boxyd.network import ports


@pytest.mark.parametrize(
    "port",
    [
        Port(box=0), Port(box=70000), Port(box=80, host=-1), Port(box=80, protocol="sctp"),
        Port(box=80, address="here"), Port(box=80, address="::1"),
        Port(box=80, address="224.0.0.1"),
    ],
)  # fmt: skip
def test_a_port_that_no_packet_can_have_is_refused(port: Port) -> None:
    with pytest.raises(InvalidRequest):
        ports.check([port])


def test_a_port_of_the_host_is_asked_for_once() -> None:
    one = Port(box=80, host=8080)
    ports.check([one, Port(box=80, host=8080, protocol="udp"), Port(box=80), Port(box=80)])
    with pytest.raises(InvalidRequest, match="asked for twice"):
        ports.check([one, Port(box=81, host=8080)])


def test_a_taken_port_says_which_process_has_it() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        number = busy.getsockname()[1]
        with pytest.raises(Conflict) as failed:
            ports.hold(Port(box=80, host=number), "127.0.0.1", [])
    assert f"(pid {os.getpid()})" in failed.value.message
    assert str(number) in failed.value.message


def test_a_port_that_another_box_publishes_says_which_box() -> None:
    with ports.hold(Port(box=80), "127.0.0.1", []) as free:
        number = free.getsockname()[1]
    taken = [("web", Published(box=80, host=number, address="0.0.0.0", to="10.0.0.2"))]
    with pytest.raises(Conflict, match="box web publishes it"):
        ports.hold(Port(box=80, host=number), "127.0.0.1", taken)


def test_a_port_that_is_held_listens_to_nobody_and_is_free_afterwards() -> None:
    sock = ports.hold(Port(box=80), "127.0.0.1", [])
    number = sock.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", number), 1)
    sock.close()
    ports.hold(Port(box=80, host=number), "127.0.0.1", []).close()


def test_an_address_that_is_not_the_hosts_is_told() -> None:
    with pytest.raises(InvalidRequest, match="no address 192"):
        ports.hold(Port(box=80), "192.0.2.77", [])
