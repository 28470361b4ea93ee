"""The gate of events: a planted drift is found, noise is not, and a forecast of volatility is called one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import yaml
from sklearn.metrics import precision_recall_curve, precision_score, roc_auc_score
from typer.testing import CliRunner

from signals.sleeves.events import EVENTS, event_figures
from signals.text.documents import to_json
from tests.fakes import curated
from tests.fakes.bars import synthetic_bars
from tests.fakes.event_market import expected_r, judged, panel
from trainer.__main__ import app
from trainer.runs.evidence import Evidence
from trainer.samples.samples import samples
from trainer.tasks.event_gate import (
    EVENT_GATE,
    EventTrades,
    GateFigures,
    GateRecipe,
    by_regime,
    direction_bar,
    gate_figures,
    net_bar,
    precision_at,
    tails,
    taken,
    trades_of,
    warnings,
)
from trainer.tasks.events import played
from trainer.validation.clustered import auc, interval, low, per_event
from trainer.validation.ic import Mean

NAMES, SESSIONS = 100, 800


def trades(rng: np.random.Generator, n: int, skill: np.ndarray, time_share: float = 0.0) -> EventTrades:
    """Trades of n events, eight a session, whose target comes first with probability 1/2 + skill."""
    target = rng.random(n) < 0.5 + skill
    ended = rng.random(n) < time_share
    realised = np.where(ended, 0.0, np.where(target, 1.0, -1.0))
    session = np.arange(n) // 8
    return EventTrades(session, session, np.arange(n) % 40, target & ~ended, ~target & ~ended, realised, np.full(n, 0.05))


def case(**figures: Any) -> Any:
    return SimpleNamespace(evidence=replace(Evidence(), others={"gate": figures}))


def test_the_area_is_that_of_the_library_ties_included_and_its_error_that_of_redrawn_sessions() -> None:
    rng = np.random.default_rng(3)
    found, errors = [], []
    for _ in range(300):
        shock = np.repeat(rng.normal(0.0, 0.25, 100), 8)
        came = rng.random(800) < 0.5 + np.clip(shock, -0.45, 0.45)
        score = np.round(rng.standard_normal(800) + 0.5 * np.repeat(rng.standard_normal(100), 8), 1)
        one = auc(score, came, np.arange(800) // 8, np.arange(800) // 8)
        assert one.mean == pytest.approx(roc_auc_score(came, score), abs=1e-12)
        found.append(one.mean)
        errors.append(one.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.2)
    assert np.isnan(auc(np.ones(4), np.ones(4, bool), np.arange(4), np.arange(4)).mean)


def test_one_observation_a_session_gives_the_plain_error_of_a_mean() -> None:
    values = np.random.default_rng(1).standard_normal(4000)
    found = per_event(values, np.arange(4000), np.arange(4000))
    assert (found.mean, found.standard_error) == (pytest.approx(values.mean()), pytest.approx(1 / np.sqrt(4000), rel=0.1))


@pytest.mark.parametrize("life", [1, 20, 40])
def test_a_score_that_knows_nothing_passes_no_oftener_than_one_in_twenty_whatever_trades_live(life: int) -> None:
    """Every trade of a session is a bet on the market's moves of the `life` sessions after it, and scores last as long as in a trend."""
    rng, sessions = np.random.default_rng(4), np.arange(600)
    t, missed, z = [], [], rng.standard_normal((400, 600))
    for at in range(1, 600):
        z[:, at] += 0.95 * z[:, at - 1]
    for score in z:
        came = np.convolve(rng.standard_normal(600 + life), np.ones(life), "valid")[:600]
        t.append(auc(score, came > 0.0, sessions, sessions + life).t)
        missed.append(per_event(came, sessions, sessions + life).t)
    assert np.mean(np.array(t) > 1.96) <= 0.05
    assert np.mean(np.abs(missed) > 1.96) <= 0.08


def test_trades_that_live_for_a_third_of_the_sessions_have_no_interval_and_pass_no_bar() -> None:
    values, session = np.ones(90) + np.arange(90) % 2, np.arange(90)
    short, long = (per_event(values, session, session + life) for life in (29, 30))
    assert np.isfinite(short.standard_error) and np.isnan(long.standard_error) and long.mean == short.mean == 1.5
    assert interval(long) == "1.500 (too few sessions for an interval)" and not low(long) > 0.0


def test_a_score_of_volatility_is_called_a_volatility_forecast_and_one_of_direction_is_not() -> None:
    """The share of trades that time ends falls with the first score: it ranks both labels; the second one ranks direction."""
    rng = np.random.default_rng(5)
    wild = rng.random(8000)
    hit = rng.random(8000) < wild
    target = rng.random(8000) < 0.5
    realised = np.where(hit, np.where(target, 1.0, -1.0), 0.0)
    session = np.arange(8000) // 8
    made = EventTrades(session, session, np.arange(8000) % 40, hit & target, hit & ~target, realised, np.full(8000, 0.05))
    found = gate_figures(wild, made, 1.0)
    assert found.auc.mean > 0.6 and found.is_volatility
    real = GateFigures(auc=Mean(0.686), mirrored=Mean(0.722))  # the mirrored label ranked better still, as on bars of 5 minutes
    assert real.is_volatility and not replace(real, auc=Mean(0.278)).is_volatility and not replace(real, mirrored=Mean(0.6)).is_volatility
    assert any(one.startswith("a volatility forecast") for one in warnings(found)) and any("coin" in one for one in warnings(found))
    skill = 0.2 * rng.standard_normal(8000).clip(-2, 2)
    able = gate_figures(skill, trades(rng, 8000, skill), 1.0)
    assert not able.is_volatility and warnings(able) == [] and able.mirrored.mean == pytest.approx(1 - able.auc.mean)


def test_precision_at_k_is_the_mean_over_groups_of_the_best_of_each() -> None:
    """Best two of group 7: one target of two, of its three events one; of group 9: both, of four three. Group 8 has no choice of two."""
    group = np.array([7, 9, 7, 9, 8, 7, 9, 8, 9])
    score = np.array([0.9, 0.1, 0.8, 0.6, 0.5, 0.2, 0.7, 0.4, 0.3])
    target = np.array([1, 0, 0, 1, 1, 0, 1, 1, 1], bool)
    found = precision_at(2, score, target, group)
    assert (found.k, found.groups) == (2, 2)
    assert (found.share, found.base) == (pytest.approx((0.5 + 1.0) / 2.0), pytest.approx((1.0 / 3.0 + 0.75) / 2.0))
    assert precision_at(4, score, target, group).groups == 0 and np.isnan(precision_at(4, score, target, group).share)


def test_precision_and_recall_are_those_of_the_library_and_net_r_rises_with_the_threshold_of_a_score_that_knows() -> None:
    rng = np.random.default_rng(9)
    skill = 0.2 * rng.standard_normal(8000).clip(-2, 2)
    made = trades(rng, 8000, skill)
    found = gate_figures(skill, made, 1.0)
    precision, recall, _ = precision_recall_curve(made.target, skill)
    assert found.precision_recall == pytest.approx(-np.sum(np.diff(recall) * precision[:-1]))
    assert found.base_rate == pytest.approx(made.target.mean())
    for one, group in ((found.by_session, made.session), (found.by_symbol, made.symbol)):
        best = [
            precision_score(made.target[at], skill[at] >= np.sort(skill[at])[-one.k]) for at in (group == each for each in np.unique(group))
        ]
        assert (one.groups, one.share) == (len(best), pytest.approx(np.mean(best)))
    later = made.session >= 500
    for one, share in zip(found.thresholds, (0.5, 0.2, 0.1, 0.05), strict=True):
        top = later & (skill >= np.quantile(skill[later], 1.0 - share))
        assert (one.events, one.net_r.mean) == (top.sum(), pytest.approx(made.realised_r[top].mean() - 0.05))
    assert all(a.net_r.mean < b.net_r.mean for a, b in zip(found.thresholds, found.thresholds[1:], strict=False))
    one_sided = gate_figures(skill, replace(made, target=np.zeros(8000, bool)), 1.0)
    assert one_sided.thresholds == () and np.isnan(one_sided.precision_recall)


def test_the_bars_ask_for_direction_and_net_r_by_their_lower_bounds_and_for_evidence() -> None:
    def figure(mean: float, error: float) -> dict[str, Any]:
        return cast("dict[str, Any]", to_json(Mean(mean, error, mean / error, 100)))

    for bar, name, good, bad in ((direction_bar, "direction", 0.56, 0.53), (net_bar, "net_r", 0.05, 0.03)):
        assert bar(case(**{name: figure(good, 0.02)}), cast("Any", None)).passed
        assert not bar(case(**{name: figure(bad, 0.02)}), cast("Any", None)).passed
        assert bar(case(), cast("Any", None)).why == "no evidence"


def test_labels_and_trades_are_those_of_the_played_outcomes() -> None:
    bars, config = synthetic_bars(11, sessions=200, symbols=20), GateRecipe()
    labels = EVENT_GATE.labels(bars, config, ())
    table, (made,) = played(bars, (), config.label.rules)
    known = made.t1 >= 0
    assert (labels.ends >= 0).sum() == known.sum() > 200
    np.testing.assert_array_equal(labels.values[table.row[known], table.column[known]], made.realised_r[known])
    won = labels.target[table.row[known], table.column[known]]  # type: ignore[index]
    assert ((won == 1.0) <= (made.realised_r[known] > 0)).all() and 0.2 < won.mean() < 0.8
    figures = event_figures(bars)
    assert set(figures) == set(EVENTS.joined)
    short = event_figures(bars.rows(0, 150))
    for name, values in figures.items():
        np.testing.assert_allclose(short[name], values[:150], rtol=1e-9, err_msg=name)  # nothing from ahead


def test_a_planted_drift_is_found_and_is_worth_what_the_gate_says_and_noise_is_not_promotable() -> None:
    """A small slice of `make events-campaign`."""
    market, other = (judged(seed, NAMES, SESSIONS, 0.6) for seed in (1, 2))
    found = gate_figures(market.score, market.trades, 1.0)
    oracle = market.direction(market.edge)
    assert oracle.mean > 0.6
    assert (found.direction.mean - 0.5) / (oracle.mean - 0.5) > 0.75
    _, chosen, _ = taken(market.score, market.trades, 1.0)
    worth = (expected_r(other, market.edge) - market.trades.cost_r)[chosen].mean()
    assert abs(found.net_r.mean - worth) < 2.5 * found.net_r.standard_error and found.net_r.mean > 0.0
    noise = judged(1, NAMES, SESSIONS, 0.0)
    nothing = gate_figures(noise.score, noise.trades, 1.0)
    assert not nothing.direction.mean - 1.96 * nothing.direction.standard_error > 0.5


def test_without_a_drift_the_generated_market_is_the_same_and_with_it_breakouts_tell() -> None:
    """The drift is nothing but after closes beyond 20 sessions, and the seed's other draws stay."""
    plain, none = panel(4, 20, 200, 0.0)
    same, _ = panel(4, 20, 200, 0.0)
    told, edge = panel(4, 20, 200, 0.5)
    np.testing.assert_array_equal(plain.close, same.close)
    assert not none.any() and (edge != 0.0).sum() > 20
    first = np.flatnonzero((edge != 0.0).any(axis=1))[0]
    np.testing.assert_array_equal(plain.close[: first + 1], told.close[: first + 1])
    assert not np.array_equal(plain.close[first + 1], told.close[first + 1])


def test_costs_are_in_units_of_the_stop() -> None:
    """10 bps of value where the stop is at 2 % are 0.05 R."""
    bars, config = synthetic_bars(11, sessions=200, symbols=20), GateRecipe()
    beside = replace(bars, joined=event_figures(bars))
    rows = samples(EVENTS.panel(beside), EVENT_GATE.labels(bars, config, ()), min_names=1)
    found = trades_of(rows, bars, config.label, ())
    share = np.exp(beside.joined["event_atr"][rows.t0, rows.column])
    np.testing.assert_allclose(found.cost_r, 0.001 / share)
    np.testing.assert_array_equal(found.realised_r, rows.label)
    np.testing.assert_array_equal((found.session, found.ends), (rows.t0, rows.t1))


def test_the_map_of_a_gate_knows_nothing_of_trades_that_were_under_way_at_the_first_judged_session() -> None:
    """Outcomes of trades of sessions 70 to 99 that end 30 sessions later may be anything: the map that judges session 100 is the same."""
    rng = np.random.default_rng(0)
    score, made = rng.standard_normal(1600), trades(rng, 1600, np.zeros(1600))
    made = replace(made, ends=made.session + 30)
    under_way = (made.session >= 70) & (made.session < 100)
    other = replace(made, target=made.target | under_way)
    (later, chosen, said), (_, others, same) = (taken(score, one, 1.0) for one in (made, other))
    assert np.flatnonzero(later)[0] == 800
    np.testing.assert_array_equal(said, same)
    np.testing.assert_array_equal(chosen, others)
    _, _, learned = taken(score, replace(made, target=made.target | (made.session < 70)), 1.0)
    assert learned is None, "those that had ended are learned from: of one outcome alone there is no map"


def test_the_tail_of_a_kind_is_that_of_its_own_trades_and_sizes_by_its_budget() -> None:
    """Exponential losses beyond 1 R with mean 0.5: ES at 95 % is 1 + 0.5 (ln 20 + 1); few trades are averaged."""
    rng = np.random.default_rng(2)
    losses = 1.0 + rng.exponential(0.5, 40_000)
    few = np.arange(20, dtype=np.float64)
    flag, wick = tails(np.r_[np.full(40_000, 1.0), np.full(20, 4.0)], -np.r_[losses, few])
    assert (flag.kind, flag.trades, flag.method) == ("flag", 40_000, "evt")
    assert flag.es_r == pytest.approx(1.0 + 0.5 * (np.log(20.0) + 1.0), rel=0.03)
    assert (wick.kind, wick.trades, wick.method, wick.es_r) == ("wick", 20, "historical", pytest.approx(19.0))
    evidence = replace(Evidence(), others={"gate": to_json(GateFigures()), "tails": to_json((wick, replace(wick, es_r=-1.0)))})
    (_, sized), (_, unsized) = EVENT_GATE.lines(evidence)[-2:]
    assert "risks 0.05 % to the stop" in sized and "risks 0.00 %" in unsized


def test_direction_by_regime_is_that_of_the_sessions_that_were_of_it() -> None:
    """A score that knows the side in wild sessions only: its skill is there, and there alone."""
    rng = np.random.default_rng(8)
    wild = np.arange(1200) // 150 % 2 == 1
    market = rng.standard_normal(1200) * np.where(wild, 0.03, 0.005)
    session = np.repeat(np.arange(300, 1200), 8)
    skill = np.where(wild[session], 0.3, 0.0) * np.sign(rng.standard_normal(len(session)))
    target = rng.random(len(session)) < 0.5 + skill
    made = EventTrades(session, session, np.zeros_like(session), target, ~target, np.where(target, 1.0, -1.0), np.zeros(len(session)))
    found = {one.regime: one.ic for one in by_regime(skill + 1e-9 * rng.random(len(skill)), made, market)}
    assert all((ic.mean > 0.15) == name.startswith("wild") for name, ic in found.items()) and len(found) >= 3


def test_a_training_of_the_sleeve_prints_what_the_gate_is_judged_by_and_keeps_it_as_evidence(tmp_path: Path) -> None:
    data, run, config = curated.curate(tmp_path / "data"), tmp_path / "run", tmp_path / "recipe.yml"
    trees = {"objective": "regression", "trees": 20, "num_leaves": 7, "min_data_in_leaf": 30}
    cpcv = {"groups": 4, "test_groups": 1, "embargo_sessions": 2, "holdout_sessions": 40}
    space = {"startup_trials": 2, "lightgbm": {"num_leaves": [3, 7], "min_child_weight": [1, 10]}}
    config.write_text(yaml.safe_dump({"label": {"kind": "event_gate"}, "lightgbm": trees, "cpcv": cpcv, "search": space}))
    asked = ["train", "--sleeve", "events", "--data", str(data), "--run", str(run), "--config", str(config), "--trials", "2"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    for line in (
        "AUC of target first",
        "AUC of the same score on the mirrored label",
        "Direction, given",
        "Precision and recall, area",
        "Precision at 3 of a session",
        "Precision at 10 of a symbol",
        "Net R from a probability of",
        "Reliability",
        "Net R an event",
        "Rows wanted and present",
        "2,000,000 and ",
        "Events by third of liquidity",
        "Worst 5 % of breakout trades",
        "a budget of 1 % of equity for them risks",
        "Searched by",
        "Verdict of the search",
    ):
        assert line in done.output and line in (run / "report.md").read_text()
    known = json.loads((run / "evidence.json").read_text())
    gate = known["gate"] if "gate" in known else known["others"]["gate"]
    metrics, features = json.loads((run / "metrics.json").read_text()), json.loads((run / "feature_list.json").read_text())
    assert metrics == known["metrics"] and metrics["schema_version"] == features["spec_hash"] == known["spec_hash"]
    assert metrics["classes"] == {"0": f"not: {known['calibration']['event']}", "1": known["calibration"]["event"]}
    assert metrics["calibration"]["platt"] == known["calibration"]["platt"]
    assert metrics["ranges"]["event_side"] == [-1.0, 1.0] and set(metrics["ranges"]) == {row["name"] for row in features["features"]}
    assert known["search"]["n_trials"] == known["trials"]["n_trials"] == 2 and known["search"]["metric"].startswith("AUC of target")
    assert gate["taken"] > 0 and 0.3 < gate["auc"]["mean"] < 0.7 and known["calibration"]["event"] == "the target is met before the stop"
