"""What `appliance setup` makes of an equity and of a machine: sizes by hand, and who vouches for the clock."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from appliance.config import ApplianceConfig, StoresConfig
from appliance.schedule.timetable import TIMETABLE, Entering, table_of
from appliance.setup import sizes
from appliance.setup.paper_keys import KeyPair, seal
from appliance.setup.sizes import Size, fitted, size_for
from appliance.setup.wizard import kind_of_machine
from execution.planning.config import EntryStyle
from portfolio.config import BookSides
from signals.errors import FixInput

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


def test_keys_are_sealed_through_standard_input_and_only_where_a_service_is_installed(tmp_path: Path) -> None:
    sealer = tmp_path / "sealer"
    pair = KeyPair("PKKEY", "a secret")
    with pytest.raises(FixInput, match="no appliance service is installed"):
        seal(pair, sealer)
    sealer.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\ncat > {tmp_path}/$1\n')
    sealer.chmod(0o700)
    seal(pair, sealer)
    assert (tmp_path / "alpaca-key-id").read_text() == "PKKEY" and (tmp_path / "alpaca-secret-key").read_text() == "a secret"
    assert (tmp_path / "arguments").read_text() == "alpaca-key-id\nalpaca-secret-key\n"
    sealer.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(FixInput, match="alpaca-key-id could not be sealed"):
        seal(pair, sealer)


def test_day_orders_leave_where_the_auction_is_confirmed_and_at_no_other_hour() -> None:
    rows = table_of(Entering("day"))
    assert [(row.job, row.at, row.deadline) for row in rows] == [(row.job, row.at, row.deadline) for row in TIMETABLE]
    assert next(row.purpose for row in rows if row.job == "confirm").startswith("send the plan's orders")


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
