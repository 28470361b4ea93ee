"""Forecasts of volatility are promoted by bars of their own, and published."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fakes.curated import curate
from tests.fakes.promotion import CHALLENGER
from trainer.__main__ import app
from trainer.promotion.bars.config import Case, PromotionConfig, PromotionVerdict, VolatilityBars
from trainer.promotion.bars.judge import is_worth_opening, judge
from trainer.promotion.champions import audit
from trainer.search import trial_log

MEAN = {"mean": 0.05, "standard_error": 0.01, "t": 5.0, "sessions": 600}
BARS = PromotionConfig()
RECIPE = """
label: {horizons: [5], drawdown_sessions: 10}
lightgbm: {trees: 10, num_leaves: 4, min_data_in_leaf: 50, learning_rate: 0.2}
cpcv: {groups: 4, test_groups: 2, embargo_sessions: 5, holdout_sessions: 40}
"""
LOOSE = """
promotion:
  min_sessions: 60
  champion_sessions: 40
  max_best_of_all_p: 1.0
  volatility: {min_qlike_t: -50, max_band_miss: 0.9, max_variance_ratio: 5}
"""


def forecast(**changes: Any) -> Case:
    """A case of forecasts that clears every bar; `changes` are made in the figures of its horizon."""
    document = deepcopy(CHALLENGER)
    own = {"horizon": 5, "own": "lightgbm", "advantage": {"har": MEAN, "ewma": MEAN}, "coverage": {"mean": 0.91}, "bias": 1.1}
    document["evidence"] |= {
        "label": "volatility",
        "horizon": 5,
        "volatility": [own | changes],
        "drawdown": {"level": 0.95, "coverage": {"mean": 0.94}},
        "interval": 0.9,
    }
    document["searched_under"] = [BARS.fingerprint()]
    days = [f"20{year}-{month:02d}-{day:02d}" for year in (20, 21) for month in range(1, 13) for day in range(1, 26)]
    document["measured"]["walk_forward"] = {"sessions": 600, "series": {"sessions": days, "net": [0.1, 0.2] * 300}}
    document["trials"] = {"n_trials": 1, "max_t": {"p": 0.001}}
    document["holdout"] = sealed([0.1, 0.2, 0.3])
    document["seen"] = {"openings": 0, "looks": 0}
    return Case.of(document)


def sealed(net: list[float]) -> dict[str, Any]:
    nothing = dict.fromkeys(("annual_sharpe", "sharpe", "skewness", "kurtosis"))
    days = [f"2024-01-{day:02d}" for day in range(1, len(net) + 1)]
    return {"sessions": len(net), **nothing, "series": {"sessions": days, "net": net}}


def failed(case: Case, bars: PromotionConfig = BARS) -> list[str]:
    return [row.bar for row in judge(case, bars).failed]


def test_forecasts_that_clear_every_bar_are_promoted_and_no_bar_on_a_book_is_asked() -> None:
    verdict = judge(forecast(), BARS)
    assert verdict.is_promoted, verdict.refusal
    asked = [row.bar for row in verdict.rows]
    assert asked[-6:-1] == ["QLIKE against HAR", "QLIKE against EWMA", "band", "drawdown quantile", "variance"]
    assert not {"net Sharpe", "DSR", "PBO", "turnover", "decile order"} & set(asked)


@pytest.mark.parametrize(
    ("changes", "bar"),
    [
        ({"advantage": {"har": MEAN | {"t": 1.6}, "ewma": MEAN}}, "QLIKE against HAR"),
        ({"advantage": {"har": MEAN, "ewma": MEAN | {"t": 1.6}}}, "QLIKE against EWMA"),
        ({"advantage": {}}, "QLIKE against EWMA"),
        ({"coverage": {"mean": 0.84}}, "band"),
        ({"coverage": {"mean": 0.96}}, "band"),
        ({"coverage": {"mean": None}}, "band"),
        ({"bias": 1.3}, "variance"),
        ({"bias": 0.7}, "variance"),
        ({"bias": None}, "variance"),
        ({"horizon": 21}, "variance"),
    ],
)
def test_each_bar_refuses_what_it_is_for_and_what_has_no_evidence(changes: dict[str, Any], bar: str) -> None:
    assert bar in failed(forecast(**changes))


def test_har_itself_need_not_be_better_than_har() -> None:
    assert failed(forecast(own="har", advantage={"ewma": MEAN})) == []


def test_a_seal_that_shows_a_loss_refuses_and_one_that_was_seen_before_asks_for_more() -> None:
    case = forecast()
    spoiled = Case.of({**_document(case), "holdout": sealed([-0.1, 0.05, -0.2])})
    assert failed(spoiled) == ["holdout"]
    little = {**_document(case), "holdout": sealed([0.1, -0.05, 0.02])}
    once, often = (Case.of({**little, "seen": {"openings": count, "looks": 0}}) for count in (0, 30))
    assert failed(once) == [] and failed(often) == ["holdout"]
    assert failed(Case.of({**_document(case), "holdout": None})) == ["holdout"] and is_worth_opening(case, BARS)


def test_a_challenger_must_forecast_better_than_the_champion_on_common_sessions() -> None:
    document = _document(forecast())
    series = document["measured"]["walk_forward"]["series"]
    worse, better = ({**series, "net": [gain + step for gain in series["net"]]} for step in (-0.05, 0.05))
    for theirs, expected in ((worse, []), (better, ["champion"])):
        rival = {"version": "1.0.0", "series": theirs, "challengers": 1}
        assert failed(Case.of({**document, "champion": rival})) == expected


def test_bars_of_forecasts_at_their_defaults_leave_the_hash_of_the_others_alone() -> None:
    """A run that was trained before they existed was trained under these bars."""
    plain = PromotionConfig.hash_of(BARS.model_dump(mode="json", exclude={"volatility"}))
    assert BARS.fingerprint() == plain
    assert PromotionConfig(volatility=VolatilityBars(max_band_miss=0.1)).fingerprint() != plain


def _document(case: Case) -> dict[str, Any]:
    from signals.text.documents import to_json

    document: dict[str, Any] = to_json(case)
    return document


def call(*words: str, exits: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*words, "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exits, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_a_training_of_forecasts_is_a_trial_is_promoted_and_published_as_champion(tmp_path: Path) -> None:
    """From the command line: refused under bars that it does not meet, promoted under loose ones, and verified again."""
    data, recipe, loose, strict = curate(tmp_path), tmp_path / "risk.yml", tmp_path / "loose.yml", tmp_path / "strict.yml"
    recipe.write_text(RECIPE)
    loose.write_text(LOOSE)
    strict.write_text(LOOSE.replace("min_qlike_t: -50", "min_qlike_t: 50"))
    registry, keys = str(tmp_path / "registry"), str(tmp_path / "keys")
    for bars in (strict, loose):
        run = tmp_path / f"run-{bars.stem}"
        words = ("--data", str(data), "--run", str(run), "--bars", str(bars))
        known = call("train", "--sleeve", "risk", "--config", str(recipe), "--workers", "1", *words)
        assert known["trials"]["n_trials"] >= 1 and known["trials"]["sharpe"] is None
        answered = ("--waive", "a market that was generated", "--by", "Ada")
        found = call("promote", *words, *answered, "--registry", registry, exits=int(bars is strict))
        assert found["event"] == ("promoted" if bars is loose else "refused"), found["why"]
    assert "QLIKE against EWMA" in found["why"] or found["event"] == "promoted"
    assert PromotionVerdict.of(found).is_promoted and audit(tmp_path / "registry").earlier == ()
    assert any(trial.net.size for study in trial_log.read(data).studies.values() for trial in study.trials)
    call("keys", "--to", keys)
    where = ("--keys", keys, "--to", str(tmp_path / "store"), "--registry", registry)
    published = call("publish", "--run", str(run), "--role", "champion", *where)
    assert published["role"] == "champion"
    [path] = (tmp_path / "store").glob("risk/champion/*/manifest.json")
    manifest = json.loads(path.read_bytes())
    heads = [line["name"] for line in manifest["heads"]]
    assert heads == ["score", "volatility_5_low", "volatility_5_high", "drawdown_10"]
    assert len(manifest["promotion"]["model_sha256"]) == len(heads), "the verdict was given on every model"
