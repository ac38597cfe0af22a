"""The stream loop on a socket pair: bytes both ways, signals, and every way of ending."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_cli import stream as stream_module
from boxy_cli.detach import DetachKeys, parse_keys
from boxy_cli.stream import Ended, FrameCutter, Session, Stream
from boxy_core import protocol
from boxy_core.client.blocking import Upgraded
from boxy_core.errors import ProtocolError
from boxy_core.protocol import EXIT, LAGGED, REPLAY_END, STDERR, STDIN, STDIN_EOF, STDOUT, frame
from tests.support.waiting import eventually

DONE = frame(EXIT, b'{"status":3,"signal":0,"oom":false}')
frames = st.lists(st.tuples(st.sampled_from(sorted(protocol.NAMES)), st.binary(max_size=40)))


# ------------------------------------------------------------------ cutting


@given(frames, st.lists(st.integers(0, 500)))
def test_pieces_are_the_frames_however_the_stream_is_cut(
    sent: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    whole = b"".join(frame(kind, payload) for kind, payload in sent)
    edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    cutter = FrameCutter()
    output: dict[int, bytes] = {STDOUT: b"", STDERR: b""}
    control = []
    for start, end in pairwise(edges):
        for kind, piece in cutter.feed(memoryview(whole)[start:end]):
            if kind in output:
                output[kind] += bytes(piece)
            else:
                control.append((kind, bytes(piece)))
    assert control == [one for one in sent if one[0] not in output]
    for kind, got in output.items():
        assert got == b"".join(payload for other, payload in sent if other == kind)
    assert cutter.between


@given(st.binary(max_size=200))
def test_any_bytes_are_pieces_or_a_protocol_error(data: bytes) -> None:
    cutter = FrameCutter()
    with suppress(ProtocolError):
        for i in range(len(data)):
            assert sum(len(piece) for _, piece in cutter.feed(memoryview(data)[i : i + 1])) <= i + 1


# ------------------------------------------------------------------ a conversation


class Talk:
    """A stream whose other end the test holds; our output and input are pipes."""

    def __init__(self, **kinds: Any) -> None:
        self.shim, ours = socket.socketpair()
        self.shim.settimeout(30)
        self.reader = protocol.FrameReader()
        self.typed: int | None
        self.notices: list[str] = []
        wanted_stdin = kinds.pop("stdin", True)
        first = kinds.pop("first", b"")
        session = Session(
            tty=kinds.pop("tty", False),
            owner=kinds.pop("owner", True),
            history=kinds.pop("history", False),
        )
        source, self.typed = os.pipe()
        self.source = source
        self.out, self.out_write = os.pipe()
        self.err, self.err_write = os.pipe()
        raw = socket.socket(fileno=ours.detach())
        self._ours = raw
        self.stream = Stream(
            Upgraded(raw, first, {}),
            session,
            stdin=source if wanted_stdin else None,
            notice=self.notices.append,
            **kinds,
        )

    def type(self, data: bytes) -> None:
        assert self.typed is not None
        os.write(self.typed, data)

    def end_of_input(self) -> None:
        assert self.typed is not None
        os.close(self.typed)
        self.typed = None

    def received(self) -> list[tuple[int, bytes]]:
        """The frames that came since the last call; at least one."""
        return self.reader.feed(self.shim.recv(1 << 20))

    def output(self) -> bytes:
        return os.read(self.out, 1 << 20)

    def close(self) -> None:
        self.shim.close()
        self._ours.close()
        fds = [self.source, self.out, self.out_write, self.err, self.err_write, self.typed]
        for fd in fds:
            if fd is not None:
                with suppress(OSError):
                    os.close(fd)


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Talk]]:
    made: list[Talk] = []
    write = stream_module._write_all

    def make(**kinds: Any) -> Talk:
        one = Talk(**kinds)
        made.append(one)
        outputs = {1: one.out_write, 2: one.err_write}
        monkeypatch.setattr(
            stream_module, "_write_all", lambda fd, pieces: write(outputs[fd], pieces)
        )
        return one

    yield make
    for one in made:
        one.close()


def to_the_loop(number: int) -> None:
    """Send a signal to the main thread, where the loop is: it must leave its system call."""
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, number)


def in_background(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def test_both_outputs_come_apart_and_the_status_last(talk: Callable[..., Talk]) -> None:
    one = talk(stdin=False, first=frame(STDOUT, b"from the head, "))
    one.shim.sendall(frame(STDOUT, b"out") + frame(STDERR, b"err") + frame(STDOUT, b"!") + DONE)
    ended = one.stream.run()
    assert (ended.how, ended.info["status"]) == ("exit", 3)
    assert one.output() == b"from the head, out!"
    assert os.read(one.err, 100) == b"err"


def test_input_is_framed_and_its_end_is_told(talk: Callable[..., Talk]) -> None:
    one = talk()
    one.type(b"hello")
    one.end_of_input()
    got: list[tuple[int, bytes]] = []

    def shim() -> None:
        while (STDIN_EOF, b"") not in got:
            got.extend(one.received())
        one.shim.sendall(DONE)

    thread = in_background(shim)
    assert one.stream.run().how == "exit"
    thread.join(30)
    assert got == [(STDIN, b"hello"), (STDIN_EOF, b"")]


def test_much_input_waits_for_a_slow_box_and_arrives_whole(talk: Callable[..., Talk]) -> None:
    one = talk()
    sent = os.urandom(3_000_000)
    arrived = bytearray()

    def shim() -> None:
        time.sleep(0.1)  # the socket fills up meanwhile
        while True:
            for kind, payload in one.received():
                if kind == STDIN_EOF:
                    one.shim.sendall(DONE)
                    return
                arrived.extend(payload)

    def producer() -> None:
        view = memoryview(sent)
        while view:
            assert one.typed is not None
            view = view[os.write(one.typed, view[:65536]) :]
        one.end_of_input()

    threads = [in_background(shim), in_background(producer)]
    assert one.stream.run().how == "exit"
    for thread in threads:
        thread.join(30)
    assert bytes(arrived) == sent


@pytest.mark.parametrize(
    ("tail", "why"),
    [
        (b"", "ended"),
        (frame(STDOUT, b"abc")[:-1], "in the middle of a frame"),
        (b"\x63" + bytes(7), "type 99"),
        (frame(EXIT, b"not json"), "how the command ended"),
        (frame(EXIT, b'{"status":"0"}'), "how the command ended"),
    ],
)
def test_a_stream_that_breaks_says_so(talk: Callable[..., Talk], tail: bytes, why: str) -> None:
    one = talk(stdin=False)
    one.shim.sendall(tail)
    one.shim.shutdown(socket.SHUT_WR)
    ended = one.stream.run()
    assert ended.how == "broken"
    assert why in ended.why


def test_the_detach_keys_leave_and_what_came_before_them_is_sent(
    talk: Callable[..., Talk],
) -> None:
    one = talk(tty=True, detach=DetachKeys(parse_keys("ctrl-p,ctrl-q")))
    one.type(b"ls\x10\x11more")
    assert one.stream.run().how == "detached"
    assert one.received() == [(STDIN, b"ls")]


def test_a_single_detach_key_reaches_the_program_after_its_time(
    talk: Callable[..., Talk],
) -> None:
    one = talk(tty=True, detach=DetachKeys(parse_keys("ctrl-p,ctrl-q")))
    one.type(b"\x10")
    got: list[tuple[int, bytes]] = []

    def shim() -> None:
        got.extend(one.received())
        one.shim.sendall(DONE)

    thread = in_background(shim)
    one.stream.run()
    thread.join(30)
    assert got == [(STDIN, b"\x10")]


def test_signals_are_passed_on_and_the_third_interrupt_kills(talk: Callable[..., Talk]) -> None:
    one = talk(stdin=False, forward=True)
    got: list[int] = []

    def shim() -> None:
        one.output()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGINT):
            to_the_loop(number)
            got.extend(payload[0] for _, payload in one.received())
        one.shim.sendall(DONE)

    before = signal.getsignal(signal.SIGINT)
    one.shim.sendall(frame(STDOUT, b"ready"))
    thread = in_background(shim)
    one.stream.run()
    thread.join(30)
    assert got == [signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGKILL]
    assert one.notices == ["it still runs; ctrl-c once more kills it"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_is_passed_on_while_nobody_reads_our_output(talk: Callable[..., Talk]) -> None:
    one = talk(stdin=False, forward=True)
    got: list[tuple[int, bytes]] = []
    before = signal.getsignal(signal.SIGTERM)

    def shim() -> None:
        flood = in_background(lambda: one.shim.sendall(frame(STDOUT, b"x" * 900_000)))
        eventually(lambda: signal.getsignal(signal.SIGTERM) is not before)
        time.sleep(0.2)  # the loop is stuck in its write now
        to_the_loop(signal.SIGTERM)
        got.extend(one.received())
        left = 900_000
        while left:
            left -= len(one.output())
        flood.join(30)
        one.shim.sendall(DONE)

    thread = in_background(shim)
    assert one.stream.run().how == "exit"
    thread.join(30)
    assert got == [(protocol.SIGNAL, bytes([signal.SIGTERM]))]


def test_a_new_window_size_is_told(talk: Callable[..., Talk]) -> None:
    one = talk(tty=True, size=lambda: (33, 99))
    got: list[tuple[int, bytes]] = []
    one.shim.sendall(frame(STDOUT, b"ready"))

    def shim() -> None:
        one.output()
        to_the_loop(signal.SIGWINCH)
        got.extend(one.received())
        one.shim.sendall(DONE)

    thread = in_background(shim)
    one.stream.run()
    thread.join(30)
    assert got == [(protocol.RESIZE, protocol.SIZE.pack(33, 99))]


def test_history_is_cleaned_and_what_is_live_is_not(talk: Callable[..., Talk]) -> None:
    one = talk(tty=True, owner=False, history=True, stdin=False)
    one.shim.sendall(frame(STDOUT, b"old\x1b[") + frame(STDOUT, b"6n text") + frame(REPLAY_END))
    one.shim.sendall(frame(STDOUT, b" live\x1b[6n") + DONE)
    assert one.stream.run().how == "exit"
    assert one.output() == b"old text live\x1b[6n"


def test_a_viewer_that_lagged_is_shown_a_clean_screen(talk: Callable[..., Talk]) -> None:
    one = talk(tty=True, owner=False, stdin=False)
    lost = frame(LAGGED, (5000).to_bytes(8, "big"))
    one.shim.sendall(lost + frame(STDOUT, b"now\x1b[c") + frame(REPLAY_END) + DONE)
    one.stream.run()
    assert one.output() == b"\x1b[0m\x1b[H\x1b[2Jnow"


def test_missing_output_without_a_terminal_is_said(talk: Callable[..., Talk]) -> None:
    one = talk(owner=False, stdin=False)
    one.shim.sendall(frame(LAGGED, (5000).to_bytes(8, "big")) + frame(STDOUT, b"x") + DONE)
    one.stream.run()
    assert "5000 bytes" in one.notices[0]
    assert one.output() == b"x"


def test_a_reader_that_leaves_ends_the_command_that_we_started(
    talk: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "OUTPUT_GRACE", 0.05)
    one = talk(stdin=False)
    os.close(one.out)
    one.out = os.dup(one.err)
    one.shim.sendall(frame(STDOUT, b"unread"))
    got: list[int] = []

    def shim() -> None:
        while len(got) < 2:
            got.extend(payload[0] for _, payload in one.received())
        one.shim.sendall(DONE)

    thread = in_background(shim)
    ended = one.stream.run()
    thread.join(30)
    assert got == [signal.SIGPIPE, signal.SIGKILL]
    assert ended.how == "exit"
    assert one.stream.output_closed


def test_a_reader_that_leaves_only_ends_a_viewer(talk: Callable[..., Talk]) -> None:
    one = talk(stdin=False, owner=False)
    os.close(one.out)
    one.out = os.dup(one.err)
    one.shim.sendall(frame(STDOUT, b"unread"))
    assert one.stream.run().how == "closed"


def test_an_ending_without_details_has_empty_ones() -> None:
    assert json.dumps(Ended("detached").info) == "{}"
