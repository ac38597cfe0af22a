"""Panes: the keyboard goes to the program, nothing is lost, the daemon is not needed."""

from __future__ import annotations

import json
from typing import cast

from textual import events

from boxy_core import protocol as wire
from boxy_tui.screens.main import MainScreen
from boxy_tui.screens.panes import PanesScreen
from boxy_tui.terminal.emulator import Emulator
from tests.tui.conftest import Console, console
from tests.tui.fake_daemon import FakeDaemon, Session, make_box

PREFIX = "ctrl+right_square_bracket"


async def attached(ui: Console, daemon: FakeDaemon, key: str = "a", name: str = "web") -> Session:
    """Go to a pane; its session."""
    before = len(daemon.sessions)
    await ui.select(name)
    await ui.press(key)
    await ui.in_pane()
    await ui.until(lambda: len(daemon.sessions) > before)
    return daemon.sessions[-1]


async def test_typing_reaches_the_program_and_its_echo_is_shown(
    ui: Console, daemon: FakeDaemon
) -> None:
    session = await attached(ui, daemon)
    await ui.type("ls -l")
    await ui.press("enter")
    await ui.until(lambda: bytes(session.typed) == b"ls -l\r")
    await ui.shows("ls -l")


async def test_keys_of_the_console_are_the_programs_in_a_pane(
    ui: Console, daemon: FakeDaemon
) -> None:
    session = await attached(ui, daemon)
    session.echo = False
    await ui.press("q", "colon", "tab", "escape", "ctrl+c", "ctrl+q", "ctrl+p", "f1", "up")
    await ui.until(lambda: bytes(session.typed) == b"q:\t\x1b\x03\x11\x10\x1bOP\x1b[A")


async def test_each_notch_of_the_wheel_is_told_once_or_looks_back_three_rows(
    ui: Console, daemon: FakeDaemon
) -> None:
    session = await attached(ui, daemon)
    session.echo = False
    session.say(b"\r\n" * 99 + b"\x1b[?1000;1006h")
    await ui.until(lambda: ui.pane.emulator.modes.mouse == 1000)
    wheel = [events.MouseScrollUp, events.MouseScrollDown, events.MouseScrollLeft,
             events.MouseScrollRight]  # fmt: skip
    for notch in wheel:
        ui.pane.post_message(notch(ui.pane, 3, 4, 0, 0, 0, False, False, False))
    told = b"".join(b"\x1b[<%d;4;5M" % button for button in (64, 65, 66, 67))
    await ui.until(lambda: bytes(session.typed) == told)
    session.say(b"\x1b[?1000l")
    await ui.until(lambda: ui.pane.emulator.modes.mouse == 0)
    ui.pane.post_message(events.MouseScrollUp(ui.pane, 3, 4, 0, 0, 0, False, False, False))
    await ui.until(lambda: ui.pane.view.back() == 3)


async def test_the_pane_asks_for_its_own_size_and_follows_it(
    ui: Console, daemon: FakeDaemon
) -> None:
    session = await attached(ui, daemon)
    assert (session.query["rows"], session.query["cols"]) == ("29", "100")
    await ui.pilot.resize_terminal(60, 20)
    await ui.until(lambda: session.sizes and session.sizes[-1] == (19, 60))
    assert (ui.pane.emulator.columns, ui.pane.emulator.lines) == (60, 19)


async def test_a_program_s_copy_reaches_the_clipboard_only_when_it_is_taken(
    ui: Console, daemon: FakeDaemon
) -> None:
    session = await attached(ui, daemon)
    session.frame(wire.REPLAY_END)
    session.say(b"\x1b]52;c;c2VjcmV0\x07\x1b]52;c;?\x07")
    await ui.shows("6 characters to copy")
    assert ui.app.clipboard == ""
    assert not session.typed
    await ui.press(PREFIX, "y")
    await ui.until(lambda: ui.app.clipboard == "secret", "the clipboard")
    await ui.until(lambda: "characters to copy" not in ui.text())


async def test_a_pane_tells_the_shim_what_it_shows(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    session.say(b"old")
    session.frame(wire.REPLAY_END, (100).to_bytes(8, "big"))
    await ui.until(lambda: session.told == [b""])
    session.say(b"\x1b[?1049hfull screen\x1b[3")
    session.frame(wire.STATE_WANTED, (123).to_bytes(8, "big"))
    await ui.until(lambda: len(session.told) == 2)
    position, drawing = session.told[1][:8], session.told[1][8:]
    assert int.from_bytes(position, "big") == 100 + 19, "what is half read comes again"
    again = Emulator(ui.pane.emulator.columns, ui.pane.emulator.lines)
    again.feed(drawing + b"\x1b[31mx")
    assert again.display[0].startswith("   full screenx")
    assert again.alternate
    session.say(b"1m")
    await ui.shows("full screen")
    await ui.press(PREFIX, "x")
    await ui.until(lambda: len(session.told) == 3)


async def test_leaving_and_coming_back_loses_nothing(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    session.say(b"before\r\n")
    await ui.shows("before")
    await ui.press(PREFIX, "d")
    await ui.on(MainScreen)
    session.say(b"meanwhile\r\n")
    await ui.press("a")
    await ui.shows("before", "meanwhile")
    assert len(daemon.sessions) == 1


async def test_shells_that_an_earlier_console_left_are_found(
    ui: Console, daemon: FakeDaemon
) -> None:
    daemon.running[make_box("web").id] = [
        {"session": "main", "tty": True, "count": 0},
        {"session": "e1", "tty": True, "count": 0, "command": "/usr/bin/htop -d 1"},
        {"session": "e2", "tty": True, "count": 1, "command": "bash"},
        {"session": "e3", "tty": False, "count": 0, "command": "cat"},
        {"session": "e4", "tty": True, "count": 0},
    ]
    main = await attached(ui, daemon)
    await ui.shows("1 nginx", "2 htop", "3 e4")
    assert main.query["session"] == "main"
    await ui.press(PREFIX, "n")
    await ui.until(lambda: len(daemon.sessions) == 2)
    assert daemon.sessions[-1].query["session"] == "e1"


async def test_all_panes_fill_the_screen_and_arrows_go_from_one_to_the_next(
    daemon: FakeDaemon,
) -> None:
    async with console(daemon.path, (130, 30)) as ui:
        await ui.shows("web", "batch")
        await attached(ui, daemon)
        await ui.press(PREFIX, "percent_sign")
        await ui.until(lambda: len(daemon.sessions) == 2)
        await ui.press(PREFIX, "quotation_mark")
        await ui.until(lambda: len(daemon.sessions) == 3)
        screen = cast("PanesScreen", ui.app.screen)
        await ui.until(lambda: [pane.outer_size.width for pane in screen.panes] == [65, 65, 130])
        for key, at in (("up", 0), ("left", 0), ("right", 1), ("down", 2), ("down", 2)):
            await ui.press(PREFIX, key)
            assert screen.at == at, key
        await ui.press(PREFIX, "z", PREFIX, "up")
        assert screen.at == 2
        assert screen.panes[2].outer_size.width == 130
        await ui.press(PREFIX, "J")
        await ui.shows("ctrl+] J does nothing; ctrl+] ? lists the keys")


async def test_a_shell_is_executed_beside_and_panes_are_switched(
    ui: Console, daemon: FakeDaemon
) -> None:
    main = await attached(ui, daemon)
    main.say(b"I am main\r\n")
    await ui.shows("I am main")
    await ui.press(PREFIX, "c")
    await ui.until(lambda: len(daemon.sessions) == 2)
    shell = daemon.sessions[-1]
    assert shell.body["command"][:2] == ["/bin/sh", "-c"]
    assert shell.body["tty"] is True
    shell.say(b"I am shell\r\n")
    await ui.shows("I am shell")
    assert "I am main" not in ui.text()
    await ui.press(PREFIX, "p")
    await ui.shows("I am main")
    await ui.press(PREFIX, "2")
    await ui.shows("I am shell")
    await ui.press(PREFIX, "z")
    await ui.shows("I am main", "I am shell")


async def test_exec_asks_for_a_command(ui: Console, daemon: FakeDaemon) -> None:
    await ui.select("web")
    await ui.press("E")
    await ui.type("top -d 1")
    await ui.press("enter")
    await ui.in_pane()
    assert daemon.sessions[-1].body["command"] == ["top", "-d", "1"]


async def test_the_prefix_twice_is_sent_itself(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    await ui.press(PREFIX)
    await ui.shows("leave", "zoom")
    await ui.press(PREFIX)
    await ui.until(lambda: bytes(session.typed) == b"\x1d")


async def test_replies_to_replayed_queries_are_not_sent(ui: Console, daemon: FakeDaemon) -> None:
    def replay(session: Session) -> None:
        session.echo = False
        session.say(b"\x1b[c\x1b[6n")
        session.frame(wire.REPLAY_END)
        session.say(b"\x1b[5n")

    daemon.on_session = replay
    session = await attached(ui, daemon)
    await ui.until(lambda: bytes(session.typed) == b"\x1b[0n")


async def test_the_end_is_shown_and_enter_attaches_again(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    session.say(b"last words\r\n")
    session.exit(3)
    await ui.shows("last words", "── exited with status 3 ──", "again")
    await ui.press("enter")
    await ui.until(lambda: len(daemon.sessions) == 2)
    await ui.in_pane()
    assert "last words" not in ui.text()


async def test_out_of_memory_is_named(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    session.exit(137, oom=True)
    await ui.shows("out of memory")


async def test_closing_the_last_pane_goes_back(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    await ui.press(PREFIX, "x")
    await ui.until(lambda: isinstance(ui.app.screen, MainScreen))
    await ui.until(lambda: session.closed)
    await attached(ui, daemon)
    assert len(daemon.sessions) == 2


async def test_a_lagging_pane_says_so_and_shows_the_replay(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    session.say(b"stale\r\n")
    await ui.shows("stale")
    session.lag(5 << 20, b"fresh\r\n")
    await ui.shows("fresh", "flood: 5.0M not shown")
    assert "stale" not in ui.text()


async def test_a_flood_is_taken_in_and_keys_still_work(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    session.echo = False
    for n in range(40):
        session.say(b"".join(b"line %d\r\n" % (1000 * n + i) for i in range(1000)))
    session.say(b"the end")
    await ui.press("x")
    await ui.until(lambda: bytes(session.typed) == b"x")
    await ui.shows("the end")
    assert ui.pane.backlog == 0


async def test_scroll_mode_looks_back_and_finds(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    session.say(b"".join(b"row %d\r\n" % i for i in range(200)))
    await ui.shows("row 199")
    await ui.press(PREFIX, "left_square_bracket", "g")
    await ui.shows("row 0", "scroll")
    await ui.press("slash")
    await ui.type("row 77")
    await ui.press("enter")
    await ui.shows("row 77 ", "1/1")
    await ui.press("q")
    await ui.shows("row 199")
    await ui.type("x")
    await ui.until(lambda: bytes(session.typed) == b"x")


async def test_a_paste_is_bracketed_for_programs_that_ask(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    session.echo = False
    session.say(b"\x1b[?2004h$ ")
    await ui.shows("$ ")
    ui.app.copy_to_clipboard("two\nlines")
    await ui.press(PREFIX, "right_square_bracket")
    await ui.until(lambda: bytes(session.typed) == b"\x1b[200~two\rlines\x1b[201~")


async def test_the_mouse_is_the_programs_when_it_asks(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    session.echo = False
    session.say(b"\x1b[?1000h\x1b[?1006hmouse")
    await ui.shows("mouse")
    await ui.pilot.click(ui.pane, offset=(4, 2))
    await ui.until(lambda: bytes(session.typed) == b"\x1b[<0;5;3M\x1b[<0;5;3m")


async def test_another_viewers_size_is_shown_as_it_is(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    session.frame(wire.VIEWERS, json.dumps({"count": 2, "rows": 10, "cols": 40}).encode())
    await ui.shows("2 viewers", "······")
    assert (ui.pane.emulator.columns, ui.pane.emulator.lines) == (40, 10)


async def test_a_killed_daemon_does_not_touch_an_open_pane(ui: Console, daemon: FakeDaemon) -> None:
    session = await attached(ui, daemon)
    await daemon.stop()
    await ui.shows("daemon lost")
    await ui.type("still here")
    await ui.shows("still here")
    await daemon.start()
    ui.app.feed.retry()
    await ui.until(lambda: "daemon lost" not in ui.text())
    await ui.type(" and now")
    await ui.until(lambda: bytes(session.typed) == b"still here and now")


async def test_a_stopped_box_is_started_with_its_pane_attached(
    ui: Console, daemon: FakeDaemon
) -> None:
    await attached(ui, daemon, "enter", "batch")
    assert daemon.asked("POST", "/start") == 1
    await ui.until(lambda: ui.app.state.boxes[make_box("batch").id].status == "running")


async def test_a_refused_attach_is_shown_in_the_pane(ui: Console, daemon: FakeDaemon) -> None:
    from boxy_core.errors import CommandNotFound

    path = f"/boxes/{make_box('web').id}/exec"
    daemon.refuse["POST", path] = CommandNotFound("there is no /bin/sh in web", hint="use E")
    await ui.select("web")
    await ui.press("e")
    await ui.shows("there is no /bin/sh in web", "close")
    await ui.press("x")
    await ui.until(lambda: isinstance(ui.app.screen, MainScreen))


async def test_a_session_without_a_terminal_is_usable(ui: Console, daemon: FakeDaemon) -> None:
    from msgspec.structs import replace

    box = make_box("pipes")
    daemon.put(replace(box, spec=replace(box.spec, tty=False)), "box.created")
    await ui.shows("pipes")
    session = await attached(ui, daemon, name="pipes")
    session.echo = False
    await ui.type("hi")
    await ui.press("enter")
    await ui.until(lambda: bytes(session.typed) == b"hi\n")
    session.say(b"one\ntwo\n")
    await ui.shows("hi", "one", "two")
    await ui.press("ctrl+c", "ctrl+d")
    await ui.until(lambda: (wire.SIGNAL, b"\x02") in session.frames)
    await ui.until(lambda: (wire.STDIN_EOF, b"") in session.frames)


async def test_what_is_typed_while_it_connects_is_not_lost(ui: Console, daemon: FakeDaemon) -> None:
    await ui.select("web")
    await ui.pilot.press("a")
    await ui.until(lambda: isinstance(ui.app.screen, PanesScreen) and ui.app.screen.current)
    await ui.type("early")
    await ui.until(lambda: daemon.sessions and bytes(daemon.sessions[-1].typed) == b"early")


async def test_the_keyboard_selects_and_copies_from_the_scrollback(
    ui: Console, daemon: FakeDaemon
) -> None:
    session = await attached(ui, daemon)
    session.say(b"".join(b"line %d of it\r\n" % number for number in range(60)))
    await ui.shows("line 59")
    await ui.press(PREFIX, "left_square_bracket", "g", "v")
    await ui.press("pageup", "pageup", "home", "v", "down", "right", "right", "right", "right", "y")
    await ui.until(lambda: ui.app.clipboard == "line 0 of it\nline", "the clipboard")
    assert ui.pane.view.caret is None
    await ui.press("q")
    await ui.shows("line 59")
