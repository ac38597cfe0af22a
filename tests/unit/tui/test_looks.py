"""The sets of colours: legible, chosen, kept; and what a poor terminal is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.color import Color, ColorSystem

from boxy_tui import looks, palette, signs
from boxy_tui.format import GLYPHS
from boxy_tui.widgets import keybar


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    palette.use("dark")
    keybar._Spelling.words = False


def luminance(colour: str) -> float:
    """WCAG 2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", list(palette.PALETTES))
def test_what_is_written_can_be_read_on_each_of_its_grounds(name: str) -> None:
    colours = palette.PALETTES[name]
    for ground in (colours.background, colours.surface, colours.panel, colours.cursor):
        for text in (colours.text, colours.bright):
            assert contrast(text, ground) >= 4.5, (text, ground)
    for sign in (colours.green, colours.yellow, colours.red, colours.magenta, colours.dim):
        assert contrast(sign, colours.background) >= 4.5, sign
    assert contrast(colours.faint, colours.background) >= 2.3


@pytest.mark.parametrize("name", list(palette.PALETTES))
def test_the_cursor_stands_out(name: str) -> None:
    colours = palette.PALETTES[name]
    assert contrast(colours.cursor, colours.background) > 1.3
    assert colours.mark not in (colours.cursor, colours.background)


def test_grounds_stay_apart_and_grey_ones_grey_in_256_colours() -> None:
    for colours in (palette.DARK, palette.LIGHT):
        grounds = (colours.background, colours.cursor, colours.mark)
        shown = [Color.parse(ground).downgrade(ColorSystem.EIGHT_BIT) for ground in grounds]
        assert len({ground.number for ground in shown}) == 3, colours.name
    for name in ("background", "surface", "panel"):
        ground = Color.parse(getattr(palette.LIGHT, name)).downgrade(ColorSystem.EIGHT_BIT)
        assert len(set(ground.get_truecolor())) == 1, name


def test_another_set_changes_every_style_at_once() -> None:
    dark = palette.style("cursor name")
    palette.use("light")
    assert palette.style("cursor name") != dark
    assert palette.foreground("green") != palette.foreground("red")
    assert palette.use("no such set") is palette.DARK


def test_the_choice_is_kept_and_what_was_said_last_wins(tmp_path: Path) -> None:
    here = {"XDG_STATE_HOME": str(tmp_path), "TERM": "xterm-256color"}
    assert looks.chosen(here) == "dark"
    looks.keep(here, "light")
    assert looks.chosen(here) == "light"
    assert looks.chosen(here | {"BOXY_THEME": "16"}) == "16"
    assert looks.chosen(here | {"BOXY_THEME": "16"}, "grey") == "grey"
    assert looks.chosen(here | {"BOXY_THEME": "plaid"}) == "light"


@pytest.mark.parametrize("junk", [b"{", b"[]", b'{"theme": 7}', b"\xff\xfe"])
def test_a_damaged_choice_is_no_choice(tmp_path: Path, junk: bytes) -> None:
    here = {"XDG_STATE_HOME": str(tmp_path), "COLORTERM": "truecolor"}
    looks.kept_in(here).parent.mkdir()
    looks.kept_in(here).write_bytes(junk)
    assert looks.chosen(here) == "dark"


def test_a_choice_that_cannot_be_kept_is_lost_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "boxy").write_text("a file in the way")
    looks.keep({"XDG_STATE_HOME": str(tmp_path)}, "light")
    assert looks.chosen({"XDG_STATE_HOME": str(tmp_path), "COLORTERM": "24bit"}) == "dark"


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"TERM": "xterm-256color"}, "dark"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "dark"),
        ({"TERM": "xterm"}, "16"),
        ({"TERM": "linux"}, "16"),
        ({}, "16"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "grey"),
    ],
)
def test_a_terminal_gets_what_it_can_show(environ: dict[str, str], name: str) -> None:
    assert looks.suitable(environ) == name


def test_every_sign_of_a_state_has_another_for_a_poor_terminal_and_no_two_become_one() -> None:
    table = signs.plain_signs()
    poor = [sign.translate(table) for sign, _ in GLYPHS.values()]
    assert all(sign.isascii() and len(sign) == 1 for sign in poor)
    alive = [GLYPHS[status][0].translate(table) for status in GLYPHS if status != "starting"]
    assert len(set(alive)) == len(alive)
    assert "⣿ ⠀".translate(table) == "#  "


def test_which_terminals_are_poor_in_signs() -> None:
    assert signs.poor_in_signs({"TERM": "linux"}, "utf-8")
    assert signs.poor_in_signs({"TERM": "xterm-256color"}, "iso8859-1")
    assert not signs.poor_in_signs({"TERM": "xterm"}, "UTF-8")


def test_keys_are_spelled_in_words_where_their_signs_are_missing() -> None:
    assert (keybar.sign("tab"), keybar.sign("ctrl+up")) == ("⇥", "ctrl+↑")
    keybar.spell_in_words()
    assert (keybar.sign("tab"), keybar.sign("enter")) == ("tab", "enter")
    assert keybar.spelled("shift+⇥") == "shift+tab"
