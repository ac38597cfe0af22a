"""`boxy prune`: what does not run goes, what runs stays, and nobody is surprised."""

from __future__ import annotations

from tests.support.daemon import Daemon


def test_what_does_not_run_is_removed_and_what_runs_stays(daemon: Daemon) -> None:
    daemon.run("run", "-d", "--name", "lives", "alpine", "sleep", "1000")
    daemon.run("run", "--name", "ended", "-l", "keep=no", "alpine", "true")
    daemon.run("run", "--name", "other", "alpine", "true")
    asked = daemon.boxy("prune")
    assert asked.returncode == 1
    assert "boxy prune -f" in asked.stderr
    assert daemon.run("prune", "-f", "--filter", "label=keep=no") == "ended"
    assert daemon.run("prune", "-f") == "other"
    assert daemon.run("ps", "-a", "--format", "{{.Names}}") == "lives"
    nothing = daemon.boxy("prune", "-f")
    assert (nothing.returncode, nothing.stdout) == (0, "")
