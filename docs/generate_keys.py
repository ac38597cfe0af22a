"""Write docs/reference/keys.md from the console's bindings; a test checks that it is current."""

from __future__ import annotations

from pathlib import Path

from boxy_tui.keys import as_markdown

PAGE = Path(__file__).parent / "reference" / "keys.md"

if __name__ == "__main__":
    PAGE.write_text(as_markdown(), encoding="utf-8")
