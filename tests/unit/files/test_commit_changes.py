"""What `commit -c` may change, and the sides of a copy."""

from __future__ import annotations

import pytest

from boxy_cli.commands.cp import Place
from boxy_core.errors import InvalidRequest
from boxy_core.image.commit import changed
from boxy_core.image.manifest import Settings

BEFORE = Settings(env=["A=1", "B=2"], cmd=["old"], working_dir="/srv", labels={"x": "y"})


@pytest.mark.parametrize(
    ("text", "field", "wanted"),
    [
        ('CMD ["httpd", "-f"]', "cmd", ["httpd", "-f"]),
        ("cmd echo hi", "cmd", ["/bin/sh", "-c", "echo hi"]),
        ('ENTRYPOINT ["/init"]', "entrypoint", ["/init"]),
        ('ENV B=3 C="more words"', "env", ["A=1", "B=3", "C=more words"]),
        ("ENV D old form", "env", ["A=1", "B=2", "D=old form"]),
        ("EXPOSE 80 53/udp", "exposed_ports", {"80/tcp": {}, "53/udp": {}}),
        ("LABEL z=1", "labels", {"x": "y", "z": "1"}),
        ("USER nobody", "user", "nobody"),
        ("WORKDIR data", "working_dir", "/srv/data"),
        ('VOLUME ["/data"]', "volumes", {"/data": {}}),
        ("STOPSIGNAL INT", "stop_signal", "INT"),
    ],
)
def test_an_instruction_changes_its_field(text: str, field: str, wanted: object) -> None:
    assert getattr(changed(BEFORE, text), field) == wanted


@pytest.mark.parametrize(
    "text", ["", "RUN make", "CMD", "CMD [1]", 'CMD ["x"', "EXPOSE http", "ENV =x", 'ENV A="x',
             "VOLUME data"],
)  # fmt: skip
def test_what_is_no_change_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        changed(BEFORE, text)


@pytest.mark.parametrize(
    ("text", "box", "path"),
    [
        ("web:/etc/hosts", "web", "/etc/hosts"), ("web:srv", "web", "/srv"), ("web:", "web", "/"),
        ("./a:b", "", "./a:b"), ("/a:b", "", "/a:b"), ("-", "", "-"), ("file", "", "file"),
    ],
)  # fmt: skip
def test_a_side_of_a_copy_is_a_box_or_here(text: str, box: str, path: str) -> None:
    place = Place(text)
    assert (place.box, place.path) == (box, path)
