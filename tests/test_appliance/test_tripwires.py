"""The table of tripwires: each row just inside its limit, just outside it, and with its input missing (C4)."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import pytest

from appliance.config import ApplianceConfig, StoresConfig
from appliance.controls.limits import TripwireLimits
from appliance.controls.tripwires import (
    NO_SENSOR,
    NOT_JUDGED,
    NOT_YET,
    TRIPWIRES,
    Rearm,
    Tripwire,
    TripwireAction,
    TripwireFigures,
    check,
    worst,
)

CONFIG = ApplianceConfig(stores=StoresConfig(data=Path("data"), bundles=Path("bundles")))
LIMITS = CONFIG.limits()
ROWS = [pytest.param(row, id=row.name) for row in TRIPWIRES]

# What the operating rules say, written down a second time: name -> (limit, action, who re-arms).
RULES = {
    "DATA_NOT_USABLE": (0.0, TripwireAction.SKIP, Rearm.AUTO),
    "DATA_STALE": (0.0, TripwireAction.SKIP, Rearm.AUTO),
    "COVERAGE": (0.95, TripwireAction.SKIP, Rearm.AUTO),
    "SCORES_INVALID": (0.20, TripwireAction.SKIP, Rearm.AUTO),
    "DRIFT_FEATURES": (1.0, TripwireAction.WARN, Rearm.AUTO),
    "DRIFT_PSI": (1.0, TripwireAction.WARN, Rearm.AUTO),
    "DRIFT_STEP": (1.0, TripwireAction.SKIP, Rearm.AUTO),
    "DRIFT_RELATIONS": (1.0, TripwireAction.SKIP, Rearm.AUTO),
    "DRIFT_RECOMPUTED": (1.0, TripwireAction.SKIP, Rearm.AUTO),
    "SECOND_OPINION": (0.05, TripwireAction.SKIP, Rearm.AUTO),
    "SECOND_OPINION_GROSS": (0.10, TripwireAction.SKIP, Rearm.AUTO),
    "EQUITY_JUMP": (0.03, TripwireAction.SKIP, Rearm.AUTO),
    "POSITIONS_JUMP": (0.0, TripwireAction.SKIP, Rearm.AUTO),
    "BUNDLE_AGEING": (0.80, TripwireAction.WARN, Rearm.NEW_BUNDLE),
    "BUNDLE": (1.0, TripwireAction.REDUCE, Rearm.NEW_BUNDLE),
    "EXPECTATION": (1.0, TripwireAction.REDUCE, Rearm.NEW_BUNDLE),
    "TURNOVER": (0.35, TripwireAction.SKIP, Rearm.AUTO),
    "TURNOVER_JUMP": (3.0, TripwireAction.SKIP, Rearm.AUTO),
    "GROSS": (1.02, TripwireAction.REFUSE, Rearm.AUTO),
    "GROSS_HELD": (1.10, TripwireAction.REDUCE, Rearm.AUTO),
    "NET": (0.04, TripwireAction.REFUSE, Rearm.AUTO),
    "NAME": (0.06, TripwireAction.REFUSE, Rearm.AUTO),
    "ROUNDING": (0.25, TripwireAction.REDUCE, Rearm.AUTO),
    "DAILY_LOSS": (0.03, TripwireAction.REDUCE, Rearm.HUMAN),
    "DAILY_LOSS_HALT": (0.05, TripwireAction.HALT, Rearm.HUMAN),
    "DRAWDOWN": (0.10, TripwireAction.REDUCE, Rearm.HUMAN),
    "DRAWDOWN_HALT": (0.15, TripwireAction.HALT, Rearm.HUMAN),
    "ACCOUNT": (0.0, TripwireAction.HALT, Rearm.HUMAN),
    "RECON_BREAK": (0.0, TripwireAction.HALT, Rearm.HUMAN),
    "MANUAL": (0.0, TripwireAction.HALT, Rearm.HUMAN),
    "ORDER_COUNT": (0.0, TripwireAction.HALT, Rearm.HUMAN),
    "RESENDS": (3.0, TripwireAction.HALT, Rearm.HUMAN),
    "PLAN_CONSERVATION": (0.0, TripwireAction.HALT, Rearm.HUMAN),
    "DUPLICATE": (0.0, TripwireAction.HALT, Rearm.HUMAN),
    "REJECT_RATE": (0.20, TripwireAction.HALT, Rearm.HUMAN),
    "UNKNOWN_ORDER": (0.0, TripwireAction.HALT, Rearm.HUMAN),
    "ORDER_NOTIONAL": (0.0, TripwireAction.REFUSE, Rearm.AUTO),
    "PRICE_COLLAR": (3.0, TripwireAction.HALT, Rearm.HUMAN),
    "SLIPPAGE": (3.0, TripwireAction.WARN, Rearm.AUTO),
    "SLIPPAGE_HALT": (5.0, TripwireAction.HALT, Rearm.HUMAN),
    "CLOCK_SKEW": (2.0, TripwireAction.WARN, Rearm.AUTO),
    "CLOCK": (5.0, TripwireAction.HALT, Rearm.HUMAN),
    "DISK_LOW": (0.10, TripwireAction.WARN, Rearm.AUTO),
    "DISK": (0.03, TripwireAction.HALT, Rearm.HUMAN),
    "TEMP": (80.0, TripwireAction.WARN, Rearm.AUTO),
    "POWER": (0.0, TripwireAction.WARN, Rearm.AUTO),
}


def outcome(row: Tripwire, value: object) -> tuple[bool, float | None, str]:
    found = {e.name: e for e in check(row.stage, TripwireFigures(**{row.measure: value}), LIMITS)}[row.name]
    return found.is_tripped, found.value, found.detail


def test_the_table_is_the_one_of_the_operating_rules() -> None:
    table = {row.name: (row.limit if isinstance(row.limit, float) else LIMITS[row.limit], row.action, row.rearm) for row in TRIPWIRES}
    assert table == RULES


@pytest.mark.parametrize("row", ROWS)
def test_a_figure_at_its_limit_passes_and_one_step_beyond_trips(row: Tripwire) -> None:
    limit = RULES[row.name][0]
    beyond = math.nextafter(limit, -math.inf if row.trips_below else math.inf)
    inside = math.nextafter(limit, math.inf if row.trips_below else -math.inf)
    assert outcome(row, limit)[:2] == (False, limit)
    assert outcome(row, inside)[0] is False
    assert outcome(row, beyond)[:2] == (True, beyond)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_a_missing_figure_trips(row: Tripwire, missing: float | None) -> None:
    tripped, value, detail = outcome(row, missing)
    assert tripped and value is None and "missing" in detail


@pytest.mark.parametrize("row", ROWS)
def test_a_sensor_that_a_machine_does_not_have_is_said_and_does_not_trip(row: Tripwire) -> None:
    tripped, value, detail = outcome(row, NO_SENSOR)
    assert not tripped and value is None and detail.endswith("this machine has no such sensor")


@pytest.mark.parametrize("row", ROWS)
def test_too_little_history_is_said_and_does_not_trip(row: Tripwire) -> None:
    tripped, value, detail = outcome(row, NOT_YET)
    assert not tripped and value is None and detail.endswith("too little history yet")


@pytest.mark.parametrize("row", ROWS)
def test_what_a_bundle_carries_no_limits_for_is_said_and_does_not_trip(row: Tripwire) -> None:
    tripped, value, detail = outcome(row, NOT_JUDGED)
    assert not tripped and value is None and "not judged: the bundle carries no such limits" in detail


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_evaluated_in_its_stage_whatever_trips(row: Tripwire) -> None:
    names = [e.name for e in check(row.stage, TripwireFigures(), LIMITS)]
    assert names == [other.name for other in TRIPWIRES if other.stage is row.stage]


def test_every_figure_is_looked_at_and_every_limit_is_used() -> None:
    assert {row.measure for row in TRIPWIRES} == {field.name for field in fields(TripwireFigures)}
    assert {row.limit for row in TRIPWIRES if isinstance(row.limit, str)} == set(LIMITS) - {"ramp_sessions", "skips_that_halt"}


def test_the_worst_action_wins_and_the_first_of_equals() -> None:
    figures = TripwireFigures(
        held_gross=1.2, daily_loss=0.06, drawdown=0.2, account_faults=0.0, recon_breaks=0.0, slippage=0.0, slippage_sessions=0.0
    )
    found = check(next(row.stage for row in TRIPWIRES if row.name == "GROSS_HELD"), figures, LIMITS)
    assert {e.name for e in found if e.is_tripped} == {"GROSS_HELD", "DAILY_LOSS", "DAILY_LOSS_HALT", "DRAWDOWN", "DRAWDOWN_HALT"}
    chosen = worst(found)
    assert chosen is not None and chosen.name == "DAILY_LOSS_HALT"
    assert worst([]) is None


def test_a_tightened_limit_of_the_configuration_is_the_one_that_counts() -> None:
    tight = CONFIG.model_copy(update={"tripwires": TripwireLimits(max_turnover=0.10)})
    row = next(row for row in TRIPWIRES if row.name == "TURNOVER")
    found = {e.name: e for e in check(row.stage, TripwireFigures(turnover=0.2), tight.limits())}["TURNOVER"]
    assert found.is_tripped and found.limit == 0.10


def test_where_files_lie_changes_no_order_and_every_limit_does() -> None:
    """The hash on every order row follows what can change an order, and nothing else (C7)."""
    moved = CONFIG.model_copy(update={"stores": StoresConfig(data=Path("else"), bundles=Path("where"))})
    loosened = CONFIG.model_copy(update={"tripwires": TripwireLimits(max_turnover=0.36)})
    assert moved.decision_hash() == CONFIG.decision_hash() != loosened.decision_hash()
