"""`docs/assurance.md` is complete, points at tests that exist, and promises nothing in a finished area."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = {"A": 12, "B": 10, "C": 9, "D": 16, "E": 13, "F": 60, "G": 10, "H": 10, "I": 14, "J": 10}


class Row(NamedTuple):
    id: str
    requirement: str
    area: str
    status: str
    proof: str


TEXT = (ROOT / "docs" / "assurance.md").read_text(encoding="utf-8")
ITEM = re.compile(
    r"^\* \*\*(?P<id>[A-J]\d+)\*\* (?P<area>[a-z ]+), (?P<status>proven|planned|n/a \(.+?\)): "
    r"(?P<requirement>.+?)(?P<proof>(?:\n    \* .+?)*)(?=\n\*|\n\n|\Z)",
    flags=re.M | re.S,
)


def rows(text: str = TEXT) -> list[Row]:
    return [Row(found["id"], *(found[k] for k in Row._fields[1:])) for found in ITEM.finditer(text)]


def finished_areas(text: str = TEXT) -> set[str]:
    named = re.search(r"^Finished areas: (.*)\.$", text, flags=re.M)
    assert named, "the line 'Finished areas: ...' is gone"
    return {area.strip() for area in named[1].split(",")}


def planned_although_finished(text: str) -> list[str]:
    finished = finished_areas(text)
    assert finished <= {row.area for row in rows(text)}
    return [row.id for row in rows(text) if row.area in finished and row.status == "planned"]


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
        assert row.status in ("proven", "planned") or row.status.startswith("n/a ("), row
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
            assert f'"{case[:-1]}"' in (ROOT / path).read_text(encoding="utf-8") or not case, f"{row.id}: {proof} is gone"


def test_every_item_of_the_list_is_read() -> None:
    """An item that the pattern does not match would be judged by no rule."""
    assert len(re.findall(r"^\* \*\*[A-J]\d+\*\*", TEXT, flags=re.M)) == len(rows())


def test_a_finished_area_plans_nothing() -> None:
    assert finished_areas() >= {"exchange", "broker", "order path", "device", "daemon", "bundle"}
    assert planned_although_finished(TEXT) == []


@pytest.mark.parametrize("area", sorted(finished_areas()))
def test_a_requirement_that_becomes_planned_in_a_finished_area_is_named(area: str) -> None:
    row = next(row for row in rows() if row.area == area and row.status == "proven")
    marked = TEXT.replace(f"* **{row.id}** {area}, proven:", f"* **{row.id}** {area}, planned:")
    assert marked != TEXT
    assert planned_although_finished(marked) == [row.id]
