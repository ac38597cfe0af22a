"""The console: puts State, Feed, Deeds and screens together.

Constraint: the first paint comes well under a second, also over SSH; what is not needed for it is
imported late.  The console decides nothing: leaving it, or killing it, leaves every box as it is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from boxy_core.client.aio import Client
from boxy_core.errors import BoxyError
from boxy_core.models import ALIVE, Box, Image
from boxy_core.paths import client_paths
from boxy_tui import driver, looks, palette, signs
from boxy_tui.arguments import parse
from boxy_tui.deeds import Deeds
from boxy_tui.errands import Errands
from boxy_tui.feed import Feed
from boxy_tui.format import plain, status_text
from boxy_tui.hangup import end_with_terminal
from boxy_tui.later import later
from boxy_tui.panes.link import Target
from boxy_tui.panes.scheduler import Scheduler
from boxy_tui.screens.main import MainScreen
from boxy_tui.screens.panes import PanesScreen
from boxy_tui.state import State
from boxy_tui.terminal.owncursor import OwnCursor
from boxy_tui.typeahead import TypeAhead
from boxy_tui.widgets.header import Figures, read_host
from boxy_tui.widgets.keybar import spell_in_words

REFRESH = 1 / 15
"""Seconds between redraws for what the daemon says; many events in a row are one redraw."""
LINGER = 0.1
"""Seconds that the cursor has to stay on a box before its past is asked for."""
SHELL = ("/bin/sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi")


class BoxyApp(App[str], inherit_bindings=False):
    """The application.

    Args:
        socket: the daemon's socket.
        clock: seconds since the epoch; tests and screenshots have their own.
        host: reads the host's figures; None shows none.
        look: the name of the set of colours, see palette.py.
    """

    TITLE = "boxy"
    CSS_PATH = Path(__file__).with_name("boxy.tcss")
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        # Bound here, and not with priority, since a pane's program wants F1 and ctrl+p itself.
        Binding("f1", "command_palette", "commands", show=False),
        Binding("ctrl+c", "quit_hint", "", show=False, system=True),
    ]

    def __init__(
        self,
        socket: str,
        *,
        clock: Callable[[], float] = time.time,
        host: Callable[[], Figures] | None = read_host,
        zone: Callable[[float], time.struct_time] = time.localtime,
        look: str = "dark",
    ) -> None:
        super().__init__()
        self.clock = clock
        self.host = host
        self.zone = zone
        self.state = State()
        self.client = Client(socket)
        self.feed = Feed(self.client, self.state, self.changed)
        self.deeds = Deeds(self.client, self.state)
        self.errands = Errands(self)
        self.scheduler = Scheduler()
        self.own_cursor = OwnCursor(self)
        self.typing = TypeAhead(self, super().on_event)
        self.main = MainScreen(self)
        self.panes: dict[str, PanesScreen] = {}
        self._stale = False
        self.first_recording = ""
        """A recording to play at once; the console ends with it."""
        for known in palette.PALETTES.values():
            self.register_theme(palette.theme(known))
        self.look(look)

    def get_default_screen(self) -> Screen[None]:
        """The first screen."""
        return self.main

    def on_mount(self) -> None:
        """First the paint, then the daemon."""
        self.run_worker(later(self.feed.run), name="feed", exit_on_error=True)
        if not self.is_headless:  # who is told to end gives the terminal back as it was
            told = partial(self.exit, None, 128 + signal.SIGTERM)
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told)
        if self.first_recording:
            self.replay(self.first_recording, last=True)

    async def on_event(self, event: events.Event) -> None:
        """Keys are obeyed one after the other, however fast they come."""
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            await self.typing.take(event)
        else:
            await super().on_event(event)

    def local_time(self, seconds: float) -> str:
        """Hours, minutes, seconds where the user is."""
        return time.strftime("%H:%M:%S", self.zone(seconds))

    # ---------------------------------------------------------------- redraw

    def post_display_hook(self) -> None:
        """A frame was drawn: the terminal's cursor goes where the focused program has its own."""
        self.own_cursor.follow()

    async def on_unmount(self) -> None:
        """The terminal gets its cursor back as it was."""
        self.own_cursor.leave()

    def changed(self) -> None:
        """The state is another one: draw it soon."""
        if not self._stale:
            self._stale = True
            self.set_timer(REFRESH, self._redraw)

    def _redraw(self) -> None:
        self._stale = False
        if not self.screen_stack:
            return  # the console is being left
        screen = self.screen
        if screen is self.main or screen.is_modal:
            self.main.refresh_all()
        elif isinstance(screen, PanesScreen):
            screen.draw()
        elif (redraw := getattr(screen, "redraw", None)) is not None:
            redraw()

    def wants_history(self, box_id: str) -> None:
        """A box was selected: its curves should begin before we came."""
        if self.state.lacks_history(box_id):
            self.run_worker(later(self._history, box_id), group="history")

    async def _history(self, box_id: str) -> None:
        await asyncio.sleep(LINGER)
        if box_id != self.main.boxes.current:
            return  # the cursor has only passed over it
        with suppress(BoxyError):  # the curves begin now; that the daemon is gone is said elsewhere
            await self.feed.history(box_id)

    # ---------------------------------------------------------------- notices

    def say(self, text: str, hint: str = "", *, bad: bool = False) -> None:
        """A notice: one sentence, and what to do."""
        message = plain(text) if not hint else f"{plain(text)}\n{plain(hint)}"
        self.notify(message, severity="error" if bad else "information", markup=False, timeout=6)

    def complain(self, error: BoxyError) -> None:
        """An error as a notice."""
        self.say(error.message, error.hint, bad=True)

    # ---------------------------------------------------------------- screens

    def open_form(self, image: str) -> None:
        """Ask what to run."""
        from boxy_tui.screens.form import FormScreen

        def made(box_id: str | None) -> None:
            if box_id:
                self.main.refresh_all()
                self.main.boxes.go_to(box_id)

        self.push_screen(FormScreen(self, image), made)

    def open_limits(self, box: Box) -> None:
        """Ask for other limits."""
        from boxy_tui.screens.limits import LimitsScreen

        def done(changed: bool | None) -> None:
            if changed:
                self.main.refresh_all()

        self.push_screen(LimitsScreen(self, box), done)

    def open_networks(self) -> None:
        """Show the networks."""
        from boxy_tui.screens.networks import NetworksScreen

        self.push_screen(NetworksScreen(self))

    def open_web(self, box: Box) -> None:
        """Open the box's published port in a browser where there is one, else say its address."""
        from boxy_tui.format_network import urls

        found = urls(box)
        if not found:
            self.say(f"{plain(box.name)} publishes no port for a browser.", "W opens one: 8080:80.")
            return
        if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            self.open_url(found[0])
        self.say(" ".join(found))

    def ask_ports(self, box: Box) -> None:
        """Ask which ports to open and close, and do it."""
        from boxy_tui.format_network import port_change, port_text
        from boxy_tui.screens.dialogs import AskScreen

        async def change(line: str) -> None:
            try:
                changed = await self.deeds.change_ports(box, port_change(line))
            except BoxyError as error:
                self.say(error.message, error.hint, bad=True)
                return
            self.main.refresh_all()
            shown = "  ".join(map(port_text, changed.ports)) or "no port is published now"
            self.say(f"{plain(box.name)}: {shown}")

        def entered(line: str | None) -> None:
            if line:
                self.run_worker(later(change, line))

        now = "  ".join(map(port_text, box.ports)) or "none published"
        self.push_screen(
            AskScreen(f"Ports of {plain(box.name)}: {now}", "8080:80 opens, -8080 closes"), entered
        )

    def open_logs(self, box: Box) -> None:
        """Show what the box wrote."""
        from boxy_tui.screens.reading import LogsScreen

        self.push_screen(LogsScreen(self, box.id, box.name))

    def open_inspect(self, box: Box) -> None:
        """Show all that is known of the box."""
        from boxy_tui.screens.reading import InspectScreen

        self.push_screen(InspectScreen(self, box.name, f"/boxes/{box.id}"))

    def open_glass(self, box: Box, what: str) -> None:
        """Show what the box is made of ("explain"), or what was done for it ("trace")."""
        from boxy_tui.screens.glass import GlassScreen

        self.push_screen(GlassScreen(self, box.id, box.name, what))

    def open_files(self, box: Box) -> None:
        """Walk in the box's files."""
        from boxy_tui.screens.files import FilesScreen

        self.push_screen(FilesScreen(self, box.id, box.name))

    def open_changes(self, box: Box) -> None:
        """Show what the box changed against its image."""
        from boxy_tui.screens.files import ChangesScreen

        self.push_screen(ChangesScreen(self, box.id, box.name))

    def action_volumes(self) -> None:
        """Folders that outlive boxes: their sizes, and who has them."""
        from boxy_tui.screens.volumes import VolumesScreen

        self.push_screen(VolumesScreen(self))

    def open_image(self, image: Image) -> None:
        """Show all that is known of the image."""
        from boxy_tui.screens.reading import InspectScreen

        self.push_screen(InspectScreen(self, image.name, f"/images/{image.name}"))

    def open_registry(self, name: str) -> None:
        """Look into registries, first into the one that an image came from."""
        from boxy_tui.screens.registry import RegistryScreen

        self.push_screen(RegistryScreen(self, name), lambda _: self.main.refresh_all())

    def action_command_palette(self) -> None:
        """Every command by its name; type to find one."""
        super().action_command_palette()

    def action_help(self) -> None:
        """All keys."""
        from boxy_tui.keys import help_rows, section_of
        from boxy_tui.screens.dialogs import HelpScreen

        self.push_screen(HelpScreen(help_rows(), section_of(self.screen)))

    # ---------------------------------------------------------------- colours

    def look(self, name: str) -> None:
        """Use this set of colours."""
        self.theme = palette.theme(palette.use(name)).name

    def action_look(self, name: str) -> None:
        """Use this set of colours, also at the next start."""
        self.look(name)
        looks.keep(os.environ, name)

    def action_next_look(self) -> None:
        """Other colours: dark, light, sixteen, none; kept for the next start."""
        names = list(palette.PALETTES)
        name = names[(names.index(self.theme.removeprefix("boxy-")) + 1) % len(names)]
        self.action_look(name)
        self.notify(f"colours: {palette.PALETTES[name].title}", markup=False, timeout=2)

    # ---------------------------------------------------------------- panes

    def main_target(self, box: Box) -> Target:
        """The box's own session; a box that does not run is started with the pane attached."""
        kind = "main" if box.status in ALIVE else "start"
        title = (box.args or box.spec.command or ["main"])[0].rpartition("/")[2]
        return Target(box.id, kind, title, tty=box.spec.tty)

    def open_main(self, box: Box) -> None:
        """Go to the box's main terminal."""
        self._open_pane(self.main_target(box))

    def open_shell(self, box: Box) -> None:
        """A shell beside what runs in the box."""
        self._open_pane(self.shell_target(box))

    def shell_target(self, box: Box) -> Target:
        """A new shell in the box."""
        return Target(box.id, "exec", "shell", SHELL)

    def ask_command(self, box: Box) -> None:
        """Ask for a command, and run it in a pane."""
        from boxy_tui.commandline import words
        from boxy_tui.screens.dialogs import AskScreen

        def entered(line: str | None) -> None:
            try:
                command = words(line or "")
            except BoxyError as error:
                self.complain(error)
                return
            if command:
                title = (line or "").split()[0].rpartition("/")[2]
                self._open_pane(Target(box.id, "exec", title, tuple(command)))

        hint = "top, or as in a shell: ps | grep sh"
        self.push_screen(AskScreen(f"Run in {plain(box.name)}", hint), entered)

    def ask_dead(self, box: Box) -> None:
        """The box does not run, so nothing can be attached to: what then?"""
        from boxy_tui.screens.dialogs import ChoiceScreen

        def chosen(answer: str | None) -> None:
            if answer == "start":
                self.open_main(box)
            elif answer == "logs":
                self.open_logs(box)

        state = status_text(box, self.clock())[0]
        choices = (("s", "start", "start it and attach"), ("l", "logs", "what it wrote"))
        self.push_screen(ChoiceScreen(f"{plain(box.name)}: {state}", choices), chosen)

    def _open_pane(self, target: Target) -> None:
        screen = self.panes.get(target.box_id)
        if screen is None:
            screen = self.panes[target.box_id] = PanesScreen(self, target)
            self.install_screen(screen, f"panes-{target.box_id}")
        else:
            self.call_later(screen.show, target)
        if self.screen is not screen:
            self.push_screen(screen)

    def leave_panes(self, screen: PanesScreen, *, gone: bool = False) -> None:
        """Back to the first screen; `gone`: the last pane was closed."""
        if self.screen is screen:
            self.pop_screen()
        self.main.refresh_all()
        self.main.boxes.go_to(screen.box_id)
        if gone:
            self.panes.pop(screen.box_id, None)
            self.uninstall_screen(screen)
            self.call_later(screen.remove)

    # ---------------------------------------------------------------- recordings

    def action_replay(self) -> None:
        """Play a recording by boxy record or asciinema."""
        from boxy_tui.screens.dialogs import AskScreen
        from boxy_tui.screens.panes import recordings

        try:
            latest = max(recordings().glob("*.cast"), key=lambda file: file.stat().st_mtime)
        except (BoxyError, OSError, ValueError):
            latest = Path("FILE.cast")

        def entered(path: str | None) -> None:
            if path is not None and (path or latest.exists()):
                self.replay(path or str(latest))

        self.push_screen(AskScreen("Play a recording", str(latest), empty=True), entered)

    def replay(self, path: str, *, last: bool = False) -> None:
        """Show a recording; `last`: the console ends with it."""
        from boxy_tui.screens.replay import ReplayScreen, load

        try:
            recording = load(path)
        except BoxyError as error:
            self.complain(error)
            return
        self.push_screen(ReplayScreen(self, recording, last=last))

    # ---------------------------------------------------------------- palette and end

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The command palette: every key of the present screen, by its name."""
        from boxy_tui.keys import commands

        for title, sentence, action in commands():
            run = partial(self._run_command, action)
            yield SystemCommand(title, sentence, run)
        for known in palette.PALETTES.values():
            run = partial(self.action_look, known.name)
            yield SystemCommand(f"Colour theme: {known.title}", "Kept for the next start", run)

    def _run_command(self, action: str) -> None:
        self.run_worker(later(self.run_action, action, self.screen))

    def action_quit_hint(self) -> None:
        """ctrl+c does not end the console."""
        self.say("q leaves the console; boxes go on running.")

    def action_quit_console(self) -> None:
        """Leave; boxes go on."""
        alive = sum(box.status in ALIVE for box in self.state.boxes.values())
        boxes = "1 box goes" if alive == 1 else f"{alive} boxes go"
        self.exit(f"{boxes} on running; boxy-tui shows them again." if alive else "")


def main(argv: Sequence[str] | None = None) -> int:
    """`boxy-tui`; the exit status."""
    arguments = parse(argv)
    paths = client_paths(socket=arguments.socket, run=arguments.run)
    if arguments.screenshot:
        from boxy_tui.screenshot import take

        return take(paths.socket, arguments.screenshot, arguments.size, arguments.theme or "dark")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("boxy-tui: needs a terminal; `boxy ps` lists boxes without one.", file=sys.stderr)  # noqa: T201
        return 1
    driver.install()
    end_with_terminal()
    app = BoxyApp(paths.socket, look=looks.chosen(os.environ, arguments.theme))
    encoding = sys.__stderr__.encoding if sys.__stderr__ else ""
    app.driver_class = signs.driver_for(os.environ, encoding)
    if app.driver_class is signs.PlainDriver:
        spell_in_words()
    if arguments.replay:
        from boxy_tui.screens.replay import load

        try:
            load(arguments.replay)
        except BoxyError as error:
            print(f"boxy-tui: {error.message}\n      {error.hint}", file=sys.stderr)  # noqa: T201
            return 1
        app.first_recording = arguments.replay
    words = app.run()
    if words:
        print(f"boxy: {words}")  # noqa: T201
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
