"""`boxy` as a process against a scripted daemon: what it asks, says, and exits with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boxy_cli import table
from boxy_cli.main import main
from boxy_core.protocol import EXIT, STDERR, STDOUT, frame
from tests.support.fake_daemon import FakeDaemon, error, switching

MakeDaemon = Callable[..., FakeDaemon]
Boxy = Callable[..., subprocess.CompletedProcess[str]]
NOW = time.time()
BOX: dict[str, Any] = {
    "id": "0123456789ab" + "0" * 52,
    "name": "web",
    "image": "alpine",
    "spec": {"image": "alpine", "tty": False, "stdin": True, "auto_remove": False},
    "args": ["httpd"],
    "status": "running",
    "created": NOW - 60,
    "started": NOW - 60,
    "finished": 0.0,
    "exit": None,
}
ID = BOX["id"]


def ending(status: int, *, oom: bool = False, before: bytes = b"") -> bytes:
    info = json.dumps({"status": status, "signal": 0, "oom": oom}).encode()
    return switching(before + frame(EXIT, info))


# ------------------------------------------------------------------ run and exec


@pytest.mark.parametrize("status", [0, 3, 137, 255])
def test_run_passes_output_and_status_through(daemon: MakeDaemon, boxy: Boxy, status: int) -> None:
    stream = ending(status, before=frame(STDOUT, b"out\n") + frame(STDERR, b"err\n"))
    fake = daemon({"POST /boxes": BOX, f"POST /boxes/{ID}/start": stream})
    done = boxy(fake, "run", "alpine", "ls", "-l")
    assert (done.returncode, done.stdout, done.stderr) == (status, "out\n", "err\n")
    assert fake.asked == ["POST /boxes", f"POST /boxes/{ID}/start"]
    assert fake.requests[0].json == {"image": "alpine", "command": ["ls", "-l"]}
    assert fake.connections == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [("command-not-found", 127), ("command-not-executable", 126), ("start-failed", 125)],
)
def test_a_start_that_fails_takes_an_rm_box_away_and_has_its_own_status(
    daemon: MakeDaemon, boxy: Boxy, code: str, status: int
) -> None:
    box = BOX | {"spec": BOX["spec"] | {"auto_remove": True}}
    fake = daemon({
        "POST /boxes": box,
        f"POST /boxes/{ID}/start": error(code, "no such command", 400, "look again"),
        f"DELETE /boxes/{ID}": {},
    })  # fmt: skip
    done = boxy(fake, "run", "--rm", "alpine", "nosuch")
    assert done.returncode == status
    assert done.stderr == "boxy: no such command\n      look again\n"
    assert fake.asked[-1] == f"DELETE /boxes/{ID}"


def test_run_rm_waits_until_the_box_is_gone(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({
        "POST /boxes": BOX,
        f"POST /boxes/{ID}/start": ending(4),
        f"GET /boxes/{ID}/wait": {},
    })  # fmt: skip
    assert boxy(fake, "run", "--rm", "alpine").returncode == 4
    assert fake.requests[-1].query == "condition=removed"


def test_a_daemon_that_is_gone_at_the_end_changes_nothing(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({"POST /boxes": BOX, f"POST /boxes/{ID}/start": ending(4)})
    fake.script[f"GET /boxes/{ID}/wait"] = b""
    done = boxy(fake, "run", "--rm", "alpine")
    assert (done.returncode, done.stderr) == (4, "")


def test_run_detached_prints_the_id(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({"POST /boxes": BOX | {"notices": ["no\x1b"]}})
    done = boxy(fake, "run", "-d", "alpine")
    assert (done.returncode, done.stdout) == (0, ID + "\n")
    assert done.stderr == "boxy: no\\e\n"
    assert [(r.method, r.path, r.query) for r in fake.requests] == [("POST", "/boxes", "start=1")]
    assert "upgrade" not in fake.requests[0].headers


def test_a_connection_that_breaks_is_told_and_is_125(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({"POST /boxes": BOX, f"POST /boxes/{ID}/start": switching(frame(STDOUT, b"x"))})
    done = boxy(fake, "run", "alpine")
    assert (done.returncode, done.stdout) == (125, "x")
    assert done.stderr.startswith("boxy: the connection to web was lost")


def test_out_of_memory_is_said(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({"POST /boxes": BOX, f"POST /boxes/{ID}/start": ending(137, oom=True)})
    done = boxy(fake, "run", "alpine")
    assert done.returncode == 137
    assert "ran out of memory" in done.stderr


def test_a_terminal_is_refused_in_a_pipeline(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({})
    done = boxy(fake, "run", "-it", "alpine")
    assert done.returncode == 125
    assert "needs a terminal" in done.stderr
    assert fake.asked == []


def test_wrong_detach_keys_start_nothing(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({"GET /boxes/web": BOX})
    for words in (["run", "alpine"], ["exec", "web", "ls"], ["attach", "web"]):
        done = boxy(fake, *words, env={"BOXY_DETACH_KEYS": "meta-x"})
        assert done.returncode == 125
        assert "'meta-x' is not a key" in done.stderr
    assert set(fake.asked) == {"GET /boxes/web"}


def test_a_dry_run_prints_the_steps_and_makes_nothing(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({"POST /plan": {"plan": {"version": 1}, "lines": ["fork", "mount\x1b"]}})
    assert boxy(fake, "run", "--dry-run", "alpine").stdout == "fork\nmount\\e\n"
    assert json.loads(boxy(fake, "run", "--dry-run", "--json", "alpine").stdout) == {"version": 1}
    assert fake.asked == ["POST /plan", "POST /plan"]


def test_explain_prints_the_steps_before_they_are_taken(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({
        "POST /plan": {"plan": {}, "lines": ["fork"]},
        "POST /boxes": BOX,
        f"POST /boxes/{ID}/start": BOX,
    })  # fmt: skip
    assert boxy(fake, "run", "--explain", "-d", "alpine").stdout == f"fork\n{ID}\n"
    assert fake.asked[0] == "POST /plan"


def test_exec_runs_a_command_and_detached_prints_its_session(
    daemon: MakeDaemon, boxy: Boxy
) -> None:
    fake = daemon({"POST /boxes/web/exec": lambda request: (
        ending(5) if "upgrade" in request.headers else {"session": "e7"}
    )})  # fmt: skip
    assert boxy(fake, "exec", "-e", "A=1", "web", "sh", "-c", "exit 5").returncode == 5
    assert fake.requests[0].json == {"command": ["sh", "-c", "exit 5"], "env": {"A": "1"}}
    assert boxy(fake, "exec", "-d", "web", "sleep").stdout == "e7\n"


# ------------------------------------------------------------------ the others


def test_every_failure_is_reported_and_the_rest_still_done(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({
        "DELETE /boxes/a": {},
        "DELETE /boxes/b": error("conflict", "b is running", 409, "stop it"),
        "DELETE /boxes/c": error("not-found", "there is no box c", 404),
        "DELETE /boxes/d": {},
    })  # fmt: skip
    done = boxy(fake, "rm", "a", "b", "c", "d")
    assert done.returncode == 1
    assert done.stdout == "a\nd\n"
    assert done.stderr == "boxy: b is running\n      stop it\nboxy: there is no box c\n"
    assert boxy(fake, "rm", "-f", "c").returncode == 0


@pytest.mark.parametrize(
    ("command", "status", "expected"),
    [("stop", "exited", 0), ("stop", "running", 1), ("start", "running", 0), ("start", "lost", 1)],
)
def test_a_box_that_is_already_there_is_no_failure(
    daemon: MakeDaemon, boxy: Boxy, command: str, status: str, expected: int
) -> None:
    fake = daemon({
        f"POST /boxes/web/{command}": error("conflict", "it is not so", 409),
        "GET /boxes/web": BOX | {"status": status},
    })  # fmt: skip
    assert boxy(fake, command, "web").returncode == expected


@pytest.mark.parametrize(
    ("words", "request_line", "query", "body"),
    [
        (["stop", "-t", "1m", "web"], "POST /boxes/web/stop", "timeout=60.0", {}),
        (["restart", "web"], "POST /boxes/web/restart", "", {}),
        (["kill", "-s", "HUP", "web"], "POST /boxes/web/kill", "signal=HUP", {}),
        (["pause", "web"], "POST /boxes/web/pause", "", {}),
        (["unpause", "web"], "POST /boxes/web/unpause", "", {}),
        (["rename", "web", "www"], "POST /boxes/web/rename", "name=www", {}),
        (["update", "-m", "64m", "web"], "POST /boxes/web/update", "", {"memory": 64 << 20}),
        (["rm", "-f", "web"], "DELETE /boxes/web", "force=1", None),
        (["wait", "web"], "GET /boxes/web/wait", "condition=exited", None),
        (["ps", "-a", "-f", "label=a"], "GET /boxes", "all=1&filter=label%3Da", None),
    ],
)
def test_what_a_command_asks_for(
    daemon: MakeDaemon, boxy: Boxy, words: list[str], request_line: str, query: str, body: Any
) -> None:
    fake = daemon({request_line: [] if words[0] == "ps" else {"status": 0}})
    assert boxy(fake, *words).returncode == 0
    (request,) = fake.requests
    assert (fake.asked, request.query) == ([request_line], query)
    assert (request.json if request.body else None) == body


def test_ps_in_all_its_forms(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({"GET /boxes": [BOX]})
    assert "web" in boxy(fake, "ps").stdout
    assert boxy(fake, "ps", "-q").stdout == ID[:12] + "\n"
    assert boxy(fake, "ps", "-q", "--no-trunc").stdout == ID + "\n"
    assert json.loads(boxy(fake, "ps", "--json").stdout) == [BOX]


def test_logs_are_two_streams_byte_for_byte(daemon: MakeDaemon, boxy: Boxy) -> None:
    body = frame(STDOUT, b"a\x1b[2J\n") + frame(STDERR, b"b\n")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    fake = daemon({"GET /boxes/web/logs": head + body})
    done = boxy(fake, "logs", "--tail", "5", "web")
    assert (done.stdout, done.stderr) == ("a\x1b[2J\n", "b\n")
    assert fake.requests[0].query == "tail=5"


def test_events_are_filtered_and_end_when_asked(daemon: MakeDaemon, boxy: Boxy) -> None:
    now = time.time()
    lines = [
        {"cursor": 0, "boot": "x"},
        {"type": "resync", "cursor": 0, "time": now},
        {"type": "box.started", "id": ID, "name": "web", "time": now - 50, "data": {}},
        {"type": "box.exited", "id": ID, "name": "db", "time": now - 40, "data": {"status": "x"}},
        {"type": "box.exited", "id": ID, "name": "web", "time": now - 30, "data": {"oom": True}},
    ]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    fake = daemon({"GET /watch": head + body})
    done = boxy(fake, "events", "--since", "10m", "-f", "type=exited", "-f", "name=web")
    assert done.stdout.count("\n") == 1
    assert "box.exited" in done.stdout
    assert "oom=yes" in done.stdout
    assert (
        len(boxy(fake, "events", "--since", "45s", "--until", "35s", "--json").stdout.splitlines())
        == 1
    )


@pytest.mark.parametrize(
    ("path", "shown"),
    [("status", "running\n"), ("{{.spec.image}}", "alpine\n"), ("args.0", "httpd\n"),
     ("spec.tty", "false\n"), ("exit", "\n"), ("args", '[\n  "httpd"\n]\n')],
)  # fmt: skip
def test_inspect_shows_one_field(daemon: MakeDaemon, boxy: Boxy, path: str, shown: str) -> None:
    fake = daemon({"GET /boxes/web": BOX})
    assert boxy(fake, "inspect", "-f", path, "web").stdout == shown


def test_inspect_finds_boxes_then_images(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({"GET /boxes/web": BOX, "GET /images/alpine": {"name": "alpine"}})
    found = json.loads(boxy(fake, "inspect", "web", "alpine").stdout)
    assert [one["name"] for one in found] == ["web", "alpine"]
    done = boxy(fake, "inspect", "web", "nope")
    assert (done.returncode, len(json.loads(done.stdout))) == (1, 1)
    assert "no box and no image 'nope'" in done.stderr


def test_stats_join_names_to_samples(daemon: MakeDaemon, boxy: Boxy) -> None:
    sample = {"id": ID, "time": NOW, "cpu_percent": 1.0, "memory": 1024, "pids": 2}
    fake = daemon({
        "GET /boxes/web": BOX, f"GET /boxes/{ID}/stats": sample, "GET /boxes": [BOX],
    })  # fmt: skip
    assert "web" in boxy(fake, "stats", "--no-stream", "web").stdout
    assert json.loads(boxy(fake, "stats", "--no-stream", "--json", "web").stdout) == [sample]


# ------------------------------------------------------------------ completion


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["st"], {"start", "stop", "stats"}),
        (["stop", ""], {"web"}),
        (["start", ""], {"old"}),
        (["rm", ""], {"web", "old"}),
        (["run", "-it", "al"], {"alpine"}),
        (["run", "--rm", "--net"], {"--network", "--network-alias"}),
        (["run", "--network", ""], {"none", "host", "app"}),
        (["run", "--network=h"], {"--network=host"}),
        (["network", "c"], {"create", "connect"}),
        (["network", "rm", ""], {"app"}),
        (["run", "-m", "1g", "al"], {"alpine"}),
        (["run", "alpine", "--r"], set()),
        (["kill", "-s", "SIGT"], {"SIGTERM"}),
        (["inspect", ""], {"web", "old", "alpine"}),
        (["run", "--env-file", ""], {":file"}),
        (["help", "det"], {"detach"}),
        (["nosuch", ""], set()),
        (["completion", ""], {"bash", "zsh", "fish"}),
    ],
)
def test_the_tab_key(daemon: MakeDaemon, boxy: Boxy, words: list[str], expected: set[str]) -> None:
    old = BOX | {"name": "old", "status": "exited"}
    evil = BOX | {"name": "e\x1b[2J"}
    fake = daemon({"GET /boxes": [BOX, old, evil], "GET /images": [{"name": "alpine"}],
                   "GET /networks": [{"name": "app", "subnet": "10.64.0.0/24"}]})  # fmt: skip
    done = boxy(fake, "__complete", *words)
    assert {line.partition("\t")[0] for line in done.stdout.splitlines()} == expected


def test_the_tab_key_is_silent_without_a_daemon(boxy: Boxy, tmp_path: Path) -> None:
    done = boxy(str(tmp_path / "none"), "__complete", "stop", "")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script_that_it_accepts(boxy: Boxy, shell: str, tmp_path: Path) -> None:
    script = boxy("/none", "completion", shell).stdout
    assert "boxy __complete" in script
    if shell == "bash":
        file = tmp_path / "script"
        file.write_text(script)
        subprocess.run(["bash", "-n", str(file)], check=True)


# ------------------------------------------------------------------ the whole program


def test_boxy_alone_lists_every_command(boxy: Boxy) -> None:
    done = boxy("/none")
    assert done.returncode == 0
    for name in table.modules():
        assert f"\n  {name} " in done.stdout
    assert boxy("/none", "--help").stdout == done.stdout


@pytest.mark.parametrize("name", sorted(command.name for command in table.every()))
def test_every_command_has_a_help_page(boxy: Boxy, name: str) -> None:
    if name == "run":  # the long one: both ways of asking
        assert boxy("/none", "run", "--help").stdout == boxy("/none", "help", "run").stdout
    page = boxy("/none", "help", name).stdout
    assert page.startswith(f"usage: boxy {name}")
    assert max(map(len, page.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["pss"], 125, "did you mean boxy ps?"),
        (["list"], 125, "did you mean boxy ps?"),
        (["--nope"], 125, "boxy has no flag --nope"),
        (["--socket"], 125, "needs a value"),
        (["ps", "--nope"], 125, "no flag --nope"),
        (["help", "nope"], 1, "no command and no topic"),
        (["update", "web"], 1, "no limit was given"),
        (["ps"], 1, "there is no socket"),
        (["run", "alpine"], 125, "there is no socket"),
        (["exec", "a", "b"], 125, "there is no socket"),
        (["version"], 1, "there is no socket"),
    ],
)
def test_a_failure_is_one_sentence_and_a_next_step(
    boxy: Boxy, tmp_path: Path, words: list[str], status: int, says: str
) -> None:
    done = boxy(str(tmp_path / "none"), *words)
    assert done.returncode == status
    assert says in done.stderr
    assert done.stderr.startswith("boxy: ")
    assert "Traceback" not in done.stderr


def test_version_of_the_client_needs_no_daemon(boxy: Boxy) -> None:
    for words in (["--version"], ["version", "--client"]):
        done = boxy("/none", *words)
        assert (done.returncode, done.stdout[:5]) == (0, "boxy ")


def test_the_socket_can_be_named_by_a_flag(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({"GET /boxes": []})
    for words in (["--socket", str(fake.path)], [f"-H=unix://{fake.path}"]):
        assert boxy("/none", *words, "ps").returncode == 0


def test_main_called_as_a_function_returns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "names"]) == 0
    assert "beginning of its id" in capsys.readouterr().out


def test_a_reader_that_closes_the_pipe_is_quiet(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({"GET /boxes": [BOX] * 2000})
    with subprocess.Popen(
        [sys.executable, "-m", "boxy_cli.main", "--socket", str(fake.path), "ps"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_told(daemon: MakeDaemon, unbuffered: str) -> None:
    fake = daemon({"GET /boxes": [BOX]})
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "boxy_cli.main", "--socket", str(fake.path), "ps"],
            stdout=full, stderr=subprocess.PIPE, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode == 1
    assert b"could not be written" in done.stderr
    assert b"Traceback" not in done.stderr


HEAVY = ("http", "http.client", "asyncio", "dataclasses", "logging", "rich", "typing", "msgspec",
         "re", "enum", "json", "argparse", "socket", "selectors", "subprocess", "shutil",
         "urllib", "contextlib", "functools", "datetime", "inspect", "ctypes")  # fmt: skip


@pytest.mark.parametrize("words", [["ps"], ["version"], ["images"], ["stop", "web"], ["help"]])
def test_a_short_command_loads_nothing_heavy(daemon: MakeDaemon, words: list[str]) -> None:
    fake = daemon({
        "GET /boxes": [BOX], "GET /version": {"version": "1"}, "GET /images": [],
        "POST /boxes/web/stop": {},
    })  # fmt: skip
    program = (
        "import sys; before = set(sys.modules)\n"
        "from boxy_cli.main import main\n"
        f"status = main({['--socket', str(fake.path), *words]!r})\n"
        "print(status, *sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    status, *loaded = done.stderr.split()
    assert status == "0"
    assert "boxy_core.flags.options" in loaded
    assert set(HEAVY) & set(loaded) == set()
