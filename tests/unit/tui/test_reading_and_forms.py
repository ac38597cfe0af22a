"""The form's fields as a spec, log frames as lines, an exit as words."""

from __future__ import annotations

import pytest

from boxy_core.errors import Conflict, Internal, InvalidRequest, NotFound
from boxy_core.models import Limits
from boxy_core.protocol import STDERR, STDOUT
from boxy_tui.panes.link import exit_words
from boxy_tui.screens import limits as limits_form
from boxy_tui.screens.reading import LogCutter, json_lines
from boxy_tui.wish import FIELDS, SWITCHES, completion, field_of, read_form


def fields(**values: str) -> dict[str, str]:
    return {name: "" for name, _, _ in FIELDS} | {"image": "alpine"} | values


SWITCHED = {name: value for name, _, value in SWITCHES}


def test_an_empty_form_is_the_image_alone() -> None:
    wish = read_form(fields(), SWITCHED)
    assert wish.spec == {"image": "alpine", "tty": True, "stdin": True, "auto_remove": False}
    assert wish.attach


def test_every_field_reaches_the_spec() -> None:
    wish = read_form(
        fields(command="sh -c 'echo hi'", name="web", memory="64m", cpus="1.5",
               env="A=1 B='two words'"),
        {"tty": False, "rm": True, "attach": False},
    )  # fmt: skip
    assert wish.spec == {
        "image": "alpine", "tty": False, "stdin": False, "auto_remove": True,
        "command": ["sh", "-c", "echo hi"], "name": "web",
        "limits": {"memory": 64 << 20, "cpus": 1.5}, "env": {"A": "1", "B": "two words"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [{"image": " "}, {"command": "echo 'open"}, {"memory": "lots"}, {"cpus": "-1"}, {"env": "A"}],
)
def test_what_cannot_be_is_refused_with_a_hint(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_form(fields(**wrong), SWITCHED)
    assert caught.value.hint


def test_a_line_of_flags_is_read_as_boxy_run_reads_it_and_adds_to_the_fields() -> None:
    wish = read_form(
        fields(memory="64m", env="A=1", volumes="data:/srv",
               flags="--pids-limit 9 -e B=2 -v more:/more:ro --cap-drop ALL --read-only -d "
                     "--tmpfs /run:size=1m -u 1000 -w /srv --stop-timeout 3 "
                     "--security seccomp=unconfined"),
        SWITCHED,
    )  # fmt: skip
    assert wish.spec["limits"] == {"memory": 64 << 20, "pids": 9}
    assert wish.spec["env"] == {"A": "1", "B": "2"}
    assert [mount["target"] for mount in wish.spec["mounts"]] == ["/srv", "/more", "/run"]
    assert (wish.spec["cap_drop"], wish.spec["read_only"]) == (["ALL"], True)
    assert (wish.spec["user"], wish.spec["workdir"]) == ("1000", "/srv")
    assert (wish.spec["stop_timeout"], wish.spec["seccomp"]) == (3.0, "unconfined")
    assert not wish.attach, "-d leaves it in the background"


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("flags", "--read-onyl", "did you mean --read-only"),
        ("flags", "--restart always", "systemd"),
        ("flags", "--memory 1g", "twice"),
        ("flags", "nginx", "no flag"),
        ("flags", "--help", "boxy help run"),
        ("volumes", "nowhere", "SOURCE:TARGET"),
        ("ports", "http", "Ports"),
    ],
)
def test_what_is_wrong_is_said_of_its_field(field: str, text: str, said: str) -> None:
    values = fields(memory="64m", **{field: text})
    with pytest.raises(InvalidRequest) as caught:
        read_form(values, SWITCHED)
    assert field_of(caught.value, values) == field
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_an_error_of_the_daemon_is_put_at_the_name_it_speaks_of() -> None:
    values = fields(name="web")
    assert field_of(Conflict("the name web is taken"), values) == "name"
    assert field_of(NotFound("there is no image 'alpine'"), values) == "image"
    assert field_of(Internal("it broke"), values) == ""


def test_a_flag_is_completed_from_its_beginning() -> None:
    assert completion("-t --read-o") == "-t --read-only"
    assert completion("--read-only") == completion("-t") == completion("--zzz") == ""


LIMITS = Limits(memory=64 << 20, cpus=1.5, pids=100, io_read_bps={"/dev/vda": 1 << 20})


def test_only_what_was_changed_in_the_form_of_limits_is_asked_for() -> None:
    texts = limits_form.shown(LIMITS)
    assert limits_form.changes(texts, LIMITS) == {}
    texts |= {"memory": "128m", "pids": "", "memory_swap": "-1", "cpuset": "0-1", "disk": "1g",
              "io_read_bps": "/dev/vda:2m /dev/vdb:1m", "io_write_iops": "/dev/vda:9",
              "hugetlb": "2MB=4m", "io_weight": "200", "cpu_shares": "512"}  # fmt: skip
    assert limits_form.changes(texts, LIMITS) == {
        "memory": 128 << 20, "pids": None, "memory_swap": -1, "cpuset": "0-1", "disk": 1 << 30,
        "io_read_bps": {"/dev/vda": 2 << 20, "/dev/vdb": 1 << 20}, "io_write_iops": {"/dev/vda": 9},
        "hugetlb": {"2MB": 4 << 20}, "io_weight": 200, "cpu_shares": 512,
    }  # fmt: skip
    assert {line.field for line in limits_form.LINES} == set(Limits.__struct_fields__)


@pytest.mark.parametrize("field", ["memory", "cpus", "pids", "io_read_bps", "hugetlb", "disk"])
def test_a_limit_that_makes_no_sense_is_refused_by_its_label(field: str) -> None:
    texts = limits_form.shown(LIMITS) | {field: "nonsense"}
    label = next(line.label for line in limits_form.LINES if line.field == field)
    with pytest.raises(InvalidRequest, match=label.strip()):
        limits_form.changes(texts, LIMITS)


def test_log_lines_cut_anywhere_come_out_whole_and_by_stream() -> None:
    cutter = LogCutter()
    assert cutter.feed(STDOUT, b"2026-11-23T18:53:00.123456789Z hel") == []
    assert [line.text for line in cutter.feed(STDERR, b"oops\n")] == ["oops"]
    (line,) = cutter.feed(STDOUT, b"lo\nnext")
    assert (line.head, line.text) == ("18:53:00.123", "hello")
    assert [line.text for line in cutter.rest()] == ["next"]


def test_a_log_line_keeps_colours_and_nothing_else() -> None:
    (line,) = LogCutter().feed(
        STDOUT, b"\x1b[?2004h\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07\x1b(Bend\x1b=\x1b[1\n"
    )
    assert line.plain == "red end\\e[1"
    assert line.text.startswith("\x1b[31mred\x1b[0m end")


def test_what_was_rubbed_out_does_not_show() -> None:
    (line,) = LogCutter().feed(STDOUT, b"$ lx\b \bs\x07\n")
    assert line.text == "$ ls"


def test_a_line_that_was_drawn_over_shows_its_last_form() -> None:
    (line,) = LogCutter().feed(STDOUT, b"10%\r50%\r100%\r\n")
    assert line.text == "100%"


def test_a_record_is_indented_json() -> None:
    lines = [line.plain for line in json_lines({"name": "web", "pid": 7, "ok": True})]
    assert lines == ["{", '  "name": "web",', '  "pid": 7,', '  "ok": true', "}"]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b'{"status": 3, "signal": 0}', (3, "exited with status 3")),
        (b'{"status": 137, "signal": 9}', (137, "ended by signal 9 (status 137)")),
        (b'{"status": 137, "oom": true}', (137, "killed: out of memory (status 137)")),
        (b"garbage", (0, "ended")),
        (b"[]", (0, "ended")),
    ],
)
def test_an_exit_frame_becomes_words(payload: bytes, words: tuple[int, str]) -> None:
    assert exit_words(payload) == words
