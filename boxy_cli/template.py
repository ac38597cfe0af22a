"""`--format '{{.Names}} is {{.Status}}'`: fields of an object in a line of text.  Pure.

Fields bear the API's names (`spec.limits.memory`, `args.0`); Docker's usual names are understood.
"""

from __future__ import annotations

from boxy_core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

DOCKER = {
    "ID": "id", "Id": "id", "Names": "name", "Name": "name", "Image": "image", "State": "status",
    "Repository": "name", "CreatedAt": "created", "Created": "created", "Size": "size",
    "Command": "args", "Args": "args", "Ports": "ports", "Labels": "spec.labels",
    "Mounts": "spec.mounts", "Networks": "networks", "RestartCount": "restarts",
    "State.Status": "status", "State.Pid": "pid", "State.ExitCode": "exit.status",
    "State.OOMKilled": "exit.oom", "State.StartedAt": "started", "State.FinishedAt": "finished",
    "State.Error": "error", "Config.Image": "image", "Config.Env": "spec.env",
    "Config.Cmd": "args", "Config.Labels": "spec.labels", "Config.Hostname": "spec.hostname",
    "Config.User": "spec.user", "Config.Tty": "spec.tty", "Config.WorkingDir": "spec.workdir",
    "HostConfig.Memory": "spec.limits.memory", "HostConfig.PidsLimit": "spec.limits.pids",
    "HostConfig.AutoRemove": "spec.auto_remove", "HostConfig.Privileged": "spec.privileged",
    "NetworkSettings.IPAddress": "networks.0.ip", "NetworkSettings.Ports": "ports",
}  # fmt: skip
"""Docker's name of a field -> ours"""


def field(thing: Any, path: str) -> Any:
    """The value at `spec.limits.memory` (or `{{.spec.limits.memory}}`, `args.0`).

    Raises InvalidRequest naming the fields that there are.
    """
    name = path.strip().strip("{}").strip().removeprefix(".")
    if name.startswith("json"):
        name = name.removeprefix("json").strip().removeprefix(".")
    if not name:
        return thing
    try:
        return _walk(thing, name, path)
    except InvalidRequest:
        if name not in DOCKER:
            raise
        return _walk(thing, DOCKER[name], path)


def _walk(thing: Any, dotted: str, path: str) -> Any:
    value = thing
    for name in dotted.split("."):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif value is None:
            return None
        else:
            there = ", ".join(value) if isinstance(value, dict) else "none"
            raise InvalidRequest(f"there is no field {name!r} in {path!r}", hint=f"fields: {there}")
    return value


def render(thing: Mapping[str, Any], template: str, text: Mapping[str, str]) -> str:
    """The template with its fields filled in; `text` has those that are made for reading.

    Raises InvalidRequest for an unknown field, or a `{{` that is not closed.
    """
    template = template.removeprefix("table ").replace("\\t", "\t").replace("\\n", "\n")
    if "{{" not in template:
        template = "{{." + template.removeprefix(".") + "}}"
    return "".join(_parts(thing, template, text))


def _parts(thing: Mapping[str, Any], template: str, text: Mapping[str, str]) -> Iterator[str]:
    rest = template
    while rest:
        before, opened, rest = rest.partition("{{")
        yield before
        if not opened:
            return
        inside, closed, rest = rest.partition("}}")
        if not closed:
            raise InvalidRequest(
                f"{template!r}: a {{{{ is not closed", hint="as in '{{.name}} {{.status}}'"
            )
        name = inside.strip().removeprefix(".")
        yield text[name] if name in text else written(field(thing, inside))


def written(value: Any) -> str:
    """A value as one line."""
    if value is None:
        return ""
    if isinstance(value, str):
        from boxy_core.text import escape

        return escape(value)
    from boxy_core import wirejson

    return wirejson.dumps(value).decode()
