"""The completion scripts are run by the shells that they are for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ZSH = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'autoload -U compinit; compinit -u -D; eval "$(boxy completion zsh)"; PS1="REA""DY:"'
zpty -r z seen '*READY:*'
zpty -w -n z $'boxy @WORDS@\t\C-a echo [\C-e]\n'
zpty -r z seen '*\[*\]*'
print -r -- "$seen"
zpty -d z
"""
BASH = r"""
eval "$(boxy completion bash)"
COMP_WORDS=(boxy @WORDS@) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE="boxy @WORDS@"
COMP_POINT=${#COMP_LINE}
$(complete -p boxy | sed 's/.*-F \([^ ]*\).*/\1/') boxy
echo "${COMPREPLY[@]}"
"""
FISH = 'boxy completion fish | source; complete -C "boxy @WORDS@"'
SCRIPTS = {"bash": ["bash", "--norc", "-c", BASH], "fish": ["fish", "--no-config", "-c", FISH],
           "zsh": ["zsh", "-f", "-c", ZSH]}  # fmt: skip


@pytest.mark.parametrize("shell", SCRIPTS)
@pytest.mark.parametrize(
    ("line", "wanted"), [("unp", "unpause"), ("run --memory-s", "--memory-swap")]
)
def test_a_shell_completes(shell: str, line: str, wanted: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: apt install {shell}")
    *command, script = SCRIPTS[shell]
    done = subprocess.run(
        [*command, script.replace("@WORDS@", line)], capture_output=True, text=True, timeout=50,
        check=False, stdin=subprocess.DEVNULL, cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
             "HOME": str(tmp_path), "TERM": "dumb"},
    )  # fmt: skip
    assert wanted in done.stdout, done.stderr
