"""How often a bar is wrong: what luck passes and skill fails stands in its row, and is what was computed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.fakes.promotion import ABSENT, BARS, DAYS, NET, NET_PATH, RIVAL, case, failed, row
from trainer.promotion.bars.holdout import charged
from trainer.promotion.bars.judge import judge
from trainer.runs.evidence import BarResult
from trainer.validation.significance.power import deflated_rates, sharpe_error


def test_the_shadow_s_power_is_computed_and_nothing_calls_it_skill() -> None:
    """The measured files: IC 0.0136, long-run deviation 0.2074 a session; 1,438 and 359 sessions."""
    ic = {"mean": 0.0136, "standard_error": 0.2074 / 1050**0.5, "sessions": 1050}
    found = row(judge(case({**RIVAL, "evidence.walk_forward": {"ic": ic}, "shadow.band_low": -0.0308}), BARS), "shadow")
    assert found.passed and "no evidence of skill" in found.power
    needed = [float(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:sessions )?against", found.power)]
    assert needed == pytest.approx([1438, 359], abs=2)
    assert "dead model pass with 87%" in found.power and "opposite sign with 74%" in found.power
    for gone in (ABSENT, {"ic": {**ic, "standard_error": None}}):
        unknown = row(judge(case({**RIVAL, "evidence.walk_forward": gone}), BARS), "shadow").power
        assert "unknown" in unknown


def books(true: float, correlation: float, sessions: int, seed: int) -> tuple[list[float], list[float]]:
    """Net returns of a challenger that is better by `true` a year than its champion of Sharpe ratio 1, fat-tailed."""
    rng = np.random.default_rng(seed)
    own = rng.standard_t(5, size=(sessions, 2)) / np.sqrt(5 / 3)
    theirs, mixed = own[:, 0], correlation * own[:, 0] + np.sqrt(1 - correlation**2) * own[:, 1]
    year = np.sqrt(252.0)
    return (0.01 * (mixed + (1 + true) / year)).tolist(), (0.01 * (theirs + 1 / year)).tolist()


def challenged(true: float, seed: int, **more: Any) -> BarResult:
    ours, theirs = books(true, 0.9, len(DAYS), seed)
    rival = {**RIVAL, "word": None, "champion.series": {"sessions": DAYS, "net": theirs}, **more}
    return row(judge(case({**rival, "measured.walk_forward.series.net": ours}), BARS), "champion")


def test_the_larger_of_two_sharpe_estimates_is_no_better_book() -> None:
    """Forty equal books: half show the larger ratio, and nearly none of them passes for better."""
    found = [challenged(0.0, seed) for seed in range(40)]
    assert 12 <= sum(float(r.value or 0.0) > 0.0 for r in found) <= 28
    assert sum(r.passed for r in found) <= 5


def test_the_power_of_the_comparison_stands_in_its_row() -> None:
    """600 sessions at a correlation of 0.9: error 0.29, so a gain of 0.3 is seen in about 27 %."""
    found = challenged(0.0, 1)
    told = re.search(r"gain of 0.3 a year is seen with (\d+)%", found.power)
    assert told is not None and 22 <= int(told[1]) <= 33 and "passes with" in found.power


def test_the_challengers_of_a_year_share_the_probability_of_error() -> None:
    """What a first challenger shows at 5 %, a tenth must show at 0.5 %."""
    seed = next(s for s in range(40) if challenged(0.5, s).passed and not challenged(0.0, s).passed)
    tenth = challenged(0.5, seed, **{"champion.challengers": 10})
    assert "at 0.5%" in tenth.why and "challenger 10" in tenth.why
    bounds = [float(re.search(r"lower bound ([+-]\d+\.\d+)", r.why)[1]) for r in (challenged(0.5, seed), tenth)]  # type: ignore[index]
    assert bounds[1] < bounds[0]


def test_a_seal_that_was_seen_before_asks_for_more() -> None:
    """Sidak: two dead challengers together pass 50 % of the time if each does with 29 %: 0.545 standard errors."""
    assert charged(0.0, 0, 252) == pytest.approx(0.0, abs=1e-12)
    assert charged(0.0, 1, 252) == pytest.approx(0.5450, abs=1e-3)
    assert charged(0.0, 9, 252) == pytest.approx(1.4988, abs=1e-3)
    for seen in ({"openings": 1, "looks": 0}, {"openings": 0, "looks": 1}):
        assert judge(case({"seen": seen, "holdout.annual_sharpe": 0.55}), BARS).is_promoted
        refused = judge(case({"seen": seen, "holdout.annual_sharpe": 0.54}), BARS)
        assert failed(refused) == ["holdout"] and "seen 1 time before" in row(refused, "holdout").why
    assert failed(judge(case({"seen": {"openings": -1, "looks": 0}}), BARS)) == ["holdout"]


def test_dead_challengers_of_one_seal_pass_together_as_often_as_one_alone() -> None:
    """2,000 years of luck, shown to five in turn: at least one passes in about half of them."""
    rng = np.random.default_rng(4)
    limits = np.array([charged(0.0, before, 252) for before in range(5)])
    shown = rng.normal(size=(2000, 5)) * sharpe_error(0.0, 252)
    alone, fifth = (shown[:, 0] > 0).mean(), (shown > limits[4]).any(axis=1).mean()
    assert alone == pytest.approx(0.5, abs=0.04) and fifth == pytest.approx(0.5, abs=0.04)
    assert (shown > 0).any(axis=1).mean() > 0.95, "uncharged, five sights of the seal would let luck pass"


def test_both_error_rates_of_the_holdout_stand_in_its_row() -> None:
    """252 sessions, standard error 1: Phi(0) of the dead pass, Phi(-1) of a true ratio of 1 are refused."""
    told = row(judge(case(), BARS), "holdout").power
    assert "standard error is 1.00" in told
    assert "ratio of 0 passes with 50%" in told and "of 1.0 is refused with 16%" in told


def test_the_power_of_the_calibration_stands_in_its_row() -> None:
    """Error 0.25: a slope of one half lies two errors off, so Phi(2 - 1.645) = 64 % of such maps are refused."""
    told = row(judge(case(), BARS), "reliability").power
    assert "honest map is refused with 10%" in told and "twice too sure with 64%" in told


def test_what_the_trials_ask_for_stands_in_the_row_of_the_deflated_ratio() -> None:
    """One trial, 1,260 sessions, DSR 0.95: a hurdle of 1.645 x 0.447 = 0.74 a year; a true 1 clears it in 72 %."""
    told = deflated_rates(0.736, 0.95, 0.95, 1260)
    assert "ask for 0.74 a year over 1260 sessions" in told
    assert "of 0.0 with 5%, 1.0 with 72%, 2.0 with 100%" in told
    assert deflated_rates(9.0, 1.0, 0.95, 1260) == ""
    refused = judge(case({"trials.n_trials": 47}), BARS)
    assert "the trials ask for" in row(refused, "DSR").power and row(refused, "DSR").power in refused.refusal


def test_every_statistical_bar_that_refuses_says_how_often_it_is_wrong() -> None:
    poor = judge(
        case({**RIVAL, "word": None, "champion.series.net": NET[100:], "holdout.annual_sharpe": -1.0, f"{NET_PATH}.annual_sharpe": 0.5}),
        BARS,
    )
    assert set(failed(poor)) == {"net Sharpe", "champion", "holdout"}
    assert all(row(poor, bar).power in poor.refusal and row(poor, bar).power for bar in failed(poor))
