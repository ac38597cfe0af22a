"""The pages in a real browser, where this machine has one."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.registry import RegistryServer, layer, oci_image

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or ""
EVIL = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"

pytestmark = pytest.mark.skipif(not BROWSER, reason="no chromium here: apt install chromium")


def opened(url: str, profile: Path) -> tuple[str, str]:
    """The page's elements after its scripts have run, and what the console said."""
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={profile}", "--enable-logging=stderr", "--dump-dom", url],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def test_a_hostile_image_is_shown_as_text_and_our_own_files_are_not_blocked(
    tmp_path: Path, start: Callable[..., RegistryServer]
) -> None:
    registry = start()
    settings = {"Env": [f"A={EVIL}"], "Cmd": [EVIL], "Labels": {EVIL: EVIL}, "User": EVIL}
    registry.push("team/app", "1", oci_image([layer({"a": b"1"})], settings))
    page, said = opened(f"http://{registry.host}/r/team/app/-/1", tmp_path / "profile")
    assert "team/app:1 - boxy-registry</title>" in page
    assert "&lt;script&gt;document.title" in page
    assert page.count("<script") == 1
    assert f"boxy pull {registry.host}/team/app:1" in page
    assert said == ""  # a file that the policy blocks is told there
    listed = registry.ask("GET", "/v2/_catalog")[2]
    assert json.loads(listed)["repositories"] == ["team/app"]
