"""Pages from plain values: what was pushed cannot become markup."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from boxy_registry.pages import views
from boxy_registry.pages.html import Markup, element
from boxy_registry.store import Repository, StoredManifest, Tag

EVIL = "\"><script>alert(1)</script>'&"


class Reader(HTMLParser):
    """Collects the elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        self.text += data


def pages(word: str) -> list[str]:
    tag = Tag(word, f"sha256:{word}", word, word, 5, 1.0)
    about = Repository(word, 5, None, 1, 1, 1.0)
    body = {
        "config": {"digest": word}, "manifests": [{"digest": word, "platform": {"os": word}}, 7],
        "layers": [{"digest": word, "size": 1, "mediaType": word}, None],
    }  # fmt: skip
    config = {
        "os": word, "history": [{"created_by": word}, 1],
        "config": {"Env": [word], "Cmd": [word], "User": word, "Labels": {word: word},
                   "ExposedPorts": {word: {}}},
    }  # fmt: skip
    manifest = StoredManifest(f"sha256:{word}", word, json.dumps(body).encode(), 1.0)
    return [
        views.repositories([about], word, word, word),
        views.tags(word, about, [tag], word, word),
        views.image(word, word, word, manifest, json.dumps(config).encode(), word),
        views.problem(404, word or "x"),
    ]


def test_nothing_that_was_pushed_becomes_an_element_or_a_handler() -> None:
    for page, plain in zip(pages(EVIL), pages("plain"), strict=True):
        evil, good = Reader(page), Reader(plain)
        assert evil.elements == good.elements
        assert evil.elements.count("script") == 1
        assert evil.handlers == []
        assert "alert(1)" in evil.text or "alert(1)" in page


@given(st.text(max_size=40))
def test_any_text_leaves_the_page_s_elements_as_they_are(word: str) -> None:
    names = [Reader(page).elements for page in pages("plain")]
    assert [Reader(page).elements for page in pages(word or "x")] == names


@given(st.binary(max_size=100))
def test_a_manifest_of_any_bytes_has_a_page(body: bytes) -> None:
    manifest = StoredManifest("sha256:a", "x/y", body, 1.0)
    assert "</html>" in views.image("h", "n", "t", manifest, body, "")


def test_only_markup_is_left_as_it_is() -> None:
    assert element("b", "<", Markup("<i>"), title='"') == '<b title="&quot;">&lt;<i></b>'
