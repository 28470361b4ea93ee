"""`bar-image/1`: equal to a painter that goes pixel by pixel, and by hand."""

from __future__ import annotations

import zlib
from base64 import b64encode

import numpy as np
import pytest

from signals.errors import InvariantBroken
from signals.events import images as module
from signals.events.images import MIDDLE, WARM_UP, WINDOW, images, png
from signals.events.recorded import SIZE, candles
from tests.fakes.painter import naive_image


def windows(n: int, seed: int = 5) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    size = rng.choice([1e-4, 0.01, 0.08], n)
    close = 50.0 * np.exp(np.cumsum(size * rng.standard_t(4, (WINDOW, n)), axis=0))
    opened = close * np.exp(size * rng.normal(0.0, 0.5, close.shape))
    high = np.maximum(opened, close) * np.exp(size * rng.exponential(0.5, close.shape))
    low = np.minimum(opened, close) * np.exp(-size * rng.exponential(0.5, close.shape))
    return opened, high, low, close


def naive(bars: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.stack([naive_image(*(x[:, i] for x in bars)) for i in range(bars[0].shape[1])])


def test_pictures_are_to_the_byte_those_of_a_painter_that_goes_pixel_by_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = windows(60)
    monkeypatch.setattr(module, "TOGETHER", 25)  # the last chunk is not whole
    found = images(*bars)
    assert (found.dtype, found.shape) == (np.uint8, (60, 3, SIZE, SIZE))
    assert np.array_equal(found, naive(bars))


def test_a_painter_whose_window_ends_one_bar_late_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = windows(2)
    monkeypatch.setattr(module, "read", lambda *x, right=module.read: right(*(np.roll(one, -1, axis=0) for one in x)))
    assert not np.array_equal(images(*bars), naive(bars))


def test_bars_that_stand_still_are_in_the_middle() -> None:
    still = np.full((WINDOW, 1), 7.0)
    picture = images(still, still, still, still)[0]
    assert np.array_equal(picture, naive((still,) * 4)[0])
    assert np.flatnonzero(picture[0, 0]).tolist() == [32]
    assert np.flatnonzero(picture[1, 0]).tolist() == [MIDDLE]
    assert np.flatnonzero(picture[2, 0]).tolist() == list(range(32, 64))
    assert set(picture[2, 0, 32:].tolist()) == {127}


def test_a_steady_rise_is_painted_as_worked_by_hand() -> None:
    """Closes 101 to 227, each bar from the close before: bodies of one point in a range of 64, RSI 1, above the average."""
    close = 101.0 + np.arange(WINDOW)[:, None]
    picture = images(close - 1.0, close, close - 1.0, close)[0]
    assert np.flatnonzero(picture[0, 0]).tolist() == [62, 63]  # 163 to 164 of 163 to 227: levels rint(62.02) and 63
    assert np.flatnonzero(picture[0, 63]).tolist() == [0, 1]
    assert set(picture[0][picture[0] > 0].tolist()) == {255}
    assert (picture[2] == 127).all()  # RSI 1 from level 0 down, no slope
    assert np.flatnonzero(picture[1, 0]).tolist() == list(range(MIDDLE + 1))  # 10 points above an average 3 ATR of 1 away


def test_a_picture_is_the_same_whatever_stood_before_its_window_and_at_any_scale() -> None:
    bars = windows(3)
    assert np.array_equal(images(*(x[:, 1:2] for x in bars))[0], images(*bars)[1])
    assert np.array_equal(images(*(8.0 * x for x in bars)), images(*bars))


def test_the_candles_of_a_png_are_the_levels_of_its_bars() -> None:
    """Level rint(63 (H - p) / (H - L)) of each price of the last 64 bars, by the definition."""
    bars = windows(4)
    for place, picture in enumerate(images(*bars)):
        opened, high, low, close = (x[WARM_UP:, place] for x in bars)
        top, span = high.max(), high.max() - low.min()
        wanted = [
            [round(63 * (top - p) / span) for p in prices]
            for prices in zip(high, np.maximum(opened, close), np.minimum(opened, close), low, strict=True)
        ]
        found = candles(b64encode(png(picture)).decode())
        assert [list(one[:4]) for one in found] == wanted
        assert [one.is_rising for one in found] == (close >= opened).tolist()
    assert candles("no picture") == candles(b64encode(b"x" * 99).decode()) == candles(b64encode(png(np.zeros_like(picture))).decode()) == []


@pytest.mark.parametrize("fault", [np.nan, 0.0, -1.0, np.inf])
def test_a_window_with_a_missing_or_impossible_price_has_no_picture(fault: float) -> None:
    opened, high, low, close = windows(2)
    low[WARM_UP - 3, 1] = fault
    with pytest.raises(InvariantBroken, match="127 bars"):
        images(opened, high, low, close)
    with pytest.raises(InvariantBroken, match="windows of 127"):
        images(*(x[1:] for x in windows(1)))


def test_a_picture_as_a_png_is_read_back_to_the_bit() -> None:
    """By the format's own rules (RFC 2083): the one block of lines without a filter, red, green and blue of each level."""
    picture = images(*windows(1))[0]
    content = png(picture)
    at = content.index(b"IDAT")
    size = int.from_bytes(content[at - 4 : at], "big")
    lines = np.frombuffer(zlib.decompress(content[at + 4 : at + 4 + size]), np.uint8).reshape(64, 1 + 3 * 64)
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and content[16:24] == bytes((0, 0, 0, 64) * 2) and not lines[:, 0].any()
    np.testing.assert_array_equal(lines[:, 1:].reshape(64, 64, 3).transpose(2, 1, 0), picture)
    assert zlib.crc32(content[at : at + 4 + size]) == int.from_bytes(content[at + 4 + size : at + 8 + size], "big")
