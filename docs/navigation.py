"""Hook of `mkdocs.yml`: adds the decisions, and pages that the navigation does not name, so that none can be lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DECISIONS = "docs/adr"


def paths_in(nav: list[Any]) -> set[str]:
    """Return every path of a navigation, whatever its depth."""
    found: set[str] = set()
    for entry in nav:
        for value in entry.values():
            found |= {value} if isinstance(value, str) else paths_in(value)
    return found


def completed(nav: list[Any], pages: list[str]) -> list[Any]:
    """Return `nav` with the decisions, in the order of their numbers, and with the pages that it does not name."""
    decisions = sorted((page for page in pages if page.startswith(f"{DECISIONS}/")), key=_index_first)
    others = sorted(set(pages) - paths_in(nav) - set(decisions))
    return [*nav, {"Decisions": decisions}, *([{"More": others}] if others else [])]


def _index_first(page: str) -> tuple[bool, str]:
    return (not page.endswith("/README.md"), page)


def on_config(config: Any) -> Any:
    """Complete the navigation before the site is built."""
    root = Path(config.docs_dir)
    config.nav = completed(config.nav, [path.relative_to(root).as_posix() for path in root.rglob("*.md")])
    return config
