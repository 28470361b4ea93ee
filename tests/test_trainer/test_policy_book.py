"""What the policy's own book earned walking forward, how sure that is, and how large a book it supports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from portfolio.risk.evidence import evidence_share
from portfolio.risk.kelly import kelly_growth
from signals.errors import BundleRefused, FixInput
from signals.market.dataset import read_manifest
from signals.monitoring.expectation import read_policy_book
from signals.text.documents import BadDocument, from_json, to_json
from tests.fakes.bundles import policy_book as told
from tests.fakes.curated import curate
from trainer.backtest.archive import open_archive
from trainer.backtest.policy_book import figures_of, policy_book
from trainer.runs.evidence import Evidence, measured_ic
from trainer.samples.source import read_source
from trainer.validation.deciles import next_opens
from trainer.validation.ic import Mean, block_mean

SESSIONS = 1_050


def test_the_error_of_a_mean_by_blocks_is_the_spread_of_all_circular_blocks() -> None:
    """1, 2, 3, 6, blocks of 2: means 1.5, 2.5, 4.5, 3.5, variance 1.25; SE^2 = 2/4 x 1.25 / (1 - 2/4) = 1.25."""
    found = block_mean(np.array([1.0, 2.0, 3.0, 6.0]), 2)
    assert (found.mean, found.standard_error, found.sessions) == pytest.approx((3.0, np.sqrt(1.25), 4))
    assert np.isnan(block_mean(np.array([1.0, 2.0, 3.0]), 2).t) and np.isnan(block_mean(np.full(8, 0.1), 2).t)


def test_the_closed_form_is_what_drawing_blocks_comes_to() -> None:
    rng = np.random.default_rng(0)
    net = np.convolve(rng.standard_t(5, 631), [1.0, 0.5], mode="valid") / 1e3
    starts = rng.integers(630, size=(20_000, 30))
    drawn = net[(starts[:, :, None] + np.arange(21)).reshape(20_000, -1) % 630].mean(axis=1)
    assert block_mean(net).standard_error == pytest.approx(drawn.std() / np.sqrt(1 - 21 / 630), rel=0.02)


@pytest.mark.parametrize(("sharpe", "median"), [(0.0, 0.0), (0.6, 0.34), (1.0, 0.76), (1.5, 0.89)])
def test_what_evidence_of_four_years_supports(sharpe: float, median: float) -> None:
    """4.2 years of fat-tailed returns with lasting volatility: noise is flat in 84 %, 0.075 of the book on average."""
    rng = np.random.default_rng(17)
    shares = []
    for _ in range(4_000):
        calm = np.exp(0.3 * np.repeat(rng.normal(size=SESSIONS // 21), 21))
        net = calm * rng.standard_t(6, SESSIONS)
        shares.append(evidence_share(block_mean(net / net.std() + sharpe / np.sqrt(252)).t))
    zero, mean = float(np.mean(np.array(shares) == 0.0)), float(np.mean(shares))
    print(f"true Sharpe {sharpe}: median {np.median(shares):.3f}, mean {mean:.3f}, zero in {zero:.1%}")
    assert np.median(shares) == pytest.approx(median, abs=0.05)
    if sharpe == 0.0:
        assert 0.81 < zero < 0.87 and 0.06 < mean < 0.10


def test_figures_that_are_not_linear_are_taken_once_with_their_interval() -> None:
    """Half Kelly of S: growth 0.5 S^2 - 0.125 S^2 = 3/8 S^2; at the low end the same book may lose."""
    net = np.random.default_rng(3).normal(0.0004, 0.005, SESSIONS)
    found = figures_of(net, np.full(SESSIONS, 0.8), 0.5)
    assert found.annual_sharpe == pytest.approx(net.mean() / net.std(ddof=1) * np.sqrt(252))
    assert found.annual_return == pytest.approx(net.mean() * 252) and found.gross == pytest.approx(0.8)
    assert found.growth == pytest.approx(3 / 8 * found.annual_sharpe**2)
    held = 0.5 * found.annual_sharpe
    assert found.growth_low == pytest.approx(kelly_growth(held, found.sharpe_low, 0.0, 1.0))
    half = (found.sharpe_high - found.sharpe_low) / 2
    assert half / 1.96 == pytest.approx(np.sqrt(252 / SESSIONS), rel=0.25), "close to a Sharpe ratio's own error"
    assert figures_of(-net, np.full(SESSIONS, 0.8), 0.5).growth == 0.0


def test_a_book_that_never_traded_has_a_t_of_zero() -> None:
    found = figures_of(np.empty(0), np.empty(0), 0.5)
    assert (found.sessions, found.t, found.gross, found.annual_sharpe) == (0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curate(tmp_path_factory.mktemp("market"))


def test_skill_is_told_from_noise_and_from_nothing(data: Path) -> None:
    """Scores that know the next opens earn a t that supports a book; the same shuffled do not; none trade nothing."""
    manifest = read_manifest(data)
    end = manifest.calendar.offset(manifest.last, -3)
    source = read_source(data, start=None, end=end, symbols=(), lookback_sessions=253)
    coming = 100.0 * np.nan_to_num(next_opens(source.bars, source.actions).earned)
    rng = np.random.default_rng(0)
    scores = coming + rng.normal(0.0, 3.0, coming.shape)
    scores[~source.bars.eligible] = np.nan
    scores[:252] = np.nan
    ic = Mean(0.05, 0.01, 5.0, 60)
    skilled = policy_book(data, source, scores, ic, 5)
    assert skilled.sessions > 42 and 0.2 < skilled.gross <= 1.0
    assert skilled.t > 2.0 and evidence_share(skilled.t) > 0.75
    assert read_policy_book({"policy_book": to_json(skilled)}, "evidence.json") == skilled
    noise = policy_book(data, source, np.where(np.isfinite(scores), rng.normal(size=scores.shape), np.nan), ic, 5)
    assert noise.t < skilled.t / 2
    for worthless in (Mean(-0.01, 0.01, -1.0, 60), Mean(0.01, float("nan"), float("nan"), 1)):
        assert policy_book(data, source, scores, worthless, 5).sessions == 0
    assert open_archive(data).manifest.snapshot_id == source.manifest.snapshot_id


def test_a_run_is_sized_by_its_walk_forward_ic_and_its_book() -> None:
    evidence = {
        "ic": {"mean": 0.02, "t_newey_west": 4.0, "standard_error": 0.005},
        "walk_forward": {"ic": {"mean": 0.01, "t": 1.5, "standard_error": 0.007}},
        "policy_book": told(t=2.0),
    }
    found = from_json(Evidence, evidence).sizing("run")
    assert (found.mean, found.t, found.book_t, found.evidence) == (0.01, 1.5, 2.0, 0.75)
    older = from_json(Evidence, {**evidence, "policy_book": None}).sizing("run")
    assert older.book_t is None and older.evidence == 0.0
    risk = measured_ic(from_json(Evidence, {"ic": {"mean": 0.4, "t_newey_west": 9.0, "standard_error": 0.04}}), "run")
    assert (risk.mean, risk.t) == (0.4, 9.0)
    with pytest.raises(FixInput, match="walk-forward IC has no t"):
        from_json(Evidence, {**evidence, "walk_forward": {"ic": {"mean": 0.01, "t": None, "standard_error": 0.007}}}).sizing("run")
    with pytest.raises(BundleRefused, match="policy book cannot be read: t: 'high' is no number"):
        read_policy_book({"policy_book": {**told(), "t": "high"}}, "run")
    for wrong in ({"gross": -0.1}, {"t": None}, {"sessions": -1}):
        with pytest.raises(BadDocument, match="policy_book"):
            from_json(Evidence, {"policy_book": {**told(), **wrong}})
