"""`docs/assurance.md` is complete, points at tests that exist, and promises nothing in a finished area."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = {"A": 12, "B": 10, "C": 9, "D": 16, "E": 10, "F": 60, "G": 10, "H": 10, "I": 14, "J": 10}


class Row(NamedTuple):
    id: str
    requirement: str
    area: str
    status: str
    proof: str


def rows() -> list[Row]:
    text = (ROOT / "docs" / "assurance.md").read_text(encoding="utf-8")
    return [Row(*(cell.strip() for cell in line.strip().strip("|").split("|"))) for line in text.splitlines()
            if re.match(r"\| [A-J]\d+ \|", line)]  # fmt: skip


def finished_areas() -> set[str]:
    text = (ROOT / "docs" / "assurance.md").read_text(encoding="utf-8")
    named = re.search(r"^Finished areas: (.*)\.$", text, flags=re.M)
    assert named, "the line 'Finished areas: ...' is gone"
    return set() if named[1] == "none" else {area.strip() for area in named[1].split(",")}


@cache
def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    machines = {target.id for target in assigned if isinstance(target, ast.Name) and target.id.lower()[:4] == "test"}
    return machines | {node.name for node in ast.walk(tree) if isinstance(node, named)}


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.M))


def test_every_requirement_stands_exactly_once() -> None:
    expected = [f"{k}{n:02d}" if k == "F" else f"{k}{n}" for k, last in REQUIRED.items() for n in range(1, last + 1)]
    assert [row.id for row in rows()] == expected


def test_a_proven_row_names_a_test_or_target_that_exists() -> None:
    for row in rows():
        assert row.status in ("proven", "planned") or row.status.startswith("n/a: "), row
        if row.status != "proven":
            continue
        proofs = re.findall(r"`([^`]+)`", row.proof)
        assert proofs, f"{row.id} is proven by nothing"
        for proof in proofs:
            if proof.startswith("make "):
                assert proof.removeprefix("make ") in make_targets(), f"{row.id}: {proof}"
                continue
            path, _, name = proof.partition("::")
            assert (ROOT / path).is_file(), f"{row.id}: {path} is gone"
            name, _, case = name.partition("[")
            assert not name or name in names_in(ROOT / path), f"{row.id}: {proof} is gone"
            assert f'"{case[:-1]}"' in (ROOT / path).read_text(encoding="utf-8") or not case, (
                f"{row.id}: {proof} is gone"
            )


def test_a_finished_area_plans_nothing() -> None:
    finished = finished_areas()
    assert finished <= {row.area for row in rows()}
    assert [row.id for row in rows() if row.area in finished and row.status == "planned"] == []
