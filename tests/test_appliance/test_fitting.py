"""What `appliance setup` makes of an equity and of a machine: sizes by hand, and who vouches for the clock."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from appliance.config import ApplianceConfig, StoresConfig
from appliance.setup import sizes
from appliance.setup.machine import kind_of_machine
from appliance.setup.sizes import Size, fitted, size_for
from execution.planning.entries import EntryStyle
from portfolio.config import BookSides

SHIPPED = ApplianceConfig(stores=StoresConfig(data="data", bundles="."))


@pytest.mark.parametrize(("equity", "size"), [("100000", Size.SHARES), ("25000", Size.SHARES), ("24999.99", Size.FRACTIONS)])
def test_whole_shares_fit_from_25000_dollars_and_change_no_setting(equity: str, size: Size) -> None:
    assert size_for(Decimal(equity)) is size
    assert fitted(SHIPPED, Size.SHARES, Decimal(equity)) == SHIPPED


@pytest.mark.parametrize(
    ("equity", "names", "cap", "stepped", "most", "order"),
    [
        ("5000", 100, 0.045, 0.055, "0.06", "0.05"),
        ("1000", 20, 0.075, 0.0917, "0.1000", "0.0750"),  # 1.5 / 20
        ("50", 1, 1.0, 1.2222, "1.0000", "1.0000"),
    ],
)
def test_names_and_cap_follow_the_equity_of_a_small_account(
    equity: str, names: int, cap: float, stepped: float, most: str, order: str
) -> None:
    found = fitted(SHIPPED, Size.FRACTIONS, Decimal(equity))
    portfolio, execution = found.portfolio, found.execution
    assert portfolio.max_names(float(equity)) == names
    assert (portfolio.name_cap, portfolio.stepped_name_limit) == (cap, stepped)
    assert (execution.pretrade.max_name, execution.pretrade.max_order_equity) == (Decimal(most), Decimal(order))
    assert portfolio.mode is BookSides.LONG_ONLY and not execution.pretrade.allow_short
    assert (execution.entry.kind, execution.planning.fractions) == (EntryStyle.DAY, True)
    assert (execution.planning.min_trade_usd, execution.submission.min_residual_usd, portfolio.min_position_usd) == (1, 1, 50)
    assert execution.entry.equivalents == ("opg",) and execution.entry.in_manifest == "day"
    assert f"at most {names} names of at most {cap:.1%} each; the goal is a gross of 95%" in sizes.described(found, Decimal(equity))
    assert ApplianceConfig.model_validate(found.model_dump(mode="json")) == found


def test_machines_whose_kernel_keeps_no_time_of_its_own_are_named(tmp_path: Path) -> None:
    kernel, mark = tmp_path / "osrelease", tmp_path / ".dockerenv"
    assert kind_of_machine("Darwin") == "macOS"
    assert kind_of_machine("Linux", (mark,), kernel) == ""
    kernel.write_text("5.15.90.1-microsoft-standard-WSL2\n")
    assert kind_of_machine("Linux", (mark,), kernel) == "WSL"
    kernel.write_text("6.1.0-18-arm64\n")
    assert kind_of_machine("Linux", (mark,), kernel) == ""
    mark.touch()
    assert kind_of_machine("Linux", (mark,), kernel) == "a container"
