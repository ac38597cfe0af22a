"""`-v` and `--mount` as Docker spells them, and what is refused."""

from __future__ import annotations

import os

import pytest

from boxy_core.errors import InvalidRequest
from boxy_core.flags.mounts import mount, volume
from boxy_core.models import BoxSpec, Mount, convert
from boxyd import mounts_check


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/a:/b", {"source": "/a", "target": "/b"}),
        ("/a:/b:ro", {"source": "/a", "target": "/b", "read_only": True}),
        ("/a:/b:ro,Z,rslave", {"source": "/a", "target": "/b", "read_only": True,
                               "propagation": "rslave"}),
        ("/a:/b:U", {"source": "/a", "target": "/b", "ids": "owner"}),
        ("/a:/b:keep,create", {"source": "/a", "target": "/b", "ids": "keep", "create": True}),
        ("./x:/b", {"source": os.path.abspath("x"), "target": "/b"}),
        ("data:/b", {"type": "volume", "source": "data", "target": "/b"}),
        ("data:/b:nocopy", {"type": "volume", "source": "data", "target": "/b", "copy": False}),
        ("/data", {"type": "volume", "source": "", "target": "/data"}),
    ],
)  # fmt: skip
def test_the_short_form(text: str, wanted: dict[str, object]) -> None:
    assert volume(text) == wanted
    mounts_check.check_mount(convert(Mount, volume(text)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("type=bind,src=/a,dst=/b,readonly", {"type": "bind", "source": "/a", "target": "/b",
                                              "read_only": True}),
        ("type=bind,source=/a,destination=/b,ro=false,bind-propagation=shared",
         {"type": "bind", "source": "/a", "target": "/b", "read_only": False,
          "propagation": "shared"}),
        ("type=bind,src=/a,target=/b,bind-recursive=disabled",
         {"type": "bind", "source": "/a", "target": "/b", "recursive": False}),
        ("src=v,dst=/b,volume-nocopy,volume-label=a=b,volume-subpath=x/y",
         {"type": "volume", "source": "v", "target": "/b", "copy": False, "labels": {"a": "b"},
          "subpath": "x/y"}),
        ("type=tmpfs,dst=/b,tmpfs-size=64m,tmpfs-mode=1770",
         {"type": "tmpfs", "target": "/b", "size": 64 << 20, "mode": 0o1770}),
        ("type=image,src=alpine,dst=/b,image-subpath=etc",
         {"type": "image", "source": "alpine", "target": "/b", "subpath": "etc"}),
    ],
)  # fmt: skip
def test_the_long_form(text: str, wanted: dict[str, object]) -> None:
    assert mount(text) == wanted
    mounts_check.check_mount(convert(Mount, mount(text)))


@pytest.mark.parametrize("text", ["", ":/b", "/a:b", "/a:/b:what", "/a:/b:ro:rw", "name"])
def test_a_short_form_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        volume(text)


@pytest.mark.parametrize(
    "text", ["type=bind,src=/a", "dst=b", "typ=bind,dst=/b", "dst=/b,ro=maybe",
             "type=tmpfs,dst=/b,tmpfs-mode=9", "dst=/b,volume-driver=nfs"],
)  # fmt: skip
def test_a_long_form_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        mount(text)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"type": "nfs", "target": "/b"}, "type"),
        ({"source": "/a/../b", "target": "/b"}, "source"),
        ({"source": "a", "target": "/b"}, "source"),
        ({"source": "/a", "target": "/b/../.."}, "target"),
        ({"source": "/a", "target": "/"}, "target"),
        ({"source": "/a", "target": "/b", "size": 4096}, "size"),
        ({"type": "volume", "source": "../x", "target": "/b"}, "source"),
        ({"type": "volume", "source": ".new-x", "target": "/b"}, "source"),
        ({"type": "volume", "source": "x", "target": "/b", "subpath": "../.."}, "subpath"),
        ({"type": "tmpfs", "source": "/a", "target": "/b"}, "source"),
        ({"type": "tmpfs", "target": "/b", "size": 1}, "size"),
        ({"type": "image", "target": "/b"}, "source"),
        ({"type": "image", "source": "i", "target": "/b", "layers": ["/etc"]}, "layers"),
        ({"source": "/a", "target": "/b", "propagation": "wild"}, "propagation"),
        ({"source": "/a", "target": "/b", "ids": "mine"}, "ids"),
    ],
)
def test_the_daemon_refuses_what_a_stranger_may_send(fields: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        mounts_check.check_mount(convert(Mount, fields))


def test_two_mounts_at_one_place_are_refused() -> None:
    twice = [Mount(source="/a", target="/t"), Mount(source="/b", target="/t/")]
    with pytest.raises(InvalidRequest, match="target"):
        mounts_check.check(BoxSpec(image="x", mounts=twice))
