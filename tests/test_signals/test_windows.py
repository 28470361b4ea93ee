"""Trailing windows: hand-worked values, the NaN policy, and a stress suite against long double."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.errors import InvariantBroken
from signals.features import windows
from signals.features.windows import Observations, needed, per_degree_of_freedom

NAN = np.nan
TEN = np.array([2.0, 4.0, 4.0, NAN, 5.0, 5.0, 7.0, 9.0, 1.0, 1.0])[:, None]
WIDTHS = (5, 20, 60, 126, 231)


def _finite(x: np.ndarray) -> Observations:
    return Observations(np.isfinite(x))


def window_count(x: np.ndarray, width: int) -> np.ndarray:
    """Finite values of `x`, shape (T, N), in the trailing window of `width` rows."""
    return _finite(x).count(width)


def window_sum(x: np.ndarray, width: int) -> np.ndarray:
    """Sum over the trailing window of `width` rows; shape (T, N), NaN by the policy."""
    observed = _finite(x)
    return observed.policed(observed.sums(x).window(width)[0], width)


def window_mean(x: np.ndarray, width: int) -> np.ndarray:
    """Mean over the trailing window of `width` rows; shape (T, N), NaN by the policy."""
    observed = _finite(x)
    return observed.policed(observed.moments(x).window(width)[0], width)


def window_variance(x: np.ndarray, width: int) -> np.ndarray:
    """Sample variance (ddof 1) over the trailing window of `width` rows; shape (T, N), NaN by the policy."""
    observed = _finite(x)
    squares = observed.moments(x).window(width)[1]
    return observed.policed(per_degree_of_freedom(squares, observed.count(width)), width)


def window_covariance(x: np.ndarray, y: np.ndarray, width: int) -> np.ndarray:
    """Sample covariance (ddof 1) of the rows where both are finite; shape (T, N), NaN by the policy."""
    observed = Observations(np.isfinite(x) & np.isfinite(y))
    products = observed.joint_moments(x, y).window(width)[4]
    return observed.policed(per_degree_of_freedom(products, observed.count(width)), width)


def window_max(x: np.ndarray, width: int) -> np.ndarray:
    """Largest value in the trailing window of `width` rows; shape (T, N), NaN by the policy."""
    observed = _finite(x)
    return observed.policed(observed.extremes(x, largest=True).window(width)[0], width)


def window_min(x: np.ndarray, width: int) -> np.ndarray:
    """Smallest value in the trailing window of `width` rows; shape (T, N), NaN by the policy."""
    observed = _finite(x)
    return observed.policed(observed.extremes(x, largest=False).window(width)[0], width)


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_ten_rows_worked_by_hand() -> None:
    """Windows of five; four observations suffice, so every full window has a value, and so has row 4 (four valid)."""
    np.testing.assert_array_equal(window_count(TEN, 5)[:, 0], [1, 2, 3, 3, 4, 4, 4, 4, 5, 5])
    np.testing.assert_array_equal(window_sum(TEN, 5), column(NAN, NAN, NAN, NAN, 15, 18, 21, 26, 27, 23))
    np.testing.assert_array_equal(window_mean(TEN, 5), column(NAN, NAN, NAN, NAN, 3.75, 4.5, 5.25, 6.5, 5.4, 4.6))
    np.testing.assert_array_equal(window_max(TEN, 5), column(NAN, NAN, NAN, NAN, 5, 5, 7, 9, 9, 9))
    np.testing.assert_array_equal(window_min(TEN, 5), column(NAN, NAN, NAN, NAN, 2, 4, 4, 5, 1, 1))
    # Row 4: 2 4 4 5, squares about 3.75 sum to 4.75. Row 7: 5 5 7 9 about 6.5: 11. Row 8: 5 5 7 9 1 about 5.4: 35.2.
    expected = column(NAN, NAN, NAN, NAN, 4.75 / 3, 1 / 3, 4.75 / 3, 11 / 3, 35.2 / 4, 51.2 / 4)
    np.testing.assert_allclose(window_variance(TEN, 5), expected, rtol=1e-15)


def test_covariance_worked_by_hand() -> None:
    """x 1 2 3 4 5, y 2 1 4 3 5: cross products about the means sum to 8, over n - 1 = 4 that is 2."""
    assert window_covariance(column(1, 2, 3, 4, 5), column(2, 1, 4, 3, 5), 5)[-1, 0] == 2.0
    # Without the third pair: means 3 and 2.75, products 1.5 + 1.75 + .25 + 4.5 = 8, over 3.
    gap = window_covariance(column(1, 2, 3, 4, 5), column(2, 1, NAN, 3, 5), 5)
    assert gap[-1, 0] == pytest.approx(8 / 3, rel=1e-15)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_window_needs_four_fifths_of_its_observations(width: int) -> None:
    x = np.ones((width, 2))
    x[: width - needed(width), 0] = NAN
    x[: width - needed(width) + 1, 1] = NAN
    assert needed(width) == int(np.ceil(0.8 * width))
    for statistic in (window_sum, window_mean, window_variance, window_max, window_min):
        enough, short = statistic(x, width)[-1]
        assert np.isfinite(enough)
        assert np.isnan(short)


@pytest.mark.parametrize("width", [0, -1, windows.MAX_WIDTH + 1])
def test_a_width_that_is_no_window_is_refused(width: int) -> None:
    with pytest.raises(InvariantBroken, match="sessions is not between"):
        window_sum(TEN, width)


def calm(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0.0005, 0.02, 700)


def spike(rng: np.random.Generator) -> np.ndarray:
    x = rng.lognormal(0.0, 1.0, 700)
    x[[150, 151, 400]] = 1e9
    return x


def decay(rng: np.random.Generator) -> np.ndarray:
    return 1e12 * np.exp(-0.1 * np.arange(700)) * rng.uniform(0.5, 1.5, 700)


def bursts(rng: np.random.Generator) -> np.ndarray:
    x = spike(rng)
    x[200:230] = NAN
    x[rng.random(700) < 0.05] = NAN
    x[500] = np.inf
    return x


def late(rng: np.random.Generator) -> np.ndarray:
    x = calm(rng)
    x[:333] = NAN
    return x


STRESS = (calm, spike, decay, bursts, late)


def long_double(x: np.ndarray, width: int, statistic: Callable[[np.ndarray], np.longdouble]) -> np.ndarray:
    """The statistic of each window's finite values, in extended precision, window by window."""
    out = np.full(len(x), NAN, dtype=np.longdouble)
    for t in range(len(x)):
        window = x[max(0, t - width + 1) : t + 1]
        window = window[np.isfinite(window)].astype(np.longdouble)
        if len(window) >= needed(width):
            out[t] = statistic(window)
    return out


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("series", STRESS, ids=lambda f: f.__name__)
def test_statistics_agree_with_long_double_to_1e_10(series: Callable[..., np.ndarray], width: int) -> None:
    if np.finfo(np.longdouble).nmant <= np.finfo(np.float64).nmant:
        pytest.skip("long double is no wider than double on this platform")
    x = series(np.random.default_rng(11))
    pairs = (
        (window_sum, np.sum),
        (window_mean, np.mean),
        (window_variance, lambda w: np.sum((w - w.mean()) ** 2) / (len(w) - 1)),
        (window_max, np.max),
        (window_min, np.min),
    )
    for ours, theirs in pairs:
        found, expected = ours(x[:, None], width)[:, 0], long_double(x, width, theirs)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        # The mean of returns of both signs may be near 0: its error is measured against the values that enter it.
        scale = long_double(np.abs(x), width, np.mean if ours is window_mean else np.sum)
        floor = 1e-14 * scale if ours in (window_sum, window_mean) else 0.0
        assert np.nanmax(np.abs(found - expected) - 1e-10 * np.abs(expected) - floor) <= 0.0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("series", STRESS, ids=lambda f: f.__name__)
def test_covariance_agrees_with_long_double(series: Callable[..., np.ndarray], width: int) -> None:
    x = series(np.random.default_rng(11))
    y = 0.7 * x + np.nanstd(np.where(np.isfinite(x), x, NAN)) * np.random.default_rng(12).normal(size=len(x))
    found = window_covariance(x[:, None], y[:, None], width)[:, 0]
    for t in range(0, len(x), 7):
        a, b = (v[max(0, t - width + 1) : t + 1].astype(np.longdouble) for v in (x, y))
        both = np.isfinite(a) & np.isfinite(b)
        a, b = a[both], b[both]
        if len(a) < needed(width):
            assert np.isnan(found[t])
            continue
        products = (a - a.mean()) * (b - b.mean())
        assert abs(found[t] - products.sum() / (len(a) - 1)) <= 1e-10 * np.abs(products).sum() / (len(a) - 1)


@pytest.mark.parametrize("value", [0.1, 1e9, -7.3, 1e-300])
def test_a_constant_with_gaps_has_exactly_no_variance_and_its_own_mean(value: float) -> None:
    x = np.full((300, 1), value)
    x[[40, 41, 90, 133, 250]] = NAN
    for width in WIDTHS:
        assert np.nanmax(window_variance(x, width)) == 0.0
        mean = window_mean(x, width)
        assert np.all(mean[np.isfinite(mean)] == value)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 260), rows=st.integers(1, 300), missing=st.sampled_from([0.0, 0.02, 0.3]))
def test_only_the_window_counts_and_the_newest_row_is_the_last_row(seed: int, width: int, rows: int, missing: float) -> None:
    """To the bit: whatever stands before the window, and whether every row or the newest only is folded."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)) * 10.0 ** rng.integers(-3, 9, (rows, 1))
    x[rng.random(x.shape) < missing] = NAN
    y = rng.normal(size=x.shape)
    window, other = (np.vstack([np.full((width, 3), NAN), panel])[-width:] for panel in (x, y))
    poisoned = np.vstack([np.full((7, 3), 1e150), window])
    newest = Observations(np.isfinite(window), newest_only=True)
    every, after = Observations(np.isfinite(x)), Observations(np.isfinite(poisoned))
    np.testing.assert_array_equal(newest.count(width)[-1], every.count(width)[-1])
    for state, long, cut in zip(
        newest.joint_moments(window, other).window(width),
        every.joint_moments(x, y).window(width),
        after.joint_moments(poisoned, np.vstack([np.full((7, 3), -1e150), other])).window(width),
        strict=True,
    ):
        np.testing.assert_array_equal(state[-1], long[-1])
        np.testing.assert_array_equal(state[-1], cut[-1])
    np.testing.assert_array_equal(newest.sums(window).window(width)[0][-1], every.sums(x).window(width)[0][-1])


@given(st.integers(1, 10_000))
def test_the_runs_of_a_window_are_its_binary_digits(width: int) -> None:
    bits = windows.runs(width)
    assert sum(1 << bit for bit in bits) == width
    assert bits == sorted(set(bits), reverse=True)
