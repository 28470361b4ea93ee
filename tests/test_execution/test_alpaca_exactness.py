"""Money and shares in the order path are Decimals from end to end: held by reading the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDER_PATH = sorted(
    path
    for pattern in (
        "execution/brokers/*.py",
        "execution/orders.py",
        "execution/planning/pretrade.py",
        "execution/planning/plan.py",
        "execution/reconcile.py",
        "appliance/orders/*.py",
        "appliance/ledger/*.py",
    )
    for path in ROOT.glob(pattern)
)


def test_the_order_path_is_where_it_is_looked_for() -> None:
    assert len(ORDER_PATH) > 30


@pytest.mark.parametrize("path", ORDER_PATH, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_float_is_compared_for_equality_or_made_into_a_decimal(path: Path) -> None:
    """A10."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
            sides = [node.left, *node.comparators]
            assert not any(_is_float(side) for side in sides), f"{path.name}:{node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Decimal":
            assert not any(_is_float(argument) for argument in node.args), f"{path.name}:{node.lineno}"


def _is_float(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
