"""A recording in a plain terminal: what is written to it, and when."""

from __future__ import annotations

import os
import threading

from boxy_cli.player import CLEAR, Player, everything
from boxy_core.cast import Event, Recording
from boxy_core.recorder import Recorder


def make(*events: tuple[float, str]) -> Recording:
    return Recording(80, 24, "", [Event(at, "o", data) for at, data in events])


class Screen:
    """A pipe that a player writes to."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_NONBLOCK)

    def shown(self) -> bytes:
        try:
            return os.read(self.read_end, 1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


def test_it_plays_to_the_end_and_puts_the_terminal_back() -> None:
    screen = Screen()
    recording = make((0.0, "a"), (0.01, "\x1b[?1049hb"), (0.02, "\x1b[6nc"))
    player = Player(recording, speed=16.0, output=screen.write_end)
    player.play(None)
    shown = screen.shown()
    assert shown.startswith(b"a\x1b[?1049hbc"), "and it asks the terminal nothing"
    assert shown.endswith(b"\x1b[?1049l")
    screen.close()


def test_going_back_begins_on_a_clean_screen() -> None:
    screen = Screen()
    player = Player(make((1, "a"), (2, "b"), (3, "c")), speed=1.0, output=screen.write_end)
    player.go_to(2.5)
    assert screen.shown() == b"ab"
    player.go_to(1.0)
    assert screen.shown().endswith(CLEAR + b"a")
    player.go_to(99)
    assert screen.shown() == b"bc"
    assert player.now == 3
    screen.close()


def test_keys_pause_seek_change_the_speed_and_end_it() -> None:
    screen, keys = Screen(), os.pipe()
    player = Player(make((1, "a"), (50, "b"), (100, "c")), speed=1.0, output=screen.write_end)
    thread = threading.Thread(target=player.play, args=(keys[0],))
    thread.start()
    for key in (b" ", b"5", b"+", b"\x1b[C", b"q"):
        os.write(keys[1], key)
        threading.Event().wait(0.05)
    thread.join(30)
    assert not thread.is_alive()
    assert player.paused
    assert player.ended
    assert player.speed == 1.5
    assert 55 <= player.now < 56
    assert screen.shown().startswith(b"ab")
    screen.close()
    for end in keys:
        os.close(end)


def test_everything_at_once_is_the_output_alone() -> None:
    recording = Recording(80, 24, "", [Event(0, "o", "é"), Event(1, "i", "x"), Event(2, "o", "b")])
    assert everything(recording) == "éb".encode()


def test_a_disk_that_is_full_ends_the_recording_and_nothing_else() -> None:
    recorder = Recorder("/dev/full", (80, 24), "t", overwrite=True)
    recorder.output(b"x")
    recorder.output(b"y")
    recorder.close()
    assert "No space left" in recorder.trouble
