"""Winsorised and smoothed features: by hand, by SQL, refused where malformed, the same on both hosts."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.bundles.slots import Slot, slot_policy
from appliance.config import ApplianceConfig, StoresConfig
from signals.errors import BadConfig
from signals.features.panel import FeaturePanel
from signals.features.treatment import HALF_LIVES, Treatment, declared_in
from signals.market.bars import Bars
from signals.market.sessions import xnys
from signals.monitoring.drift import WINDOW_SESSIONS, reference, trailing_psi
from signals.sleeves import SLEEVES, specs
from signals.sleeves.base import Sleeve
from signals.sleeves.equities_xs import EQUITIES_XS
from signals.sleeves.patterns import PATTERNS
from tests.fakes.bars import synthetic_bars
from trainer.recipes.base import RecipeConfig
from trainer.tasks.recipes import agreed, config_of, recipe_named

NAN = np.nan
BOTH = Treatment(winsorise_sd=2.0, half_life_sessions=3)


def table(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def all_of(values: np.ndarray) -> np.ndarray:
    return np.ones(values.shape, dtype=np.bool_)


def test_deviations_clip_by_hand() -> None:
    """0, 0, 0, 0, 10: mean 2, sd sqrt((4 x 4 + 64) / 5) = 4: within one sd is -2 to 6. A name without the feature has none."""
    values = table([0.0, 0.0, 0.0, 0.0, 10.0, NAN])
    np.testing.assert_array_equal(Treatment(winsorise_sd=1.0).applied(values, all_of(values)), table([0, 0, 0, 0, 6, NAN]))


def test_quantiles_clip_by_hand() -> None:
    """Of 0, 1, 2, 3, 9 the quantile 0.1 is at 0.4 between 0 and 1, the quantile 0.9 at 3.6 between 3 and 9: 0.4 and 6.6."""
    values = table([9.0, 0.0, 2.0, 1.0, 3.0])
    np.testing.assert_allclose(Treatment(winsorise_quantile=0.1).applied(values, all_of(values)), table([6.6, 0.4, 2, 1, 3]), rtol=1e-7)


def test_names_outside_the_universe_make_no_limit_and_are_clipped_by_the_others() -> None:
    values = table([0.0, 2.0, 1e6, -50.0])
    eligible = np.array([[True, True, False, False]])
    np.testing.assert_array_equal(Treatment(winsorise_sd=1.0).applied(values, eligible), table([0.0, 2.0, 2.0, 0.0]))


def test_a_session_of_nobody_has_no_limits() -> None:
    values = table([3.0, NAN])
    np.testing.assert_array_equal(Treatment(winsorise_sd=1.0).applied(values, ~all_of(values)), values)


def test_a_half_life_of_one_session_halves_the_weight_of_the_session_before() -> None:
    """The window is 6 sessions of weights 1, 1/2, ..., 1/32, 63/32 together, of which 80 % is 1.575: known from the third session.

    1 of 8, 8, 8: 1 x 8 + ... over their weights is 8. Then 0: (0 + 4 + 2 + 1) / (1 + 1/2 + 1/4 + 1/8) = 7 / 1.875.
    """
    values = table([8.0], [8.0], [8.0], [0.0])
    found = Treatment(half_life_sessions=1).applied(values, all_of(values))
    np.testing.assert_allclose(found, table([NAN], [NAN], [8.0], [7.0 / 1.875]), rtol=1e-7)


def test_a_session_without_a_value_has_none_and_weighs_nothing_later() -> None:
    """(4 + 0 + 8 / 4 + 8 / 8) over 1 + 1/4 + 1/8 is 1.375, under 80 % of 63/32; a session later (4 + 2 + 1 + 1/2) / 1.6875."""
    values = table([8.0], [8.0], [NAN], [4.0], [4.0])
    found = Treatment(half_life_sessions=1).applied(values, all_of(values))
    np.testing.assert_allclose(found, table([NAN], [NAN], [NAN], [NAN], [(4 + 2 + 1 + 0.5) / 1.6875]), rtol=1e-7)


@pytest.mark.parametrize("declared", [BOTH, Treatment(winsorise_quantile=0.05, half_life_sessions=2), Treatment(winsorise_sd=1.5)])
def test_sql_finds_the_same(declared: Treatment) -> None:
    """An independent engine, from rows of (session, name, value): population's deviation, interpolated quantiles, weights by age."""
    rng = np.random.default_rng(5)
    values = np.where(rng.random((40, 12)) < 0.1, NAN, rng.standard_t(3, (40, 12))).astype(np.float32)
    eligible = rng.random((40, 12)) < 0.8
    rows = [(t, i, float(values[t, i]), bool(eligible[t, i])) for t in range(40) for i in range(12) if np.isfinite(values[t, i])]
    limits = (
        f"avg(x) - {declared.winsorise_sd} * stddev_pop(x) low, avg(x) + {declared.winsorise_sd} * stddev_pop(x) high"
        if declared.winsorise_sd
        else f"quantile_cont(x, {declared.winsorise_quantile}) low, quantile_cont(x, 1 - {declared.winsorise_quantile}) high"
    )
    half_life = declared.half_life_sessions or 1
    whole = sum(2 ** (-age / half_life) for age in range(declared.window))
    with duckdb.connect() as database:
        database.execute("CREATE TABLE seen (t INTEGER, i INTEGER, x DOUBLE, counted BOOLEAN)")
        database.executemany("INSERT INTO seen VALUES (?, ?, ?, ?)", rows)
        said = database.execute(
            f"""WITH bounds AS (SELECT t, {limits} FROM seen WHERE counted GROUP BY t),
            clipped AS (SELECT t, i, CAST(greatest(low, least(high, x)) AS REAL) x FROM seen JOIN bounds USING (t)),
            aged AS (SELECT now.t, now.i, past.x, power(2, -(now.t - past.t) / {half_life}::DOUBLE) weight FROM clipped now
                JOIN clipped past ON past.i = now.i AND past.t BETWEEN now.t - {declared.window - 1} AND now.t)
            SELECT t, i, sum(weight * x) / sum(weight) FROM aged GROUP BY t, i HAVING sum(weight) >= 0.8 * {whole}"""
        ).fetchall()
    expected = np.full(values.shape, NAN)
    for t, i, x in said:
        expected[t, i] = x
    assert np.isfinite(expected).sum() > 250
    np.testing.assert_allclose(declared.applied(values, eligible), expected, rtol=2e-6, atol=2e-7)


@given(st.integers(0, 1000), st.integers(0, 58))
def test_what_comes_later_changes_no_bit(seed: int, row: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((60, 7)).astype(np.float32)
    eligible = rng.random((60, 7)) < 0.7
    later = values.copy()
    later[row + 1 :] = rng.standard_normal((59 - row, 7)) * 1e6
    kept = slice(0, row + 1)
    whole = BOTH.applied(values, eligible)[kept].tobytes()
    assert BOTH.applied(later, eligible)[kept].tobytes() == BOTH.applied(values[kept], eligible[kept]).tobytes() == whole


def test_a_set_that_declares_nothing_is_the_set_that_it_was() -> None:
    assert EQUITIES_XS.treated(None) is EQUITIES_XS and declared_in(EQUITIES_XS.spec) is None
    plain = RecipeConfig()
    assert "features" not in plain.document() and "features" not in plain.identity()
    assert config_of({"features": None}, where="a test").fingerprint() == plain.fingerprint()


def test_the_specification_carries_the_declaration_and_both_hosts_read_it(tmp_path: Path) -> None:
    """In the units and the look-back of what differs between names; ranks follow, the calendar stays as it is."""
    shape = EQUITIES_XS.treated(BOTH)
    assert shape.spec[0] == ("momentum_5", "ratio; winsorised at 2.0 sd; half-life 3", 5 + HALF_LIVES * 3 - 1)
    assert dict((name, rest) for name, *rest in shape.spec)["day_of_week_sin"] == ["ratio", 1]
    assert dict((name, rest) for name, *rest in shape.spec)["rank_momentum_5"] == ["rank", 22]
    assert shape.names == EQUITIES_XS.names and shape.spec_hash != EQUITIES_XS.spec_hash
    assert specs(shape.spec)["equities_xs"] == shape.spec and EQUITIES_XS.shaped_as(shape.spec).treatment == BOTH
    config = ApplianceConfig(stores=StoresConfig(data=tmp_path, bundles=tmp_path))
    policy = slot_policy(Slot("equities_xs"), date(2025, 1, 2), config, xnys(date(2024, 1, 2), date(2026, 1, 2)))
    assert policy.shapes["equities_xs"](shape.spec) == shape.spec
    wide = EQUITIES_XS.treated(BOTH).given(("sector_code", "shares"))
    assert EQUITIES_XS.shaped_as(wide.spec).spec == wide.spec != shape.spec


@pytest.mark.parametrize(
    "words",
    [
        "; winsorised at -2.0 sd",
        "; winsorised at two sd",
        "; winsorised at 2.0 sd; half-life 0",
        "; winsorised at 2.00 sd",
        "; half-life 3; winsorised at 2.0 sd",
        "; winsorised at nan sd",
        "; half-life 500",
    ],
)
def test_a_bundle_whose_units_declare_what_cannot_be_done_is_of_no_shape(words: str) -> None:
    spec = tuple(
        (name, units.split(";")[0] + (words if ";" in units else ""), look) for name, units, look in EQUITIES_XS.treated(BOTH).spec
    )
    assert EQUITIES_XS.shaped_as(spec) is EQUITIES_XS


def test_other_look_backs_than_the_declaration_has_are_of_no_shape() -> None:
    spec = EQUITIES_XS.treated(BOTH).spec
    assert EQUITIES_XS.shaped_as(((*spec[0][:2], 1), *spec[1:])) is EQUITIES_XS


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({}, "leave it out for neither"),
        ({"winsorise_sd": 3, "winsorise_quantile": 0.01}, "not at both"),
        ({"winsorise_sd": 0.5}, "winsorise_sd is from 1 to 10"),
        ({"winsorise_quantile": 0.5}, "winsorise_quantile is from 0.0001 to 0.25"),
        ({"winsorise_sd": math.nan}, "winsorise_sd is from 1 to 10"),
        ({"half_life_sessions": 21}, "half_life_sessions is from 1 to 20"),
        ({"half_life_sessions": 2.5}, "features.half_life_sessions"),
        ({"winsorise_sd": True}, "features.winsorise_sd"),
        ({"half_life_sessions": True}, "features.half_life_sessions"),
        ({"half_life": 5}, "unknown key features.half_life"),
    ],
)
def test_a_recipe_that_declares_what_cannot_be_done_is_refused(section: dict[str, float], sentence: str) -> None:
    with pytest.raises(BadConfig, match=sentence):
        config_of({"features": section}, where="a recipe")


@pytest.mark.parametrize("sleeve", ["patterns", "bars", "events"])
def test_pictures_minutes_and_events_are_never_treated(sleeve: str) -> None:
    own = recipe_named(sleeve)
    treated = own.config.model_copy(update={"features": BOTH})
    with pytest.raises(BadConfig, match="takes its features as they are"):
        agreed(own, treated)


def test_a_treated_panel_has_treated_values_and_untreated_sessions_of_the_week() -> None:
    bars = synthetic_bars(4, sessions=320, symbols=30)
    shape = EQUITIES_XS.treated(Treatment(winsorise_sd=1.5))
    plain, found = EQUITIES_XS.panel(bars), shape.panel(bars)
    column = found.names.index("zscore_20")
    wanted = Treatment(winsorise_sd=1.5).applied(plain.values[:, :, column], bars.eligible)
    np.testing.assert_array_equal(found.values[:, :, column], wanted)
    assert (np.nan_to_num(plain.values[-1, :, column]) != np.nan_to_num(wanted[-1])).any()
    week = found.names.index("day_of_week_sin")
    np.testing.assert_array_equal(found.values[:, :, week], plain.values[:, :, week])


def test_the_device_measures_drift_over_the_very_values_that_the_reference_is_of() -> None:
    """From the bars that it reads for a window, the treated features are the trained panel's, and their drift is the same."""
    bars = synthetic_bars(9, sessions=330, symbols=25, missing=0.02)
    shape = EQUITIES_XS.treated(BOTH)
    panel = shape.panel(bars)
    limits = reference(panel, np.where(panel.eligible, 0.0, NAN))
    read = bars.until(bars.asof, shape.lookback_sessions + WINDOW_SESSIONS - 1)
    assert trailing_psi(limits, shape.panel(read), []).features == trailing_psi(limits, panel, []).features


def test_no_other_sleeve_is_changed_by_the_choice() -> None:
    assert all(sleeve.treatment is None for sleeve in SLEEVES.values()) and PATTERNS.treated(BOTH) is PATTERNS
    assert replace(EQUITIES_XS.treated(BOTH), treatment=None).spec == EQUITIES_XS.treated(BOTH).spec


class Strangers(Sleeve):
    """Of an installed package: its panel is its own, whatever a recipe declares."""

    def panel(self, bars: Bars) -> FeaturePanel:
        return replace(EQUITIES_XS.panel(bars), names=self.names)


def test_a_class_that_computes_its_own_panel_is_never_said_to_be_treated() -> None:
    """Neither trained so nor accepted on a device: no shape of it has a specification that declares what it does not do."""
    own = Strangers("equities_xs", EQUITIES_XS.inputs, EQUITIES_XS.table, EQUITIES_XS.horizon_sessions)
    assert own.spec == EQUITIES_XS.spec and own.treated(BOTH) is own
    assert own.shaped_as(EQUITIES_XS.treated(BOTH).spec) is own
    recipe = recipe_named("equities_xs")
    with pytest.raises(BadConfig, match="takes its features as they are"):
        agreed(replace(recipe, sleeve=own), recipe.config.model_copy(update={"features": BOTH}))


def test_a_class_that_treats_its_own_panel_says_so_itself() -> None:
    class Treating(Strangers):
        def treated(self, treatment: Treatment | None) -> Sleeve:
            table = self.table if treatment is None else tuple(treatment.of(feature) for feature in self.table)
            return replace(self, table=table, treatment=treatment)

    own = Treating("equities_xs", EQUITIES_XS.inputs, EQUITIES_XS.table, EQUITIES_XS.horizon_sessions)
    assert own.shaped_as(EQUITIES_XS.treated(BOTH).spec).treatment == BOTH
