"""The first screen: live, by keys that one would guess, and honest when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from textual import events
from textual.command import CommandList, CommandPalette

from boxy_core.errors import Conflict
from boxy_core.models import Event, Status
from boxy_core.models_network import Published
from boxy_tui import looks, palette
from boxy_tui.screens.dialogs import ConfirmScreen, HelpScreen
from boxy_tui.screens.form import FormScreen
from boxy_tui.screens.main import MainScreen
from boxy_tui.screens.reading import InspectScreen, LogsScreen
from boxy_tui.widgets.keybar import KeyBar
from tests.tui.conftest import Console, console, make_daemon
from tests.tui.fake_daemon import MIB, FakeDaemon, make_box


async def test_boxes_are_listed_once_and_then_followed(ui: Console, daemon: FakeDaemon) -> None:
    daemon.put(make_box("newcomer"), "box.created")
    await ui.shows("newcomer")
    daemon.tick()
    await ui.pilot.pause(0.2)
    assert daemon.asked("GET", "/boxes") == 1
    assert daemon.asked("GET", "/images") == 1


async def test_a_removed_box_disappears(ui: Console, daemon: FakeDaemon) -> None:
    box = daemon.boxes.pop(make_box("batch").id)
    daemon.emit("box.removed", box)
    await ui.until(lambda: "train.py" not in ui.text() and box.id not in ui.app.state.boxes)


async def test_the_events_begin_with_what_happened_before_the_console_came(
    daemon: FakeDaemon,
) -> None:
    daemon.past = [
        Event(cursor=8, time=1.0, type="daemon.started"),
        Event(cursor=9, time=2.0, type="box.oom", id="9" * 64, name="yesterdays"),
    ]
    async with console(daemon.path, (120, 40)) as ui:
        await ui.shows("oom          yesterdays", "started      daemon")
        daemon.put(make_box("fresh"), "box.created")
        await ui.shows("created      fresh")
        text = ui.text()
        assert text.index("created      fresh") < text.index("yesterdays") < text.index("  daemon")
        assert daemon.asked("GET", "/watch") == 2


async def test_figures_come_with_the_stats_stream(ui: Console, daemon: FakeDaemon) -> None:
    await ui.select("web")
    daemon.tick(3)
    memory = ui.app.state.rates
    await ui.until(lambda: memory(make_box("web").id).memory > 0)
    await ui.shows("MEM")


async def test_the_curves_begin_with_the_daemons_history(ui: Console, daemon: FakeDaemon) -> None:
    await ui.select("web")
    await ui.until(lambda: len(ui.app.state.samples.get(make_box("web").id, ())) >= 120)
    await ui.select("db")
    await ui.select("web")
    await ui.pilot.pause()
    assert daemon.asked("GET", f"/boxes/{make_box('web').id}/history") == 1


async def test_stop_asks_the_daemon_and_the_event_shows_it(ui: Console, daemon: FakeDaemon) -> None:
    await ui.select("web")
    await ui.press("s")
    await ui.until(lambda: daemon.asked("POST", "/stop") == 1)
    await ui.until(lambda: ui.app.state.boxes[make_box("web").id].status is Status.EXITED)


async def test_starting_restarting_and_pausing_by_their_keys(
    ui: Console, daemon: FakeDaemon
) -> None:
    await ui.select("batch")
    await ui.press("S")
    await ui.until(lambda: daemon.asked("POST", "/start") == 1)
    await ui.select("web")
    await ui.press("r")
    await ui.until(lambda: daemon.asked("POST", "/restart") == 1)
    await ui.select("db")
    await ui.press("p")
    await ui.until(lambda: ui.app.state.boxes[make_box("db").id].status is Status.PAUSED)
    await ui.press("p")
    await ui.until(lambda: daemon.asked("POST", "/unpause") == 1)


async def test_removing_asks_first_and_no_means_no(ui: Console, daemon: FakeDaemon) -> None:
    await ui.select("batch")
    await ui.press("d")
    await ui.on(ConfirmScreen)
    await ui.press("n")
    assert make_box("batch").id in daemon.boxes
    await ui.press("d", "y")
    await ui.until(lambda: make_box("batch").id not in daemon.boxes)


async def test_killing_asks_first(ui: Console, daemon: FakeDaemon) -> None:
    await ui.select("web")
    await ui.press("k")
    await ui.shows("Kill web?")
    await ui.press("escape")
    assert daemon.asked("POST", "/kill") == 0
    await ui.press("k", "y")
    await ui.until(lambda: daemon.asked("POST", "/kill") == 1)


async def test_marks_make_a_deed_for_several(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("home", "space", "space")
    await ui.shows("marked 2")
    await ui.press("s")
    await ui.until(lambda: daemon.asked("POST", "/stop") == 2)


async def test_an_unfit_key_says_why_and_asks_nothing(ui: Console, daemon: FakeDaemon) -> None:
    await ui.select("batch")
    await ui.press("s")
    await ui.shows("batch is not running")
    await ui.press("e")
    assert not daemon.sessions
    assert daemon.asked("POST", "/stop") == 0


async def test_a_refusal_is_a_notice_with_its_hint(ui: Console, daemon: FakeDaemon) -> None:
    path = f"/boxes/{make_box('web').id}/stop"
    daemon.refuse["POST", path] = Conflict("web cannot stop [b]now[/b]", hint="wait \x1b[31ma bit")
    await ui.select("web")
    await ui.press("s")
    await ui.shows("web cannot stop [b]now[/b]", "wait \\e[31ma bit")


async def test_the_filter_narrows_and_escape_clears(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("slash")
    await ui.type("web")
    await ui.shows("Boxes 1/5")
    await ui.press("enter")
    await ui.until(lambda: ui.app.main.boxes.has_focus, "the focus on the boxes")
    await ui.press("escape")
    await ui.shows("Boxes 5")


def type_at_once(ui: Console, *keys: str) -> None:
    """As a quick typist does, or a line that lags: all in one read."""
    for key in keys:
        ui.app.post_message(events.Key(key, key if len(key) == 1 else None))


async def test_what_is_typed_behind_the_slash_at_once_is_the_filter(
    ui: Console, daemon: FakeDaemon
) -> None:
    ui.app.post_message(events.Key("slash", "/"))
    type_at_once(ui, "d", "b", "enter", "s")
    await ui.until(lambda: ui.app.state.boxes[make_box("db").id].status is Status.EXITED)
    assert ui.app.main.needle == "db"
    assert ui.app.screen is ui.app.main  # neither d nor s was for the box of before
    assert daemon.asked("POST", "/stop") == 1


async def test_what_is_typed_behind_a_shells_key_at_once_is_for_the_shell(
    ui: Console, daemon: FakeDaemon
) -> None:
    await ui.select("web")
    type_at_once(ui, "e", "l", "s", "enter")
    await ui.in_pane()
    await ui.until(lambda: bytes(daemon.sessions[-1].typed) == b"ls\r")


async def test_tab_shows_the_images_and_unpacks_one(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("tab")
    await ui.shows("host", "not yet", "broken", "its archive")
    await ui.press("down", "u")
    await ui.shows("host is ready")
    await ui.until(lambda: all(i.ready or i.problem for i in ui.app.state.images))
    await ui.press("tab")
    await ui.until(lambda: ui.app.main.boxes.has_focus, "the focus on the boxes")


async def test_beside_the_images_stands_the_image_and_no_box(ui: Console) -> None:
    await ui.press("tab")
    await ui.shows("from    ")
    assert not ui.app.main.query_one("#graphs").display
    await ui.press("tab")
    await ui.until(lambda: ui.app.main.query_one("#graphs").display, "the graphs")


async def test_attaching_to_what_has_ended_asks_what_is_meant(
    ui: Console, daemon: FakeDaemon
) -> None:
    name = next(b.name for b in daemon.boxes.values() if b.status is Status.EXITED)
    ui.app.main.boxes.go_to(make_box(name).id)
    await ui.press("a")
    await ui.shows("start it and attach", "what it wrote")
    await ui.press("s")
    await ui.in_pane()
    assert daemon.boxes[make_box(name).id].status is Status.RUNNING


async def test_a_line_with_a_pipe_is_run_by_a_shell(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("n")
    await ui.type("ps | wc -l")
    await ui.press("enter")
    await ui.in_pane()
    assert daemon.bodies[-1]["command"] == ["/bin/sh", "-c", "ps | wc -l"]


async def test_the_form_makes_a_box_and_attaches(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("n")
    await ui.on(FormScreen)
    await ui.type("sleep 60")
    await ui.press("tab")
    await ui.type("mine")
    await ui.press("enter")
    await ui.in_pane()
    assert daemon.bodies[-1]["command"] == ["sleep", "60"]
    assert daemon.boxes[make_box("mine").id].status is Status.RUNNING
    assert daemon.sessions[-1].query["stdin"] == "1"


async def test_keys_typed_ahead_reach_the_fields_that_they_were_meant_for(
    ui: Console, daemon: FakeDaemon
) -> None:
    await ui.press("n")
    for key in ("s", "h", "tab", "m", "i", "n", "e", "enter"):
        ui.app.post_message(events.Key(key, key if len(key) == 1 else None))
    await ui.in_pane()
    assert daemon.bodies[-1]["command"] == ["sh"]
    assert daemon.bodies[-1]["name"] == "mine"


async def test_letters_do_not_overtake_the_keys_that_edit(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("n")
    for key in ("x", "x", "ctrl+u", "s", "h", "i", "backspace", "enter"):
        ui.app.post_message(events.Key(key, key if len(key) == 1 else None))
    await ui.in_pane()
    assert daemon.bodies[-1]["command"] == ["sh"]


async def test_a_wrong_flag_is_said_beneath_its_line_and_mended_there(
    ui: Console, daemon: FakeDaemon
) -> None:
    await ui.press("n", *["tab"] * 8)
    for key in "--read-onyl":
        await ui.pilot.press("minus" if key == "-" else key)
    await ui.press("enter")
    await ui.shows("✖", "did you mean --read-only?")
    assert not daemon.bodies
    await ui.press("ctrl+u")
    for key in "--read-o":
        await ui.pilot.press("minus" if key == "-" else key)
    await ui.press("right", "enter")
    await ui.in_pane()
    assert daemon.bodies[-1]["read_only"] is True


async def test_limits_are_changed_in_their_form_and_a_wrong_one_is_said_there(
    ui: Console, daemon: FakeDaemon
) -> None:
    await ui.select("web")
    await ui.press("u")
    await ui.shows("Limits of web", "256m", "↵ change")
    await ui.press("ctrl+u")
    await ui.type("much")
    await ui.press("enter")
    await ui.shows("✖ Memory: 'much' is not a size")
    assert not daemon.bodies
    await ui.press("ctrl+u")
    await ui.type("512m")
    await ui.press("enter")
    await ui.until(lambda: isinstance(ui.app.screen, MainScreen), "the form is closed")
    assert daemon.bodies == [{"memory": 512 * MIB}]
    assert daemon.boxes[make_box("web").id].spec.limits.memory == 512 * MIB


async def test_the_form_says_what_is_wrong_and_stays(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("n", "tab", "tab")
    await ui.type("lots")
    await ui.press("enter")
    await ui.shows("is not a size")
    await ui.on(FormScreen)
    assert not daemon.bodies


async def test_a_taken_name_is_said_in_the_form(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("n", "tab")
    await ui.type("web")
    await ui.press("enter")
    await ui.shows("the name web is taken", "choose another one")
    await ui.press("escape")
    await ui.on(MainScreen)


async def test_logs_are_shown_searched_and_left(ui: Console, daemon: FakeDaemon) -> None:
    lines = b"".join(b"2026-11-23T18:53:00.5Z line %d\n" % n for n in range(100))
    daemon.logs[make_box("web").id] = [(1, lines[:1000]), (1, lines[1000:]), (2, b"to stderr\n")]
    await ui.select("web")
    await ui.press("l")
    await ui.on(LogsScreen)
    await ui.shows("line 99", "to stderr", "following")
    await ui.press("slash")
    await ui.type("line 42")
    await ui.press("enter")
    await ui.shows("/line 42 1/1", "held")
    await ui.press("t")
    await ui.shows("18:53:00")
    await ui.press("escape", "escape")
    await ui.on(MainScreen)


async def test_a_long_line_shows_that_it_goes_on_and_where_it_came_from(
    ui: Console, daemon: FakeDaemon
) -> None:
    line = " ".join(str(n) for n in range(50))
    daemon.logs[make_box("web").id] = [(1, f"2026-11-26T10:00:00.5Z {line}\n".encode())]
    await ui.select("web")
    await ui.press("l")
    await ui.shows(f" {line[:98]}…", "← left  → right", "t times  esc back")
    await ui.press("right")
    await ui.shows(f" …{line[9:106]}…")
    await ui.press(*["right"] * 20)
    await ui.shows(f"…{line[-7:]} ")
    await ui.press("left")
    await ui.shows(f"…{line[-15:]} ")


async def test_a_command_that_is_a_script_leaves_room_for_networks_and_ports(
    daemon: FakeDaemon,
) -> None:
    ports = [Published(box=80, host=8080, address="127.0.0.1", to="10.64.0.2")]
    script = make_box("aaa", args=["sh", "-c", "echo something long; " * 30])
    daemon.boxes[script.id] = replace(script, ports=ports)
    async with console(daemon.path, (130, 40)) as ui:
        await ui.shows("aaa", "127.0.0.1:8080->80/tcp", "something …")


async def test_inspect_shows_the_record(ui: Console) -> None:
    await ui.select("web")
    await ui.press("i")
    await ui.on(InspectScreen)
    await ui.shows('"name": "web"')


async def test_explain_is_kept_current_and_keeps_its_place(ui: Console) -> None:
    await ui.select("web")
    await ui.press("x")
    await ui.shows("$ ls /x", "look ")
    first = ui.text().partition("look ")[2][:1]
    await ui.until(lambda: ui.text().partition("look ")[2][:1] > first)
    await ui.press("escape", "t")
    await ui.shows("create")


async def test_help_lists_the_keys(ui: Console) -> None:
    await ui.press("question_mark")
    await ui.on(HelpScreen)
    await ui.shows("Stop signal, then SIGKILL")
    await ui.press("escape")
    await ui.on(MainScreen)


async def test_under_a_question_no_other_keys_are_on_show(ui: Console) -> None:
    await ui.press("d")
    await ui.shows("Remove", "y yes")
    bar = ui.app.main.query_one(KeyBar)
    covered = ui.app.screen.query_one(KeyBar).region
    assert covered.contains_region(bar.region), "the lower footer is covered"
    await ui.press("n")
    await ui.shows("q quit")
    await ui.press("colon")
    await ui.until(lambda: not any(text.strip() for text, _ in bar.line_cells(0)), "no key")
    await ui.press("escape")
    await ui.shows("q quit")


async def test_help_in_a_pane_begins_with_the_keys_of_a_pane(ui: Console) -> None:
    await ui.select("web")
    await ui.press("a")
    await ui.in_pane()
    await ui.press("ctrl+right_square_bracket", "question_mark")
    await ui.shows("In a pane: all keys go to the program", "ctrl+] d")
    assert "A shell beside what runs" not in ui.text()


async def test_other_colours_are_there_at_once_and_kept(
    ui: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    await ui.press("T")
    await ui.until(lambda: ui.app.theme == "boxy-light")
    await ui.shows("colours: light")
    strip = ui.app.main.boxes.render_line(1)
    styles = [segment.style for segment in strip if segment.style is not None]
    grounds = {style.bgcolor.name for style in styles if style.bgcolor}
    assert palette.LIGHT.cursor in grounds
    assert looks.chosen({"XDG_STATE_HOME": str(tmp_path)}) == "light"
    palette.use("dark")


async def test_keys_of_vim_k9s_and_lazydocker_do_what_one_means(ui: Console) -> None:
    await ui.press("g")
    first = ui.app.main.boxes.current
    await ui.press("j")
    await ui.until(lambda: ui.app.main.boxes.current != first, "the next row")
    await ui.press("ctrl+k")
    await ui.shows("Kill ")
    await ui.press("n", "ctrl+d")
    await ui.shows("Remove ")
    await ui.press("n", "2")
    await ui.shows("DESCRIPTION")
    await ui.press("1")
    await ui.shows("STATUS")
    await ui.press("y")
    await ui.until(lambda: isinstance(ui.app.screen, InspectScreen))


async def test_a_key_that_does_nothing_says_so(ui: Console) -> None:
    await ui.press("z")
    await ui.shows("z does nothing here; ? shows what does.")


async def test_in_a_long_table_one_sees_where_one_is(ui: Console, daemon: FakeDaemon) -> None:
    for number in range(1, 41):
        daemon.put(make_box(f"many{number}"), "box.created")
    await ui.shows("Boxes 45", "row ")
    names = [ui.app.state.boxes[key].name for key in ui.app.main.boxes.keys]
    assert names.index("many2") < names.index("many10"), "numbers in names count"
    await ui.press("G")
    await ui.shows("row 45/45")
    await ui.press("g")
    await ui.shows("row 1/45")


def _found(ui: Console) -> int:
    """How many commands the palette shows."""
    return ui.app.screen.query_one(CommandList).option_count


async def test_the_palette_runs_a_command_by_its_name(ui: Console, daemon: FakeDaemon) -> None:
    await ui.select("web")
    await ui.press("colon")
    await ui.on(CommandPalette)
    await ui.type("box stop")
    await ui.until(lambda: _found(ui) == 1, "the one command")
    await ui.press("enter")
    await ui.until(lambda: daemon.asked("POST", "/stop") == 1)


async def test_every_visible_key_is_in_the_footer(ui: Console) -> None:
    shown = {hint.key for hint in ui.app.screen.query_one(KeyBar)._hints}
    assert {"a", "e", "E", "l", "i", "s", "S", "r", "p", "k", "d", "␣", "o", "n", "⇥", "/", ":",
            "?", "q", "↵"} <= shown  # fmt: skip


async def test_a_click_on_a_footer_key_does_what_the_key_does(ui: Console) -> None:
    bar = ui.app.screen.query_one(KeyBar)
    line = next(y for y in range(bar.size.height) if "help" in bar.render_line(y).text)
    x = bar.render_line(line).text.index("help")
    await ui.pilot.click(bar, offset=(x, line))
    await ui.until(lambda: isinstance(ui.app.screen, HelpScreen))


async def test_text_from_a_box_is_never_obeyed(ui: Console, daemon: FakeDaemon) -> None:
    evil = replace(make_box("evil"), name="\x1b[31m[red]x[/red]", args=["\x07", "[b]bold[/b]"])
    daemon.put(evil, "box.created")
    await ui.shows("\\e[31m[red]x")
    assert "\x1b" not in ui.text()


async def test_without_a_daemon_it_says_what_to_do_and_goes_on_trying(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with console(path) as ui:
        await ui.shows("no daemon answers on", "boxyd &", "goes on trying")
        async with make_daemon(path):
            await ui.press("ctrl+r")
            await ui.shows("web", "postgres")
            assert "no daemon" not in ui.text()


async def test_a_lost_daemon_is_said_and_its_return_is_noticed(
    ui: Console, daemon: FakeDaemon
) -> None:
    await daemon.stop()
    await ui.shows("daemon lost", "go on without it", "web")
    daemon.boot = "two"
    daemon.cursor = 0
    daemon.boxes.pop(make_box("batch").id)
    await daemon.start()
    await ui.press("ctrl+r")
    await ui.until(lambda: make_box("batch").id not in ui.app.state.boxes)
    await ui.until(lambda: "daemon lost" not in ui.text())
    daemon.put(make_box("later"), "box.created")
    await ui.shows("later")


async def test_quitting_says_that_boxes_go_on(daemon: FakeDaemon) -> None:
    async with console(daemon.path) as ui:
        await ui.shows("web")
        await ui.press("q")
        await ui.until(lambda: ui.app.return_value is not None)
        assert ui.app.return_value is not None
        assert "3 boxes go on running" in ui.app.return_value


async def test_it_is_at_home_in_any_size(daemon: FakeDaemon) -> None:
    for size in ((80, 24), (40, 10), (200, 60)):
        async with console(daemon.path, size) as ui:
            await ui.shows("web")
            assert ui.app.screen.size == size
