"""The promise inside a bundle: bands between its stated sessions, and what is no promise."""

from __future__ import annotations

import math
from typing import Any

import pytest

from signals.errors import BundleRefused
from signals.monitoring.expectation import read_expectation

FAN = [[-0.2, 0.0, 0.2], [-0.1, 0.01, 0.1], [-0.05, 0.02, 0.06]]
PROMISE: dict[str, Any] = {
    "format": "trademl-expectation/1",
    "sessions": 200,
    "cohorts": 5,
    "block_sessions": 10,
    "lives": 1000,
    "levels": [0.05, 0.5, 0.95],
    "after": [1, 4, 16],
    "ic": {"mean": 0.03, "standard_error": 0.01, "promised": 0.01, "bound": 0.4},
    "fans": {"ic": FAN, "turnover": FAN, "impact": FAN, "drawdown": FAN},
}


def test_bands_stand_at_the_stated_sessions_and_between_them_by_their_logarithm() -> None:
    """8 lies half-way from 4 to 16 in logarithms: half of -0.1 and -0.05."""
    found = read_expectation({"expectation": PROMISE}, "evidence.json")
    assert found is not None
    assert [found.band("ic", n) for n in (1, 4, 16)] == [tuple(row) for row in FAN]
    assert found.band("ic", 8) == pytest.approx((-0.075, 0.015, 0.08))
    assert found.band("ic", 2)[0] == pytest.approx(-0.2 + 0.1 * math.log(2) / math.log(4))
    assert found.band("drawdown", 400) == (-0.05, 0.02, 0.06)


def test_evidence_without_a_promise_promises_nothing() -> None:
    assert read_expectation({}, "evidence.json") is None
    assert read_expectation({"expectation": None}, "evidence.json") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "trademl-expectation/2"},
        {"after": [4, 1, 16]},
        {"after": [0, 4, 16]},
        {"levels": [0.05, 0.95]},
        {"levels": [0.5, 0.05, 0.95]},
        {"fans": {**PROMISE["fans"], "ic": FAN[:2]}},
        {"surprise": 1},
        {"ic": {**PROMISE["ic"], "promised": 0.4}},
        {"ic": {**PROMISE["ic"], "bound": 0}},
        {"cohorts": 0},
        {"fans": {**PROMISE["fans"], "ic": [[float("nan")] * 3] * 3}},
        {"fans": None},
        {"sessions": "many"},
    ],
    ids=str,
)
def test_what_is_no_promise_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BundleRefused, match="the expectation cannot be read"):
        read_expectation({"expectation": {**PROMISE, **changes}}, "evidence.json")
