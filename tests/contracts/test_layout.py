"""The layout of the source keeps its figures: few modules at a package's top, few exemptions, few untyped mappings."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.house import TOPS, exemptions, top_modules, untyped_mappings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("top", TOPS)
def test_no_package_keeps_more_than_eight_modules_at_its_top(top: str) -> None:
    assert len(top_modules(ROOT / top)) <= 8


def test_the_formatter_is_exempted_from_fewer_than_twenty_lines() -> None:
    assert exemptions(ROOT) < 20


def test_documents_are_typed_in_product_code() -> None:
    """Fewer than 60 lines have a mapping to `Any`; what crosses a wall is a frozen model or a `TypedDict`."""
    assert untyped_mappings(ROOT) < 60


def test_the_counters_count(tmp_path: Path) -> None:
    """A module, an exemption and an untyped mapping are seen where they are planted."""
    room = tmp_path / "signals"
    room.mkdir()
    for name in ("__init__", "one", "two"):
        (room / f"{name}.py").write_text("x: dict[str, Any] = {}  # fmt: " + "skip\n" if name == "two" else "")
    assert [path.stem for path in top_modules(room)] == ["one", "two"]
    assert (exemptions(tmp_path), untyped_mappings(tmp_path)) == (1, 1)
