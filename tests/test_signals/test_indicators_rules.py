"""Rules of the whole catalogue, asked of every row of the table."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from signals.errors import FixInput
from signals.indicators.catalogue import BY_NAME, CATALOGUE, TRANSFORMER_RAW, indicators, rows_of
from signals.indicators.document import document
from signals.minutes.stretch import Stretch
from tests.fakes.stretches import WARM_UP, column, mapped, synthetic_stretch, until

SESSION = 78
REGIME = np.array([[0.2, 0.9, 0.1, np.nan], [1.0, -1.0, 1.0, np.nan], [3.0, 80.0, 1.0, np.nan]])
NAMES = [row.name for row in CATALOGUE]


def holed() -> Stretch:
    """Columns of unlike kinds: complete, with missing bars, beginning late, and with bars of no volume and no range."""

    def punched(name: str, array: np.ndarray) -> np.ndarray:
        if name in ("ends", "left"):
            return array
        out = array.copy()
        out[[30, 31, 200, 410], 1] = np.nan
        out[:250, 2] = np.nan
        return out

    def still(name: str, array: np.ndarray) -> np.ndarray:
        out = array.copy()
        if name in ("open", "high", "low", "close"):
            out[300:330, 3] = array[300, 3]
        if name == "volume":
            out[300:330, 3] = 0.0
        return out

    stretch = mapped(mapped(synthetic_stretch(), punched), still)
    return replace(stretch, close=np.where(np.isfinite(stretch.close), np.clip(stretch.close, stretch.low, stretch.high), np.nan))


@pytest.fixture(scope="module")
def whole() -> tuple[Stretch, np.ndarray]:
    stretch = holed()
    return stretch, indicators(stretch, full_session=SESSION, regime=REGIME)


def test_one_session_alone_gives_what_all_together_give(whole: tuple[Stretch, np.ndarray]) -> None:
    """Also beside columns with holes, which take other branches: to the bit."""
    stretch, together = whole
    for number in range(4):
        alone = indicators(column(stretch, number), full_session=SESSION, regime=REGIME[:, number : number + 1])
        assert alone[:, 0].tobytes() == together[:, number].tobytes()


@pytest.mark.parametrize("rows", [260, WARM_UP + 1, WARM_UP + 40])
def test_a_prefix_gives_what_the_whole_gives(whole: tuple[Stretch, np.ndarray], rows: int) -> None:
    """Bars that come later change no value: nothing looks ahead, and a restart at any bar changes nothing."""
    stretch, together = whole
    cut = indicators(until(stretch, rows), full_session=SESSION, regime=REGIME)
    different = [name for place, name in enumerate(NAMES) if cut[:, :, place].tobytes() != together[:rows, :, place].tobytes()]
    assert not different


@pytest.mark.parametrize("first", [100, 310, WARM_UP, WARM_UP + 5, WARM_UP + SESSION - 1])
def test_the_newest_rows_alone_are_those_of_the_whole(whole: tuple[Stretch, np.ndarray], first: int) -> None:
    """Also of one column alone, which has windows without a missing bar, and beside columns with holes: to the bit."""
    stretch, together = whole
    newest = indicators(stretch, full_session=SESSION, regime=REGIME, first=first)
    different = [name for place, name in enumerate(NAMES) if newest[:, :, place].tobytes() != together[first:, :, place].tobytes()]
    assert not different
    for number in range(4):
        alone = indicators(column(stretch, number), full_session=SESSION, regime=REGIME[:, number : number + 1], first=first)
        assert alone[:, 0].tobytes() == together[first:, number].tobytes()


def test_the_future_is_not_read_however_it_looks(whole: tuple[Stretch, np.ndarray]) -> None:
    """The same with the future replaced by NaN and by enormous bars; and the fault is seen where it may be."""
    stretch, together = whole
    for value in (np.nan, 1e9):

        def spoilt(name: str, array: np.ndarray, value: float = value) -> np.ndarray:
            return array if name in ("ends", "left") else np.vstack([array[:440], np.full_like(array[440:], value)])

        other = indicators(mapped(stretch, spoilt), full_session=SESSION, regime=REGIME)
        assert other[:440].tobytes() == together[:440].tobytes()
        assert not np.array_equal(other[440:], together[440:], equal_nan=True)


@pytest.mark.parametrize("number", [0, 2])
def test_every_feature_has_values_on_the_session_s_bars(whole: tuple[Stretch, np.ndarray], number: int) -> None:
    """Complete history: all but the opening range before its 15 minutes. A history of 150 bars: the windows that it fills."""
    share = np.isfinite(whole[1][WARM_UP:, number]).mean(axis=0)
    short = {name for name, part in zip(NAMES, share, strict=True) if part < 1.0}
    long = {row.name for row in CATALOGUE if row.window > 150 or row.name.startswith("volume_level")}
    assert short - {"opening_range"} <= (set() if number == 0 else long)
    assert share[NAMES.index("opening_range")] == pytest.approx(76 / 78)


def test_a_missing_bar_poisons_nothing() -> None:
    """One bar without values: only it, its own lags and the filters that read it are NaN, and no more than its reach."""
    stretch = synthetic_stretch(columns=1)

    def punched(name: str, array: np.ndarray) -> np.ndarray:
        out = array.astype(np.float64) if name not in ("ends", "left") else array
        if name not in ("ends", "left"):
            out = out.copy()
            out[300] = np.nan
        return out

    clean, spoilt = indicators(stretch), indicators(mapped(stretch, punched))
    gone = np.isfinite(clean[:, 0]) & ~np.isfinite(spoilt[:, 0])
    assert np.isnan(spoilt[300, 0, NAMES.index("return_1")])
    for place, row in enumerate(CATALOGUE):
        rows = np.flatnonzero(gone[:, place])
        assert set(rows) <= set(range(300, 300 + row.window + 4)), row.name
        assert len(rows) <= 6, (row.name, rows)


def test_a_spike_is_forgotten_to_the_bit() -> None:
    """A price and a volume of 1e9 in one bar leave no trace once the windows have passed; averages that forget decay as long
    double says."""
    stretch = synthetic_stretch(columns=1)

    def spiked(name: str, array: np.ndarray) -> np.ndarray:
        out = array.copy()
        if name not in ("ends", "left", "traded"):
            out[20] = array[20] * 1e9
        return out

    clean, after = indicators(stretch), indicators(mapped(stretch, spiked))
    assert not np.array_equal(clean[20:60], after[20:60], equal_nan=True)
    recurrent = ("ema", "macd", "rsi", "cmo", "stoch_rsi", "trix", "_di_", "dx_", "adx", "mass", "natr", "keltner", "chandelier", "kama")
    recurrent += ("tema", "dema", "zero_lag", "fisher", "force", "accumulation")
    for place, row in enumerate(CATALOGUE):
        if row.name != "volume_level_78" and not any(word in row.name for word in recurrent):  # it reads five sessions before
            late = slice(20 + 2 * row.window + 100, None) if row.name != "volume_level_20" else slice(WARM_UP + 50, None)
            assert clean[late, 0, place].tobytes() == after[late, 0, place].tobytes(), row.name


def test_windows_after_a_spike_are_those_of_long_double() -> None:
    """Moments, lines and correlations over bars after a spike of 1e9, against two passes in extended precision."""
    stretch = synthetic_stretch(columns=1)
    names = ["bollinger_z_20", "bollinger_width_50", "line_slope_60", "high_low_correlation_30"]
    names += ["skewness_60", "kurtosis_120", "return_z_60"]

    def spiked(name: str, array: np.ndarray) -> np.ndarray:
        out = array.copy()
        if name in ("open", "high", "low", "close"):
            out[150] = array[150] * 1e9
        return out

    ours = indicators(mapped(stretch, spiked), rows_of(names))[-1, 0]
    c, h, l = (getattr(stretch, name)[:, 0].astype(np.longdouble) for name in ("close", "high", "low"))  # noqa: E741
    r = np.diff(np.log(c))

    def standard(x: np.ndarray, power: int) -> np.longdouble:
        apart = x - x.mean()
        return (apart**power).mean() / (apart**2).mean() ** (np.longdouble(power) / 2)

    t = np.arange(60, dtype=np.longdouble)
    dh, dl = h[-30:] - h[-30:].mean(), l[-30:] - l[-30:].mean()
    expected = [
        (c[-1] - c[-20:].mean()) / c[-20:].std(),
        4 * c[-50:].std() / c[-50:].mean(),
        ((t - t.mean()) * c[-60:]).sum() / ((t - t.mean()) ** 2).sum() * 60 / c[-1],
        (dh * dl).sum() / np.sqrt((dh**2).sum() * (dl**2).sum()),
        standard(r[-60:], 3),
        standard(r[-120:], 4) - 3,
        (r[-1] - r[-60:].mean()) / r[-60:].std(),
    ]
    assert np.abs(ours - np.array(expected, np.float64)).max() < 1e-12


def test_units_of_price_and_volume_do_not_matter() -> None:
    """Prices times 8 and volumes times 4 change no feature by more than rounding."""
    stretch = synthetic_stretch(columns=1)
    factor = dict.fromkeys(("open", "high", "low", "close", "bid", "ask"), 8.0) | dict.fromkeys(("volume", "bid_size", "ask_size"), 4.0)
    other = indicators(mapped(stretch, lambda name, array: array * factor.get(name, 1.0) if name in factor else array))
    assert np.allclose(indicators(stretch), other, rtol=1e-7, atol=1e-9, equal_nan=True)


def test_ten_bars_by_hand() -> None:
    """Closes 1 to 10, each bar one wide around its close: what any reader can work out."""
    close = np.arange(1.0, 11.0)[:, None]
    bars = until(synthetic_stretch(columns=1, warm_up=5, session=5), 10)
    bars = replace(bars, open=close, high=close + 0.5, low=close - 0.5, close=close, volume=np.full_like(close, 2.0), quotes={})
    named = dict(zip(NAMES, indicators(bars)[-1, 0], strict=True))
    assert named["sma_gap_5"] == pytest.approx(10 / 8 - 1)
    assert named["ema_gap_5"] == pytest.approx(10 / 8 - 1)  # from the mean 3 of the first five, a third of the way: always 2 behind
    assert named["rsi_7"] == 1.0  # never fell
    assert named["streak"] == 9.0
    assert named["balance_of_power"] == 0.0
    assert named["session_return"] == pytest.approx(np.log(10 / 6))
    assert named["overnight_gap"] == pytest.approx(np.log(6 / 5))
    assert named["opening_range"] == pytest.approx((10 - 5.5) / (8.5 - 5.5))  # bars of 5 minutes: 6, 7 and 8
    assert named["session_vwap_gap"] == pytest.approx(10 / 8 - 1)
    assert named["return_3"] == pytest.approx(np.log(10 / 7))
    assert named["time_left"] == 0.0 and named["last_bar"] == 1.0 and named["first_bar"] == 0.0
    assert np.isnan(named["quoted_spread"]) and np.isnan(named["wild"])


def test_the_table_is_whole() -> None:
    assert len(CATALOGUE) >= 190 and len(BY_NAME) == len(CATALOGUE)
    assert all(row.text and row.units and row.window >= 1 for row in CATALOGUE)
    assert 10 <= len(TRANSFORMER_RAW) <= 15 and rows_of(TRANSFORMER_RAW)
    with pytest.raises(FixInput, match="no indicator is named rsi_99"):
        rows_of(("rsi_14", "rsi_99"))


def test_the_page_of_features_is_current() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == document(), "run: python -m signals.indicators.document > docs/features.md"


def test_no_slow_library_is_loaded() -> None:
    code = "import sys, signals.indicators.catalogue; sys.exit(bool({'scipy', 'pandas', 'pywt', 'talib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
