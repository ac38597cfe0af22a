"""Each page of the registry from plain values.  Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from boxy_core.units import format_age, format_size
from boxy_registry.pages.html import Markup, document, element, join
from boxy_registry.store import Repository, StoredManifest, Tag

MAX_CONFIG = 1 << 20
_SHORT = 19  # sha256: and 12 digits
_LINES = 400


def repositories(found: Sequence[Repository], wanted: str, more: str, user: str | None) -> str:
    """The list of repositories."""
    search = element(
        "form",
        element("input", type="search", name="q", value=wanted, placeholder="part of a name",
                aria_label="part of a name"),
        element("button", "Search", type="submit"),
        method="get", action="/", class_="search",
    )  # fmt: skip
    rows = [
        (
            element("a", one.name, href=_page(one.name)),
            _count(one.tags, "tag"),
            format_size(one.size),
            _age(one.pushed),
        )
        for one in found
    ]
    content: list[str] = [search]
    if rows:
        content.append(_table(("Repository", "Tags", "Size", "Pushed"), rows))
    else:
        nothing = "Nothing here bears that name." if wanted else "Nothing has been pushed yet."
        content.append(element("p", nothing, class_="empty"))
    if more:
        query = urlencode({"after": more, **({"q": wanted} if wanted else {})})
        content.append(element("p", element("a", "Next", href=f"/?{query}")))
    return _whole("Repositories", "Repositories", content, user)


def tags(host: str, about: Repository, found: Sequence[Tag], more: str, user: str | None) -> str:
    """The tags of a repository."""
    rows = [
        (
            element("a", one.name, href=_page(about.name, one.name)),
            _code(one.digest[:_SHORT]),
            format_size(one.content) if one.content else "-",
            _age(one.pushed),
            _copied(f"boxy pull {host}/{about.name}:{one.name}"),
        )
        for one in found
    ]
    summary = f"{_count(about.tags, 'tag')}, {_count(about.manifests, 'manifest')}, "
    summary += format_size(about.size)
    content: list[str] = [element("p", summary, class_="summary")]
    content.append(_table(("Tag", "Digest", "Size", "Pushed", "Pull"), rows))
    if more:
        content.append(
            element("p", element("a", "Next", href=f"{_page(about.name)}?after={quote(more)}"))
        )
    return _whole(about.name, about.name, content, user)


def image(
    host: str, name: str, reference: str, manifest: StoredManifest, config: bytes, user: str | None
) -> str:
    """What an image is made of."""
    data = _object(manifest.body)
    at = "@" if ":" in reference else ":"
    content: list[str] = [
        element("p", element("a", name, href=_page(name)), class_="summary"),
        _facts([("Digest", _code(manifest.digest)), ("Type", manifest.media_type)]),
        element("h2", "Pull"),
        *(
            element("p", _copied(f"{tool} pull {host}/{name}{at}{reference}"))
            for tool in ("boxy", "podman", "docker")
        ),
    ]
    if isinstance(data.get("manifests"), list):
        content += [element("h2", "Platforms"), _children(name, data["manifests"])]
    if isinstance(data.get("layers"), list):
        content += [element("h2", "Layers"), _layers(data["layers"])]
    if config:
        content += _config(_object(config))
    return _whole(f"{name}{at}{reference}", f"{name}{at}{_shortened(reference)}", content, user)


def problem(status: int, sentence: str) -> str:
    """What went wrong."""
    content = [element("p", sentence[:1].upper() + sentence[1:] + ".", class_="empty")]
    return _whole(str(status), f"{status}", content, None)


def config_digest(body: bytes) -> str:
    """The digest of an image's configuration; "" if the manifest has none."""
    config = _object(body).get("config")
    digest = config.get("digest") if isinstance(config, dict) else ""
    return digest if isinstance(digest, str) else ""


# ---------------------------------------------------------------------- parts of pages


def _whole(title: str, heading: str, content: Iterable[str], user: str | None) -> str:
    who = [element("span", user, class_="user")] if user else []
    if user == "":
        who = [element("a", "Sign in", href="/login")]
    header = element("header", element("a", "boxy-registry", href="/"), *who)
    return document(
        f"{title} - boxy-registry", header, element("main", element("h1", heading), *content)
    )


def _children(name: str, items: list[Any]) -> Markup:
    rows = []
    for item in items[:_LINES]:
        child = item if isinstance(item, dict) else {}
        platform = child.get("platform")
        words = platform if isinstance(platform, dict) else {}
        told = "/".join(
            str(words[key]) for key in ("os", "architecture", "variant") if words.get(key)
        )
        digest = str(child.get("digest", ""))
        rows.append(
            (told or "-", element("a", _code(_shortened(digest)), href=_page(name, digest)))
        )
    return _table(("Platform", "Manifest"), rows)


def _layers(items: list[Any]) -> Markup:
    rows = []
    for item in items[:_LINES]:
        layer = item if isinstance(item, dict) else {}
        size = layer.get("size")
        rows.append((
            _code(_shortened(str(layer.get("digest", "")))),
            format_size(size) if isinstance(size, int) and size >= 0 else "-",
            str(layer.get("mediaType", "")),
        ))  # fmt: skip
    return _table(("Digest", "Size", "Type"), rows)


def _config(data: dict[str, Any]) -> list[str]:
    """What a box would take from the image, and how it was made."""
    settings = data.get("config")
    told = settings if isinstance(settings, dict) else {}
    platform = "/".join(
        str(data[key]) for key in ("os", "architecture", "variant") if data.get(key)
    )
    facts: list[tuple[str, str]] = [("Platform", platform)]
    for title, key in (("Entrypoint", "Entrypoint"), ("Command", "Cmd")):
        words = told.get(key)
        if isinstance(words, list) and words:
            facts.append((title, _code(" ".join(map(str, words)))))
    for title, key in (("Folder", "WorkingDir"), ("User", "User")):
        if told.get(key):
            facts.append((title, _code(str(told[key]))))
    env = told.get("Env")
    if isinstance(env, list):
        facts += [("Variable", _code(str(one))) for one in env[:_LINES]]
    for title, key in (("Ports", "ExposedPorts"), ("Labels", "Labels")):
        found = told.get(key)
        if isinstance(found, dict) and found:
            pairs = (f"{k}={v}" if isinstance(v, str) else str(k) for k, v in found.items())
            facts.append((title, ", ".join(pairs)))
    content: list[str] = [element("h2", "Configuration"), _facts(facts)]
    history = data.get("history")
    if isinstance(history, list) and history:
        steps = [str(one.get("created_by", "")) for one in history if isinstance(one, dict)]
        items = [element("li", _code(step)) for step in steps[:_LINES] if step]
        content += [element("h2", "History"), element("ol", *items)] if items else []
    return content


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    head = element("thead", element("tr", *(element("th", title) for title in titles)))
    body = [
        element(
            "tr",
            *(
                element("td", cell, data_title=title)
                for title, cell in zip(titles, row, strict=True)
            ),
        )
        for row in rows
    ]
    return element("table", head, element("tbody", *body))


def _facts(pairs: Sequence[tuple[str, str]]) -> Markup:
    return element("dl", *(join(element("dt", key), element("dd", value)) for key, value in pairs))


def _copied(command: str) -> Markup:
    """A command with a button that copies it."""
    button = element("button", "Copy", type="button", class_="copy", data_text=command)
    return element("span", element("code", command), button, class_="command")


def _code(text: str) -> Markup:
    return element("code", text)


def _page(name: str, reference: str = "") -> str:
    tail = f"/-/{quote(reference, safe=':')}" if reference else ""
    return f"/r/{quote(name)}{tail}"


def _shortened(text: str) -> str:
    return text[:_SHORT] if text.startswith("sha") else text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _age(when: float) -> str:
    return f"{format_age(max(0.0, time.time() - when))} ago" if when else "-"


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
