"""`boxy completion`: scripts that let a shell's tab key ask `boxy __complete`."""

from __future__ import annotations

from boxy_cli.context import Context, say
from boxy_core.flags.options import Argument, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxy_core.flags.options import Args

BASH = """\
# boxy completion for bash: source <(boxy completion bash)
_boxy() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        [ "$line" = ":file" ] && { compopt -o default 2>/dev/null; continue; }
        COMPREPLY+=("${line%%$'\\t'*}")
    done < <(boxy __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _boxy boxy"""

ZSH = """\
#compdef boxy
# boxy completion for zsh: source <(boxy completion zsh), or as _boxy in a folder of $fpath
_boxy() {
    local line
    local -a found
    while IFS= read -r line; do
        if [[ $line == ":file" ]]; then _files; continue; fi
        found+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
    done < <(boxy __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    (( ${#found} )) && _describe boxy found
}
if [ "$funcstack[1]" = "_boxy" ]; then _boxy "$@"; else compdef _boxy boxy; fi"""

FISH = """\
# boxy completion for fish: boxy completion fish | source
function __boxy_complete
    set -l words (commandline -opc) (commandline -ct)
    boxy __complete $words[2..] 2>/dev/null | string match -v ':file'
end
complete -c boxy -f -a '(__boxy_complete)'"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion(_context: Context, args: Args) -> int:
    """Print the script."""
    say(SCRIPTS[args["shell"]])
    return 0


COMMANDS = {
    "completion": Command(
        "completion",
        completion,
        description="Print a completion script: flags, commands, and the names of boxes and "
        "images as they are at that moment.",
        arguments=(Argument("SHELL", "bash, zsh or fish", choices=("bash", "zsh", "fish")),),
        examples=(
            ("source <(boxy completion bash)", "in ~/.bashrc"),
            ("boxy completion fish > ~/.config/fish/completions/boxy.fish", "for fish"),
        ),
    )
}
