"""Looking into a registry from the console, and pulling."""

from __future__ import annotations

from boxy_tui.screens.dialogs import ConfirmScreen
from boxy_tui.screens.registry import Place, RegistryScreen, _place_of
from tests.tui.conftest import Console
from tests.tui.fake_daemon import FakeDaemon


async def test_one_goes_in_pulls_and_comes_out_by_keys(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("tab", "b")
    await ui.on(RegistryScreen)
    await ui.shows("reg.example", "as ada", "registry", "pull")
    await ui.press("enter")
    await ui.shows("team/app", "tools")
    await ui.press("enter")
    await ui.shows("1.0", "latest", "3.0M", "abababababab")
    await ui.press("p")
    await ui.shows("downloading 50 %")
    daemon.pulling.set()
    await ui.shows("reg.example/team/app:1.0 is here")
    await ui.shows("■  1.0", "□  1.1")  # known by the list of images that the event called for
    await ui.press("escape")
    await ui.shows("tools")
    await ui.press("escape", "escape")
    await ui.shows("Images 4")


async def test_a_tag_is_removed_after_a_question(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("tab", "b")
    await ui.shows("as ada")
    await ui.press("enter")
    await ui.shows("tools")
    await ui.press("enter")
    await ui.shows("1.1")
    await ui.press("down", "d")
    await ui.on(ConfirmScreen)
    await ui.shows("Remove reg.example/team/app:1.1 at the registry?")
    await ui.press("y")
    await ui.until(lambda: "1.1" not in daemon.registries["reg.example"]["team/app"])
    await ui.until(lambda: "1.1" not in ui.text())


async def test_another_registry_is_asked_for_and_its_silence_is_explained(
    ui: Console, daemon: FakeDaemon
) -> None:
    daemon.registries["other.example:5000"] = {"base": ["1"]}
    await ui.press("tab", "b", "h")
    await ui.type("other.example:5000")
    await ui.press("enter")
    await ui.shows("other.example:5000", "base")
    await ui.press("h")
    await ui.type("gone.example")
    await ui.press("enter")
    await ui.shows("there is no address for gone.example", "look at the name", "asks again")
    await ui.press("p")
    await ui.shows("Pulling needs a tag")


async def test_the_filter_narrows_what_a_registry_holds(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("tab", "b")
    await ui.shows("as ada")
    await ui.press("enter")
    await ui.shows("tools")
    await ui.press("slash")
    await ui.type("too")
    await ui.press("enter")
    await ui.until(lambda: "team/app" not in ui.text())
    await ui.press("escape")
    await ui.shows("team/app")


async def test_an_image_is_removed_after_a_question(ui: Console, daemon: FakeDaemon) -> None:
    await ui.press("tab", "d")
    await ui.shows("Remove the image alpine?", "The registry folder stays")
    await ui.press("y")
    await ui.until(lambda: daemon.asked("DELETE", "/images/alpine") == 1)


def test_a_place_is_read_from_what_a_user_types() -> None:
    assert _place_of("reg.example/") == Place("reg.example")
    assert _place_of("myhost/") == Place("myhost")
    assert _place_of("reg.example:5000/team/app:1") == Place("reg.example:5000", "team/app")
    assert _place_of("reg.example/team/app@sha256:12") == Place("reg.example", "team/app")
    assert _place_of("alpine") == _place_of("") == Place()
