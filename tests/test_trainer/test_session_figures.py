"""Figures of every name's minutes by session: what enters them, who is absent, and networks that look at the bars themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signals.errors import BadDataset, TooLittleHistory
from signals.market.bars import Bars
from signals.market.sessions import xnys
from signals.models.inference import predict
from signals.sleeves.intraday import BARS, CHANNELS, INTRADAY_SEQ, INTRADAY_XS, LOOKBACK_SESSIONS, MEANS, PRESENT, STEPS
from signals.views import SessionBarsView
from tests.fakes.bars import synthetic_bars
from tests.fakes.session_minutes import day_paths, keep
from trainer.learners.base import FitDevice
from trainer.learners.export import export
from trainer.recipes.base import learner_of
from trainer.samples.joined_datasets import session_figures
from trainer.tasks.recipes import RECIPES, agreed

SESSIONS, NAMES = 8, 6
Spoil = Callable[[pd.DataFrame], pd.DataFrame]
CALENDAR = xnys(date(2025, 11, 1), date(2026, 3, 1))
DAYS = [day for day in CALENDAR.days if day <= date(2025, 12, 2)][-SESSIONS:]  # with a half day, 2025-11-28


def daily(names: int = NAMES) -> Bars:
    bars = synthetic_bars(3, sessions=SESSIONS, symbols=names, missing=0.0, start=DAYS[0]).select(
        tuple(f"S{i:04d}" for i in range(1, names))
    )
    return replace(bars, sessions=np.array(DAYS, dtype="datetime64[D]"), eligible=np.ones(bars.close.shape, dtype=bool))


def as_it_is(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def found(
    folder: Path, spoil: Spoil = as_it_is, bars: Bars | None = None, names: tuple[str, ...] = INTRADAY_XS.joined
) -> dict[str, np.ndarray]:
    """The figures, of minutes that `spoil` changed."""
    whole = daily()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    file = folder / "minutes.parquet"
    if not file.exists():
        keep_alone(spoil(day_paths(whole, CALENDAR, np.zeros(whole.close.shape), seed=5)), folder / "data")
    return session_figures(names, bars or whole, folder / "data")


def keep_alone(frame: pd.DataFrame, data: Path) -> None:
    keep(frame, data, daily=False)


def at(frame: pd.DataFrame, symbol: str, day: date) -> pd.Series:
    return frame["symbol"].eq(symbol) & frame["time"].dt.date.eq(day)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    found(folder)
    return folder


def test_figures_are_those_of_the_sessions_that_they_read_to_the_bit(plain: Path) -> None:
    """From a range of three sessions that ends there as from all; the first sessions, whose look-back is not there, have none."""
    bars, names = daily(), (*INTRADAY_XS.joined, *STEPS)
    whole = found(plain, names=names)
    assert np.isnan(whole[PRESENT][: LOOKBACK_SESSIONS - 1]).all() and np.isfinite(whole[PRESENT][LOOKBACK_SESSIONS - 1 :]).all()
    for last in (LOOKBACK_SESSIONS, 5, SESSIONS):
        some = found(plain, bars=bars.rows(last - LOOKBACK_SESSIONS, last), names=names)
        assert [name for name in names if not np.array_equal(some[name][-1], whole[name][last - 1], equal_nan=True)] == []
    half = DAYS.index(date(2025, 11, 28))
    assert np.isnan(whole[f"return_z_60@{42}"][half]).all() and np.isfinite(whole[f"return_z_60@{41}"][half]).all()
    assert whole["first_bar@41"][half].tolist() == [1.0] * 5 and whole["last_bar@0"][half].tolist() == [1.0] * 5


def test_the_means_are_those_of_the_bars(plain: Path) -> None:
    figures = found(plain, names=(*INTRADAY_XS.joined, *STEPS))
    column = np.array([figures[f"session_vwap_gap@{ago}"][-1] for ago in range(BARS)])
    assert figures["session_vwap_gap_late"][-1] == pytest.approx(column[:6].mean(axis=0), rel=1e-12)
    assert figures["session_vwap_gap_day"][-1] == pytest.approx(column.mean(axis=0), rel=1e-12)
    assert figures["volume_z_20_open"][-1] == pytest.approx(figures[f"volume_z_20@{BARS - 1}"][-1])
    assert all(np.isnan(figures[name]).all() for name in MEANS if name.startswith("order_flow")), "there were no quotes"


def test_nothing_after_a_session_enters_its_figures(plain: Path, tmp_path: Path) -> None:
    row = 5
    before = found(plain)

    def later(frame: pd.DataFrame) -> pd.DataFrame:
        after = frame["time"].dt.date > DAYS[row]
        assert after.any()
        return frame.assign(**{name: frame[name].where(~after, 2.0 * frame[name]) for name in ("open", "high", "low", "close", "volume")})

    changed = found(tmp_path, later)
    for name in INTRADAY_XS.joined:
        np.testing.assert_array_equal(changed[name][: row + 1], before[name][: row + 1])
    assert not np.array_equal(changed["return_z_60_open"], before["return_z_60_open"], equal_nan=True)


def test_a_name_whose_minutes_are_not_green_is_absent_until_they_are_read_no_more(plain: Path, tmp_path: Path) -> None:
    """An hour that is missing, and a row that contradicts itself; the other names say what they said."""

    def spoiled(frame: pd.DataFrame) -> pd.DataFrame:
        hour = at(frame, "S0001", DAYS[3]) & frame["time"].dt.strftime("%H").eq("18")
        wrong = at(frame, "S0002", DAYS[4]).idxmax()
        assert hour.sum() == 12
        return frame.assign(high=frame["high"].where(frame.index != wrong, 0.5 * frame["low"]))[~hour]

    before, after = found(plain), found(tmp_path, spoiled)
    assert np.isnan(after[PRESENT][:, 0]).tolist() == [True, True, False, True, True, True, False, False]
    assert np.isnan(after[PRESENT][:, 1]).tolist() == [True, True, False, False, True, True, True, False]
    for name in INTRADAY_XS.joined:
        np.testing.assert_array_equal(after[name][:, 2:], before[name][:, 2:])


def test_order_flow_is_known_where_there_are_quotes(tmp_path: Path) -> None:
    def quoted(frame: pd.DataFrame) -> pd.DataFrame:
        rng, has = np.random.default_rng(1), frame["symbol"].eq("S0003")
        sides = {"bid": frame["close"] - 0.01, "ask": frame["close"] + 0.01}
        sizes = {name: pd.Series(rng.integers(1, 9, len(frame)) * 100.0) for name in ("bid_size", "ask_size")}
        return frame.assign(**{name: column.where(has) for name, column in (sides | sizes).items()})

    figures = found(tmp_path, quoted)
    assert np.isfinite(figures["order_flow_10_late"][2:]).tolist() == [[False, False, True, False, False]] * 6


def test_without_minutes_of_these_names_it_says_what_to_ingest(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="has no minutes"):
        session_figures(INTRADAY_XS.joined, daily(), tmp_path)
    bars = daily()
    strangers = replace(bars, symbols=tuple(f"X{name}" for name in bars.symbols))
    with pytest.raises(TooLittleHistory, match="no name of the bars"):
        found(plain, bars=strangers)


def test_a_sample_of_the_bars_is_several_days_of_them_the_oldest_first(plain: Path) -> None:
    bars = replace(daily(), joined=found(plain, names=INTRADAY_SEQ.joined))
    panel = INTRADAY_SEQ.panel(bars)
    view = SessionBarsView(2, BARS)
    sample = view.rows(panel, np.array([SESSIONS - 1]), np.array([1]))[0]
    assert sample.shape == view.shape(len(STEPS)) == (2 * BARS, len(CHANNELS))
    flag = sample[:, CHANNELS.index("first_bar")]
    assert np.flatnonzero(flag == 1.0).tolist() == [BARS - int(np.isfinite(panel.values[-2, 1, 0::8]).sum()), BARS]
    assert sample[-1, 0] == np.float32(bars.joined["return_z_60@0"][-1, 1])


@pytest.mark.deep
@pytest.mark.parametrize("learner", ["patchtst", pytest.param("mamba", marks=pytest.mark.slow)])
def test_networks_look_at_the_bars_of_several_days(plain: Path, learner: str) -> None:
    """312 bars, exact export, a share of importance for every bar and channel, the same bytes again."""
    recipe = RECIPES["intraday_seq"]
    small = {"epochs": 1, "size": 4}
    config = recipe.config.model_copy(update={"learner": learner, learner: recipe.config.of(learner).model_copy(update=small)})
    agreed(recipe, config)
    panel = INTRADAY_SEQ.panel(replace(daily(), joined=found(plain, names=INTRADAY_SEQ.joined)))
    t, column = (place.ravel() for place in np.nonzero(panel.eligible))
    samples = config.view.rows(panel, t, column)
    assert samples.shape[1:] == (312, len(CHANNELS)) and len(samples) == 30
    target = np.nan_to_num(panel.values[t, column, 1]).astype(np.float64)
    models = [learner_of(config, 1, FitDevice.CPU).fit(samples, target, np.ones(len(t)), panel.names) for _ in range(2)]
    done = [export(model, samples) for model in models]
    assert done[0].onnx == done[1].onnx
    np.testing.assert_allclose(predict([done[0].onnx], samples), models[0].predict(samples), atol=2e-6)
    assert models[0].importance().shape == (len(STEPS),) and models[0].importance().sum() == pytest.approx(1.0)
