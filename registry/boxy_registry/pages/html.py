"""HTML by elements that escape what they hold.  Pure.

Constraint: there is no way to put text into a page but through here, and only what is `Markup`
already, that is made here, is left as it is.
"""

from __future__ import annotations

from html import escape

_VOID = ("link", "meta", "input", "br")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(kind: str, /, *content: str, **attributes: str | None) -> Markup:
    """`<kind attributes>content</kind>`; a trailing `_` in an attribute's name is dropped, other
    underscores are hyphens, and None leaves it out."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if kind in _VOID:
        return Markup(f"<{kind}{words}>")
    return Markup(f"<{kind}{words}>{join(*content)}</{kind}>")


def join(*content: str) -> Markup:
    """The parts one after the other."""
    return Markup("".join(one if isinstance(one, Markup) else escape(one) for one in content))


def document(title: str, *body: str) -> str:
    """A whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("link", rel="stylesheet", href="/static/registry.css"),
        element("script", src="/static/registry.js", defer=""),
    )
    return "<!doctype html>\n" + element("html", head, element("body", *body), lang="en") + "\n"
