"""A difference of Sharpe ratios on common sessions: against the closed form, its size and its power."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from signals.errors import FixInput
from trainer.__main__ import app
from trainer.validation.significance.paired import chance_of_bound_above, compared, paired, standard_error
from trainer.validation.significance.power import chance_above, sessions_needed, sharpe_error

YEAR = 252**0.5


def normal_pair(seed: int, sessions: int, correlation: float, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    own = np.random.default_rng(seed).normal(size=(sessions, 2))
    mixed = correlation * own[:, 0] + np.sqrt(1 - correlation**2) * own[:, 1]
    return 0.01 * (mixed + (0.5 + gain) / YEAR), 0.01 * (own[:, 0] + 0.5 / YEAR)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_the_error_is_that_of_the_closed_form_for_independent_normal_returns(correlation: float) -> None:
    """Memmel (2003), with the Sharpe ratios and the correlation that were seen; 5,000 sessions."""
    ours, theirs = normal_pair(1, 5000, correlation, 0.4)
    found = paired(ours, theirs, seed=0, draws=99)
    assert found is not None
    s1, s2 = (x.mean() / x.std() * YEAR for x in (ours, theirs))
    assert found.difference == pytest.approx(s1 - s2)
    assert found.standard_error == pytest.approx(standard_error(found.correlation, 5000, s1, s2), rel=0.10)


def test_memmel_s_variance_by_hand() -> None:
    """Daily S1 = 0.1, S2 = 0.05, r = 0.6, T = 100: [0.8 + (0.01 + 0.0025 - 0.0036) / 2] / 100 = 0.0080445 a session."""
    assert standard_error(0.6, 100, 0.1 * YEAR, 0.05 * YEAR) == pytest.approx((0.0080445 * 252) ** 0.5)


def test_the_power_that_is_stated_is_that_of_the_closed_form() -> None:
    """A gain of 0.3 a year at a correlation of 0.9: 9 % in 60 sessions, 16 % in a year, 39 % in 4.2 years."""
    seen = [chance_of_bound_above(0.0, 0.3, 0.9, sessions, 0.05) for sessions in (60, 252, 1058)]
    assert seen == pytest.approx([0.094, 0.165, 0.393], abs=0.002)
    assert chance_of_bound_above(0.0, 0.0, 0.9, 252, 0.05) == pytest.approx(0.05)
    assert chance_of_bound_above(-0.2, 0.0, 1.0, 252, 0.10) == 1.0 and chance_of_bound_above(0, 0, 1.0, 9, 0.1) == 0.0


def test_equal_books_pass_for_better_once_in_twenty_and_the_power_is_as_stated() -> None:
    """300 pairs of 504 sessions at a correlation of 0.9: level 5 %, power of a gain of 0.6 49 %."""
    rates = []
    for gain in (0.0, 0.6):
        found = [paired(*normal_pair(seed, 504, 0.9, gain), seed=seed, draws=499) for seed in range(300)]
        rates.append(np.mean([one is not None and one.lower_bound(0.05) > 0.0 for one in found]))
    assert 0.02 <= rates[0] <= 0.085
    assert rates[1] == pytest.approx(chance_of_bound_above(0.0, 0.6, 0.9, 504, 0.05), abs=0.08)


def test_dependence_between_sessions_widens_the_error() -> None:
    """A difference that is smoothed over five sessions has a mean that is five times less sure in variance."""
    rng = np.random.default_rng(3)
    smooth = np.convolve(rng.normal(size=5004), np.ones(5) / 5**0.5, mode="valid")
    theirs = 0.01 * rng.normal(size=5000)
    found, plain = (paired(theirs + 0.005 * noise, theirs, seed=0, draws=99) for noise in (smooth, smooth[rng.permutation(5000)]))
    assert found is not None and plain is not None
    assert 1.6 < found.standard_error / plain.standard_error < 2.4


def test_the_same_books_give_the_same_bound_to_the_bit() -> None:
    pair = normal_pair(5, 300, 0.8)
    first, again, other = (paired(*pair, seed=seed, draws=999) for seed in (1, 1, 2))
    assert first is not None and again is not None and other is not None
    assert np.array_equal(first.studentised, again.studentised)
    assert first.lower_bound(0.05) != other.lower_bound(0.05)
    assert first.lower_bound(0.05) == pytest.approx(other.lower_bound(0.05), abs=0.15)


def test_what_cannot_be_compared_is_none() -> None:
    ours, theirs = normal_pair(6, 300, 0.5)
    assert paired(ours[:9], theirs[:9], seed=0) is None
    assert paired(ours, np.zeros(300), seed=0) is None
    same = paired(ours, ours, seed=0)
    assert same is not None and same.lower_bound(0.05) == 0.0 == same.difference
    for seed in range(5):  # one book whose names were added up in another order: neither is better
        alike = paired(ours + 1e-17 * np.random.default_rng(seed).normal(size=300), ours, seed=0)
        assert alike is not None and alike.lower_bound(0.05) == 0.0


def test_the_closed_forms_of_power_by_hand() -> None:
    assert sharpe_error(0.0, 252) == 1.0
    assert sharpe_error(1.0, 252) == pytest.approx((252.5 / 252) ** 0.5)
    assert chance_above(0.0, 1.0, 1.0) == pytest.approx(0.8413, abs=1e-4)
    deviation = 0.2074  # of a session's IC, its dependence included, on the files that were measured
    assert sessions_needed(0.0136, deviation) == pytest.approx(1438, abs=2)
    assert sessions_needed(2 * 0.0136, deviation) == pytest.approx(359, abs=1)
    assert sessions_needed(0.0, deviation) == float("inf")


def test_two_books_are_compared_on_their_common_sessions_with_what_those_can_tell() -> None:
    """Of 504 and 400 sessions 300 are common; at a correlation of 0.9 a gain of 0.3 takes 2 (1 - 0.9) 252 (2.486 / 0.3)^2 = 3,462."""
    ours, theirs = normal_pair(3, 604, 0.9, 1.0)
    found = compared(dict(enumerate(ours[:504])), dict(zip(range(204, 604), theirs[204:], strict=True)))
    own = paired(ours[204:504], theirs[204:504], seed=20260101)
    assert found is not None and own is not None and found.sessions == 300
    assert (found.difference, found.low, found.high) == (own.difference, own.lower_bound(0.025), own.lower_bound(0.975))
    assert found.low < found.difference < found.high and found.needed == pytest.approx(3462, rel=0.15)
    assert found.chance == chance_of_bound_above(0.0, 0.3, found.correlation, 300, 0.05)
    assert compared({1: 0.1}, {2: 0.1}) is None and compared(dict(enumerate(ours)), dict.fromkeys(range(604), 0.0)) is None


def account(path: Path, returns: np.ndarray, real: float | None = 0.0) -> Path:
    """A file as a device writes it, newest session first; with real costs a `real` less a session."""
    values, costly = 1e5 * np.cumprod(1 + returns), 1e5 * np.cumprod(1 + returns - (real or 0.0))
    days = [date(2025, 1, 1) + timedelta(n) for n in range(len(returns))]
    rows = [
        {"session": f"{day}", "paper_nav": f"{paper:.2f}", "restated_nav": None if real is None else f"{less:.2f}"}
        for day, paper, less in zip(days, values, costly, strict=True)
    ]
    path.write_text(json.dumps({"session": str(days[-1]), "rows": rows[::-1], "total": len(rows)}))
    return path


def test_two_accounts_are_compared_by_what_their_devices_recorded(tmp_path: Path) -> None:
    """With real costs where both know them; a file that is none, and one of an account without value, are refused."""
    ours, theirs = normal_pair(5, 120, 0.8, 2.0)
    first = account(tmp_path / "first.json", ours, 0.001)
    for second, figure in (
        (account(tmp_path / "s.json", theirs), "restated_nav"),
        (account(tmp_path / "p.json", theirs, None), "paper_nav"),
    ):
        done = CliRunner().invoke(app, ["compare-accounts", str(first), str(second), "--json"])
        assert done.exit_code == 0, done.output
        found, less = json.loads(done.output), 0.001 if figure == "restated_nav" else 0.0
        own = paired(ours[1:] - less, theirs[1:], seed=20260101)
        assert own is not None and (found["figure"], found["sessions"]) == (figure, 119)
        assert found["difference"] == pytest.approx(own.difference, abs=1e-3) and found["needed"] > 1000
    for broken in ("{}", "[1]", json.dumps({"rows": [{"session": "2025-01-01", "paper_nav": "0", "restated_nav": None}]})):
        (tmp_path / "broken.json").write_text(broken)
        done = CliRunner().invoke(app, ["compare-accounts", str(first), str(tmp_path / "broken.json")])
        assert isinstance(done.exception, FixInput) and "no values of an account" in str(done.exception), done.output
