"""The page of keys is what the console's bindings say."""

from __future__ import annotations

from pathlib import Path

from boxy_tui.keys import as_markdown, commands, sections

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "keys.md"


def test_the_page_of_keys_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_markdown(), "run: python docs/generate_keys.py"


def test_every_key_has_a_word_and_a_sentence() -> None:
    for title, keys in sections():
        assert keys, title
        for key in keys:
            assert key.key, title
            assert key.word, key.key
            assert len(key.sentence) > 5, key


def test_no_key_means_two_things_in_one_place() -> None:
    for title, keys in sections():
        written = [key.key for key in keys]
        assert len(written) == len(set(written)), title


def test_every_command_of_the_palette_has_an_action() -> None:
    titles = [title for title, _, action in commands() if action]
    assert "Box: attach" in titles
    assert len(titles) == len(set(titles))
