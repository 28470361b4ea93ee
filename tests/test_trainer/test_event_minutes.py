"""Events of minutes: bars of several names on one axis with the nights taken out, a gate trained by the ordinary command, and no device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from signals.errors import BadConfig
from signals.events.panel import EventBars
from signals.minutes.bars import MinuteBars
from signals.sleeves.events import FIGURES
from trainer.__main__ import app
from trainer.runs.artefacts import BANK
from trainer.runs.evidence import read_evidence
from trainer.samples.intraday import on_one_axis
from trainer.tasks.bar_pattern.task import PatternFigures
from trainer.tasks.event_gate import GateFigures
from trainer.tasks.recipes import agreed, config_of, recipe_named
from trainer.validation.clustered import low

DAYS = np.array(["2025-01-02", "2025-01-03", "2025-01-06"], dtype="datetime64[D]")


def minutes(symbol: str, closes: list[list[float]], held: list[int]) -> MinuteBars:
    """Bars of four minutes a session that open where the one before closed, but for a gap of 10 % at each open."""
    close = np.array(closes)
    opened = np.column_stack([np.concatenate([[100.0], 1.1 * close[:-1, -1]]), close[:, :-1]])
    high, low_ = np.maximum(opened, close), np.minimum(opened, close)
    days, ones = DAYS[held], np.ones(close.shape)
    opens = days.astype("datetime64[m]") + np.timedelta64(14 * 60 + 30, "m")
    overnight = np.where(np.arange(len(days)) > 0, 0.1, np.nan)
    return MinuteBars(symbol, days, opens, np.full(len(days), 4), opened, high, low_, close, ones, ones > 0, overnight)


def test_bars_of_names_stand_on_one_axis_without_their_nights() -> None:
    """By hand: A gains a twentieth in each session, B, which lacks the second, a tenth; nights of a tenth are in no level."""
    a = minutes(
        "A", [[100.0, 100.0, 105.0, 105.0], [115.5, 115.5, 121.275, 121.275], [133.4025, 133.4025, 140.072625, 140.072625]], [0, 1, 2]
    )
    b = minutes("B", [[100.0, 110.0, 110.0, 110.0], [121.0, 133.1, 133.1, 133.1]], [0, 2])
    bars = on_one_axis([a, b], 2)
    assert bars.symbols == ("A", "B") and bars.session[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert bars.sessions[:2].tolist() == [np.datetime64(f"2025-01-02T14:{minute}:00", "s").astype(object) for minute in (32, 34)]
    levels = EventBars.of(bars)
    np.testing.assert_allclose(levels.close[:, 0], [1.0, 1.05, 1.05, 1.05**2, 1.05**2, 1.05**3])
    np.testing.assert_allclose(levels.close[:, 1], [1.0, 1.0, np.nan, np.nan, 1.1, 1.1])
    assert levels.last_row is not None and levels.last_row.tolist() == [1, 1, 3, 3, 5, 5]
    assert not levels.is_broken.any() and bars.eligible[:, 1].tolist() == [True, True, False, False, True, True]


def done(*arguments: str) -> str:
    found = CliRunner().invoke(app, list(arguments))
    assert found.exit_code == 0, found.output
    return found.output


def dataset(folder: Path) -> Path:
    """Minutes of two names with a planted drift, ingested."""
    parts = []
    for seed in (1, 2):
        file = folder / f"{seed}.parquet"
        done("generate-minutes", "--sessions", "90", "--timeframe", "15", "--strength", "3", "--seed", str(seed), "--to", str(file))
        parts.append(pd.read_parquet(file).assign(symbol=f"S{seed}"))
    pd.concat(parts).to_parquet(folder / "minutes.parquet")
    done("ingest", "--minutes", str(folder / "minutes.parquet"), "--calendar", "XNYS", "--to", str(folder / "data"))
    return folder / "data"


def trained(folder: Path, sleeve: str, recipe: str, *options: str) -> str:
    """Train such a recipe on those minutes, require that the run is refused by `publish`, and return what the training says."""
    data, run, file = dataset(folder), folder / "run", folder / "recipe.yml"
    file.write_text(f"minutes: {{timeframe: 5}}\n{recipe}")
    said = done("train", "--sleeve", sleeve, "--config", str(file), "--data", str(data), "--run", str(run), *options)
    places = [word for name in ("to", "registry", "keys") for word in (f"--{name}", str(folder / name))]
    refused = CliRunner().invoke(app, ["publish", "--run", str(run), "--role", "evaluation", "--refusal", "unproven", *places])
    assert refused.exit_code != 0 and "a device does not compute what this run reads: position 0 is" in str(refused.exception)
    return said


def test_a_gate_of_events_of_minutes_is_trained_by_the_ordinary_command_and_never_published(tmp_path: Path) -> None:
    """Direction is found, day by day."""
    trees = "{objective: regression, trees: 20, num_leaves: 7, min_data_in_leaf: 50}"
    recipe = f"label: {{kind: event_gate, k: 24}}\nlightgbm: {trees}\ncpcv: {{groups: 4, test_groups: 1}}\n"
    said = trained(tmp_path, "events", recipe, "--importance")
    known = read_evidence(tmp_path / "run")
    found = known.part("gate", GateFigures)
    assert low(found.direction) > 0.5 and 0 < found.direction.sessions <= 90  # days are the unit, not bars
    assert known.training.symbols == 2 and not known.regimes
    assert known.importance is not None and set(known.importance.shap or ()) == set(FIGURES)
    best = max(known.importance.by_feature, key=lambda one: one.mean)
    assert best.mean > 2.0 * best.standard_error > 0.0 and f"{best.feature} {best.mean:+.4f}" in said  # permuted within a day, not a bar


@pytest.mark.slow
@pytest.mark.deep
def test_a_net_of_pictures_of_minutes_is_trained_by_the_ordinary_command_and_has_no_bank(tmp_path: Path) -> None:
    """Pictures are of bars of 5 minutes, their shapes those of the rules on such bars; a bank is of the trades of daily bars."""
    pytest.importorskip("torch", reason="torch is installed by `make test-deep`")
    trained(tmp_path, "patterns", "label: {kind: bar_pattern, least: 5}\nbar_cnn: {channels: [4, 8, 8], epochs: 1}\n")
    known = read_evidence(tmp_path / "run")
    counts = known.others["labels"]["pictures"]
    assert sum(counts.values()) > 1_000 and min(counts.values()) >= 5 and not (tmp_path / "run" / BANK).exists()
    assert known.part("pattern", PatternFigures).pictures > 100


def test_events_of_minutes_have_no_ladder() -> None:
    config = config_of({"label": {"kind": "event_gate"}, "minutes": {"strategy": "indicators"}}, where="test")
    with pytest.raises(BadConfig, match="no ladder"):
        agreed(recipe_named("events"), config)


@pytest.mark.parametrize(
    ("sleeve", "label", "why"),
    [
        ("events", {"kind": "event_score"}, "do not both read minutes"),
        ("equities_xs", {"kind": "horizon"}, "do not both read minutes"),
        ("events", {"kind": "event_gate", "analogs": "run"}, "are of daily bars"),
        ("patterns", {"kind": "bar_pattern", "checked": "seen.csv"}, "are of daily bars"),
    ],
)
def test_what_is_of_days_takes_no_minutes(sleeve: str, label: dict[str, str], why: str) -> None:
    config = config_of({"label": label, "minutes": {"timeframe": 5}}, where="test")
    with pytest.raises(BadConfig, match=why):
        agreed(recipe_named(sleeve), config)


@pytest.mark.parametrize(("sleeve", "kind"), [("events", "event_gate"), ("patterns", "bar_pattern")])
def test_features_of_minutes_are_another_specification_than_those_of_days(sleeve: str, kind: str) -> None:
    daily, within = (
        agreed(recipe_named(sleeve), config_of({"label": {"kind": kind}, **minutes}, where="test")).sleeve
        for minutes in ({}, {"minutes": {"timeframe": 5}})
    )
    assert daily.names == within.names and daily.spec_hash != within.spec_hash
