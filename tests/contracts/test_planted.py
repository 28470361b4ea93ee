"""The planted bugs of `make mutants` still fit the source and name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutation.planted import BUGS, Planted

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted_in_one_place_and_its_test_exists(bug: Planted) -> None:
    assert (ROOT / bug.file).read_text(encoding="utf-8").count(bug.old) == 1
    path, _, name = bug.caught_by.partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), flags=re.M)


def test_there_are_at_least_fifteen_and_no_two_alike() -> None:
    assert len({(bug.file, bug.old, bug.new) for bug in BUGS}) == len(BUGS) >= 15
