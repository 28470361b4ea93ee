"""The task of hedged profits: a planted premium is found, none where there is none, and caps and evidence are asked for."""

from __future__ import annotations

from dataclasses import asdict, replace
from decimal import Decimal

import numpy as np
import pytest

from signals.errors import DataNotUsable, TooLittleHistory
from signals.features.panel import FeaturePanel
from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars
from signals.market.sessions import SessionStatus
from tests.fakes.bars import synthetic_bars
from tests.test_trainer.options.test_surfaces import real
from trainer.labels.horizon import horizon_labels
from trainer.options.curation import audit_chain
from trainer.options.positions import OUTCOMES, VegaCaps, of_evenings
from trainer.options.surface import surface_of
from trainer.promotion.bars.config import Case, PromotionConfig
from trainer.promotion.measured import Measured
from trainer.runs.evidence import Evidence
from trainer.samples.samples import Samples, samples
from trainer.tasks.hedged_pnl import HEDGED_PNL, MOST_POINTS, HedgedLabel, HedgedRecipe, positions_of, template_figures, vega_used
from trainer.validation.calibration import Platt

SESSIONS, NAMES, COST = 400, 14, 0.8
OWN = HedgedRecipe(label=HedgedLabel(min_sessions=300))


def market(seed: int, premium: float) -> tuple[Bars, np.ndarray]:
    """Bars with outcomes of every template and horizon: `premium` times a state, and noise of 3 points."""
    bars = synthetic_bars(seed, sessions=SESSIONS, symbols=NAMES, missing=0.0)
    rng = np.random.default_rng(seed + 100)
    state = rng.standard_normal(bars.close.shape)
    beside = {name: np.full(state.shape, COST) for name in OUTCOMES if "cost" in name}
    beside |= {name: premium * state + 3.0 * rng.standard_normal(state.shape) for name in OUTCOMES if name not in beside}
    return replace(bars, joined=beside), state


def rows_of(bars: Bars, state: np.ndarray) -> Samples:
    panel = FeaturePanel(bars.sessions, bars.symbols, ("state",), state[..., None].astype(np.float32), bars.eligible)
    return samples(panel, HEDGED_PNL.labels(bars, OWN, ()), min_names=HEDGED_PNL.min_names)


def test_a_planted_premium_is_found_and_none_where_there_is_none() -> None:
    """Forecasts of 1.5 points per state: with the premium the bound is above 0 and the map beats the base rate; without it is not."""
    for seed in range(4):
        for premium in (1.5, 0.0):
            bars, state = market(seed, premium)
            rows = rows_of(bars, state)
            forward = 1.5 * state[rows.t0, rows.column]
            for template in ("straddle", "vertical", "calendar"):
                found, series = template_figures(rows, forward, bars, template, 5)
                assert found.trades > 1_000 and np.isfinite(series).sum() > 300
                assert (found.bound > 0.0) == (premium > 0.0), (seed, template, found)
                assert found.gross.mean - found.net.mean == pytest.approx(COST)
                if premium:
                    assert found.said_brier < found.base_brier
                    low, high = Platt(found.slope, found.intercept).probability(np.array([0.9, 3.0]))
                    assert high > low


def test_nothing_is_traded_that_does_not_pay_its_spreads() -> None:
    bars, state = market(1, 1.5)
    rows = rows_of(bars, state)
    found, _ = template_figures(rows, np.full(len(rows), 0.5 * COST), bars, "straddle", 5)
    assert found.trades == 0 and not found.bound > 0.0


def test_the_straddle_is_learned_and_the_underliers_return_is_what_ranks() -> None:
    """Extreme profits are limited in what is learned; a label ends with its position; too few sessions are refused in words."""
    bars, _ = market(2, 1.5)
    wild = bars.joined["straddle_5"].copy()
    wild[50, 3] = 500.0
    bars = replace(bars, joined={**bars.joined, "straddle_5": wild})
    labels = HEDGED_PNL.labels(bars, OWN, ())
    assert labels.target is not None and np.nanmax(labels.target) == MOST_POINTS
    rows, columns = np.nonzero(labels.ends >= 0)
    assert (labels.ends[rows, columns] >= rows + 6).all() and np.nanmax(np.abs(labels.values)) < 1.0
    with pytest.raises(TooLittleHistory, match="no evidence of a premium; 504 are asked for"):
        HEDGED_PNL.labels(bars, HedgedRecipe(), ())
    with pytest.raises(DataNotUsable, match="no outcomes of options"):
        HEDGED_PNL.labels(synthetic_bars(1), OWN, ())


def test_a_name_that_is_worth_nothing_next_week_is_scored_until_then_and_not_learned_from() -> None:
    """Its last bar is that of row 300, its chain ends with it: outcomes of five sessions from row 295 on are not known."""
    bars, state = market(1, 1.5)
    last, name, k = 300, 3, 5
    after = (np.arange(SESSIONS)[:, None] > last) & (np.arange(NAMES) == name)
    fields = ("open", "high", "low", "close", "volume", "total_return", "overnight_return")
    joined = {key: values.copy() for key, values in bars.joined.items()}
    for values in joined.values():
        values[last - k :, name] = np.nan
    gone = {field: np.where(after, np.nan, getattr(bars, field)) for field in fields}
    bars = replace(bars, **gone, eligible=bars.eligible & ~after, joined=joined)
    day = bars.sessions[last + 1].astype(object)
    ended = (Action(ActionKind.DELISTING, bars.symbols[name], day, day, cash=Decimal(0)),)
    labels, plain = HEDGED_PNL.labels(bars, OWN, ended), horizon_labels(bars, k, delistings=ended)
    np.testing.assert_array_equal(labels.values, plain.values)
    panel = FeaturePanel(bars.sessions, bars.symbols, ("state",), state[..., None].astype(np.float32), bars.eligible)
    rows = samples(panel, labels, min_names=HEDGED_PNL.min_names)
    own = rows.column == name
    assert rows.t0[own].max() == last - 1 and rows.label[own][-1] == -1.0, "entered at the last bar, and all is lost"
    np.testing.assert_array_equal(rows.weight[own] == 0.0, rows.t0[own] >= last - k)
    a_session = np.bincount(rows.t0, rows.weight)[rows.t0.min() :]
    np.testing.assert_allclose(a_session, a_session[0], rtol=1e-12, err_msg="every session weighs the same")


def test_positions_without_an_outcome_are_counted_and_keep_their_place_in_the_book() -> None:
    bars, state = market(1, 1.5)
    hidden = np.zeros(state.shape, dtype=bool)
    hidden[100:200, :7] = True
    lacking = replace(bars, joined=bars.joined | {"straddle_5": np.where(hidden, np.nan, bars.joined["straddle_5"])})
    rows = rows_of(lacking, state)
    forward = np.full(len(rows), 2.0 * COST)  # every position is taken
    found, _ = template_figures(rows, forward, lacking, "straddle", 5)
    count = int(hidden[rows.t0, rows.column].sum())
    assert found.unknown == count > 600 and found.trades + count == template_figures(rows, forward, bars, "straddle", 5)[0].trades
    np.testing.assert_array_equal(*(positions_of(rows.dense(forward), one, "straddle", 5)[0] for one in (lacking, bars)))
    known = Evidence(label="hedged_pnl", horizon=5, others={"hedged": {"straddle": asdict(found), "vega_used": 1.0}})
    assert f", {count} more without an outcome" in dict(HEDGED_PNL.extra_lines(known))["Hedged straddle, net"]


def test_the_real_days_around_the_crash_of_2018_are_refused_as_evidence_in_words() -> None:
    """38 days of SPXW, through the same audit and surfaces as any: fitted, and no premium is claimed of them."""
    audited = [audit_chain(one) for one in real("options_eod_spxw_2018")]
    chains = [one for one, audit in audited if audit.status is not SessionStatus.RED]
    assert len(chains) == 38
    found = of_evenings([surface_of(one) for one in chains])
    bars = synthetic_bars(1, sessions=len(chains), symbols=1, missing=0.0)
    bars = replace(bars, joined={name: values[:, None] for name, values in found.items()})
    with pytest.raises(TooLittleHistory) as refused:
        HEDGED_PNL.labels(bars, HedgedRecipe(), ())
    said = refused.value.what
    counted = int(np.isfinite(found["straddle_5"]).sum())
    assert said.startswith(f"{counted} sessions of hedged profits are no evidence of a premium; 504 are asked for") and counted < 38
    assert "were it the truth" in said and "of histories" in said


def test_the_book_of_all_cohorts_keeps_its_caps_of_vega() -> None:
    """Five cohorts of any sides, few or many names; a unit's vega never buys more than a cap."""
    caps = VegaCaps(name_usd=100.0, total_usd=500.0)
    rng = np.random.default_rng(3)
    for share in (0.05, 0.5, 1.0):
        sides = np.where(rng.random((60, 20)) < share, 1.0, np.nan)
        assert vega_used(sides, 5, caps) <= 1.0 + 1e-9
    assert caps.units(2.0, 20) == pytest.approx(12.5) and caps.units(-2.0, 1) == pytest.approx(50.0)


@pytest.mark.parametrize(("bound", "used", "passed"), [(0.1, 0.9, [True, True]), (-0.1, 1.0, [False, True]), (0.1, 1.2, [True, False])])
def test_a_promotion_asks_for_the_hedged_bound_and_for_the_caps(bound: float, used: float, passed: list[bool]) -> None:
    bars, state = market(1, 1.5)
    rows = rows_of(bars, state)
    found, _ = template_figures(rows, 1.5 * state[rows.t0, rows.column], bars, "straddle", 5)
    hedged = {"straddle": {**asdict(found), "bound": bound}, "vega_used": used}
    case = Case(Evidence(label="hedged_pnl", horizon=5, others={"hedged": hedged}), Measured())
    assert [bar(case, PromotionConfig()).passed for bar in HEDGED_PNL.bars] == passed
