"""Counts what the layout of the source costs a reader: `python -m benchmarks.house [FOLDER ...]`, one column a checkout.

Import lines are the lines of import statements; mappings are `dict[str, Any]` and `Mapping[str, Any]` in product code.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from pathlib import Path

PACKAGES = ("signals", "portfolio", "execution", "trainer", "appliance")
TOPS = (*PACKAGES, "execution/exchange")


def top_modules(folder: Path) -> list[Path]:
    """Return the modules of a folder itself, `__init__` and `__main__` not counted."""
    return sorted(path for path in folder.glob("*.py") if not path.stem.startswith("__"))


def exemptions(root: Path) -> int:
    """Count the lines of a checkout that the formatter leaves as they are."""
    files = [path for folder in (*PACKAGES, "tests", "benchmarks", "ansible") for path in (root / folder).rglob("*.py")]
    return sum(path.read_text(encoding="utf-8").count("# fmt: " + "skip") for path in files)


def untyped_mappings(root: Path) -> int:
    """Count the lines of product code with `dict[str, Any]` or `Mapping[str, Any]`."""
    files = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    return sum(len(re.findall(r"^.*(?:dict|Mapping)\[str, Any\].*$", path.read_text(encoding="utf-8"), flags=re.M)) for path in files)


def counted(root: Path) -> dict[str, str]:
    """Return the figures of one checkout, by what they count."""
    files = {path: path.read_text(encoding="utf-8") for package in PACKAGES for path in sorted((root / package).rglob("*.py"))}
    lines = {path: text.count("\n") for path, text in files.items()}
    imports = sum(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for text in files.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    total = sum(lines.values())
    largest = max(lines, key=lambda path: lines[path])
    return {
        **{f"modules at the top of {top}": str(len(top_modules(root / top))) for top in TOPS},
        "files": str(len(files)),
        "lines of product code": f"{total:,}",
        "import lines": f"{imports:,} ({imports / total:.1%})",
        "exemptions from the formatter": str(exemptions(root)),
        "lines with a mapping to Any": str(untyped_mappings(root)),
        "median, largest file": f"{statistics.median(lines.values()):.0f}, {lines[largest]} ({largest.relative_to(root).as_posix()})",
    }


def main() -> None:
    """Print one row a figure and one column a folder."""
    folders = [Path(name) for name in sys.argv[1:]] or [Path(__file__).resolve().parents[1]]
    columns = [counted(folder) for folder in folders]
    print("| " + " | ".join(["", *(folder.resolve().name for folder in folders)]) + " |")
    print("|---" * (len(folders) + 1) + "|")
    for name in columns[0]:
        print("| " + " | ".join([name, *(column[name] for column in columns)]) + " |")


if __name__ == "__main__":
    main()
