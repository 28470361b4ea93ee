"""The daily dry run of the controls (C8) and the refusal of loosened limits (C7)."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from appliance.config import ApplianceConfig, StoresConfig
from appliance.controls.limits import TripwireLimits
from appliance.controls.self_test import run_self_test
from appliance.controls.tripwires import TRIPWIRES
from appliance.safety.limit_changes import LOOSER_BELOW, guarded, loosened
from execution.planning.config import PretradeConfig

CONFIG = ApplianceConfig(stores=StoresConfig(data=Path("data"), bundles=Path("bundles")))


def test_every_row_of_the_table_fires_in_a_dry_run() -> None:
    found = run_self_test(CONFIG.limits())
    assert found.rows == len(TRIPWIRES) and found.dead == ()
    count = len(TRIPWIRES)
    assert found.sentence() == f"{count} of {count} controls fire past their limit and on a missing figure"


@pytest.mark.parametrize("limit", [math.nan, math.inf])
def test_a_limit_that_switches_a_control_off_is_heard(limit: float) -> None:
    found = run_self_test(CONFIG.limits() | {"max_turnover": limit})
    assert found.dead == (f"TURNOVER has the limit {limit}",)
    assert found.sentence().startswith(f"{found.rows - 1} of {found.rows} controls fire")


def test_a_row_that_looks_the_wrong_way_is_heard() -> None:
    """The exercise expects what the row declares; a row whose limit is not its own evaluates differently."""
    turned = tuple(replace(row, trips_below=not row.trips_below) if row.name == "TURNOVER" else row for row in TRIPWIRES)
    assert run_self_test(CONFIG.limits(), turned).dead != ()


@pytest.mark.parametrize("name", sorted(LOOSER_BELOW))
def test_each_limit_is_loosened_in_its_own_direction_only(name: str) -> None:
    before = guarded(CONFIG)
    step = -1.0 if LOOSER_BELOW[name] else 1.0
    assert len(loosened(before, before | {name: before[name] + step})) == 1
    assert loosened(before, before | {name: before[name] - step}) == ()
    assert len(loosened(before, before | {name: math.nan})) == 1


def test_the_direction_is_the_table_s() -> None:
    for row in TRIPWIRES:
        if isinstance(row.limit, str):
            assert LOOSER_BELOW[row.limit] is row.trips_below
    assert set(guarded(CONFIG)) == set(LOOSER_BELOW)
    assert set(TripwireLimits.model_fields) | {f"pretrade.{n}" for n in PretradeConfig.model_fields} - {
        f"pretrade.{n}" for n in ("max_gross", "max_net", "max_name")
    } <= set(LOOSER_BELOW)


def test_a_looser_configuration_is_named_limit_by_limit() -> None:
    loose = CONFIG.model_copy(
        update={
            "tripwires": TripwireLimits(max_turnover=0.5, min_coverage=0.9, max_rejected=0.1),
            "execution": CONFIG.execution.model_copy(update={"pretrade": PretradeConfig(max_net=Decimal("0.08"))}),
        }
    )
    assert set(loosened(guarded(CONFIG), guarded(loose))) == {
        "max_turnover from 0.35 to 0.5",
        "min_coverage from 0.95 to 0.9",
        "max_net from 0.04 to 0.08",
    }


def test_a_record_without_limits_compares_nothing() -> None:
    assert loosened({}, guarded(CONFIG)) == ()
