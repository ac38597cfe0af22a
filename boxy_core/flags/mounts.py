"""The flags that show files in a box: `-v`, `--mount`, `--volumes-from`, as Docker spells them."""

from __future__ import annotations

from boxy_core.errors import InvalidRequest
from boxy_core.flags.options import Option
from boxy_core.units import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOUNTS = (
    Option("-v", "--volume", metavar="SRC:DST[:OPTIONS]", many=True, kind="file",
           help="show a folder of the host, or a volume, in the box: data:/srv:ro"),
    Option("--mount", metavar="KEY=VALUE,...", many=True,
           help="in full: type=bind|volume|tmpfs|image,src=A,dst=B"),
    Option("--volumes-from", metavar="BOX[:ro]", many=True, kind="box",
           help="have what another box has mounted"),
)  # fmt: skip

_PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_SHORT: dict[str, dict[str, object]] = {
    "ro": {"read_only": True}, "rw": {}, "z": {}, "Z": {}, "cached": {}, "delegated": {},
    "consistent": {}, "nocopy": {"copy": False}, "create": {"create": True},
    "U": {"ids": "owner"}, "owner": {"ids": "owner"}, "keep": {"ids": "keep"},
    "rbind": {}, "bind": {"recursive": False},
    **{word: {"propagation": word} for word in _PROPAGATIONS},
}  # fmt: skip
"""options behind the second colon; SELinux's and macOS's have nothing to do here"""
_KEYS = {
    "type": "type", "source": "source", "src": "source", "target": "target", "dst": "target",
    "destination": "target", "readonly": "read_only", "ro": "read_only",
    "bind-propagation": "propagation", "propagation": "propagation",
    "bind-nonrecursive": "nonrecursive", "bind-recursive": "recursive",
    "bind-create-src": "create", "create": "create", "ids": "ids", "idmap": "ids",
    "volume-nocopy": "nocopy", "volume-label": "label", "volume-subpath": "subpath",
    "image-subpath": "subpath", "subpath": "subpath", "tmpfs-size": "size", "tmpfs-mode": "mode",
    "tmpfs-exec": "exec", "consistency": "", "volume-driver": "driver", "z": "", "Z": "",
}  # fmt: skip
_SWITCHES = ("read_only", "create", "nonrecursive", "nocopy", "exec")


def mounts_spec(values: dict[str, Any]) -> dict[str, object]:
    """The fields of the model BoxSpec of what was given."""
    mounts = [volume(text) for text in values["volume"]]
    mounts += [mount(text) for text in values["mount"]]
    mounts += values["tmpfs"]
    return {"mounts": mounts, "volumes_from": values["volumes_from"]}


def volume(text: str) -> dict[str, object]:
    """The mount that `-v` means: SOURCE:TARGET[:OPTIONS], or TARGET alone."""
    source, colon, rest = text.partition(":")
    if not colon:
        source, rest = "", text
    target, _, options = rest.partition(":")
    if (colon and not source) or not target.startswith("/") or ":" in options:
        raise InvalidRequest(
            f"--volume: {text!r} is not SOURCE:TARGET[:OPTIONS]",
            hint="write it like /srv/data:/data:ro, or name:/data for a volume",
        )
    found: dict[str, object] = {"target": target}
    if "/" in source or source in (".", "..", "~"):
        found |= {"source": _on_this_side(source)}
    else:
        found |= {"type": "volume", "source": source}
    for word in options.split(",") if options else ():
        if word not in _SHORT:
            raise InvalidRequest(
                f"--volume: {word!r} is no option of a mount", hint=f"there are {', '.join(_SHORT)}"
            )
        found |= _SHORT[word]
    return found


def mount(text: str) -> dict[str, object]:
    """The mount that `--mount` means."""
    given: dict[str, str] = {}
    labels: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        field = _KEYS.get(key.strip())
        if field is None:
            raise InvalidRequest(f"--mount: {key!r} is unknown", hint=_keys_hint(key))
        if field == "label":
            name, _, label = value.partition("=")
            labels[name] = label
        elif field in _SWITCHES:
            given[field] = value if equals else "true"
        elif field:
            given[field] = value
    return _mount(text, given, labels)


def _mount(text: str, given: dict[str, str], labels: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = {"type": given.get("type", "volume")}
    if not given.get("target", "").startswith("/"):
        raise InvalidRequest(
            f"--mount: {text!r} says not where it is to be",
            hint="add dst=/SOME/FOLDER: an absolute path in the box",
        )
    if given.get("driver", "local") != "local":
        raise InvalidRequest(f"--mount: there is no volume driver {given['driver']!r}",
                             hint="volumes are folders of this machine: leave it out")  # fmt: skip
    for field in ("source", "target", "propagation", "ids", "subpath"):
        if given.get(field):
            found[field] = given[field]
    if found["type"] == "bind" and "source" in found:
        found["source"] = _on_this_side(given["source"])
    for field in _SWITCHES:
        if field in given:
            found[field] = _switch(field, given[field])
    if found.pop("nonrecursive", False) or given.get("recursive") in ("disabled", "false"):
        found["recursive"] = False
    if "nocopy" in found:
        found["copy"] = not found.pop("nocopy")
    if "size" in given:
        found["size"] = parse_size(given["size"])
    if "mode" in given:
        found["mode"] = _mode(given["mode"])
    return {**found, "labels": labels} if labels else found


def _on_this_side(source: str) -> str:
    """The source as the daemon finds it, which works in a folder of its own."""
    import os  # only where something is mounted

    return os.path.abspath(os.path.expanduser(source))


def _keys_hint(key: str) -> str:
    from boxy_core.flags.suggest import nearest

    meant = nearest(key, list(_KEYS))
    known = ", ".join(name for name, field in _KEYS.items() if field)
    return f"did you mean {meant}?" if meant else f"there are {known}"


def _switch(field: str, text: str) -> bool:
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise InvalidRequest(
        f"--mount: {field} is true or false, not {text!r}",
        hint="as in --mount type=bind,src=/srv,dst=/data,readonly=true",
    )


def _mode(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise InvalidRequest(
            f"--mount: {text!r} are no permission bits", hint="as in 1777"
        ) from None
