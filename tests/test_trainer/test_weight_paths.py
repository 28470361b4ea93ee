"""The weight-level book next to the order-exact one, and the figures that promotion takes of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from execution.config import ExecutionConfig
from execution.planning.config import PlanningConfig
from portfolio.config import PortfolioConfig
from portfolio.policy.sizing import GRID, STATE, SizingPolicy
from portfolio.risk.kelly import SizingCoefficient
from signals.errors import TooLittleHistory
from signals.market.bars import Floats
from tests.fakes.curated import curate
from tests.fakes.quotes import quote
from trainer.backtest.archive import Archive, open_archive
from trainer.backtest.document import against_benchmark, annual_sharpe, drawdown, regimes_before, worth
from trainer.backtest.engine import BacktestPolicy, Course
from trainer.backtest.sizing import path_of
from trainer.backtest.subject import BookSettings, named, trade
from trainer.backtest.summary import summary
from trainer.backtest.weights import WeightPath, sized_path, weight_paths
from trainer.off_policy.sizing import SizedPath, judge_sizing
from trainer.validation.deciles import next_opens

PORTFOLIO = PortfolioConfig(names_per_side=15)
IC = SizingCoefficient(0.05, 6.0, 20.0)
EQUITY = 1_000_000.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return open_archive(curate(tmp_path_factory.mktemp("market")))


@pytest.fixture(scope="module")
def scores(archive: Archive) -> Floats:
    """What the next five sessions bring under much noise, from the 253rd session on: (2, T, N), the second noise."""
    rng = np.random.default_rng(0)
    coming = 100.0 * np.nan_to_num(next_opens(archive.whole, archive.actions).earned)
    ahead = sum(np.vstack([coming[k:], np.zeros((k, coming.shape[1]))]) for k in range(5))
    told = np.stack([ahead + rng.normal(0.0, 6.0, coming.shape), rng.normal(0.0, 1.0, coming.shape)])
    told[:, ~archive.whole.eligible] = np.nan
    told[:, :252] = np.nan
    return told


@pytest.fixture(scope="module")
def books(archive: Archive, scores: Floats) -> tuple[WeightPath, ...]:
    return weight_paths(archive, scores, PORTFOLIO, IC, 5, equity_usd=EQUITY)


@pytest.fixture(scope="module")
def course(archive: Archive, scores: Floats, books: tuple[WeightPath, ...]) -> Course:
    """The order-exact book of the first scores over the same sessions."""
    policy = BacktestPolicy(PORTFOLIO, ExecutionConfig(), IC, 5, "test")
    settings = BookSettings(PORTFOLIO, ExecutionConfig(), EQUITY)
    return trade(
        archive,
        policy,
        settings,
        list(books[0].sessions),
        lambda asof: named(archive, "equities_xs", asof, scores[:1, archive.whole.index(asof)], "test"),
    )


@pytest.mark.slow
def test_the_weight_level_book_stays_close_to_the_order_exact_one(course: Course, books: tuple[WeightPath, ...]) -> None:
    """47 sessions that earn 14 %: values within 0.5 % of each other all along, 0.15 % at the end, turnover within 10 %.

    One values at the open, the other at the close; one trades weights, the other whole shares in auctions.
    """
    book = books[0]
    exact = np.array([float(day.real_equity) / EQUITY for day in course.days])
    assert len(exact) == len(book.nav.nav) == 47 and exact[-1] > 1.1
    assert np.abs(np.log(book.nav.nav[1:] / exact[:-1])).max() < 5e-3
    assert abs(np.log(book.nav.nav[-1] / exact[-1])) < 1.5e-3
    one_way = sum(float(day.traded / day.equity) for day in course.days) / 2.0
    assert book.nav.turnover.sum() == pytest.approx(one_way, rel=0.10)


def test_the_summary_of_a_course_adds_up(course: Course, archive: Archive) -> None:
    """Net is paper less every cost; years and regimes hold every session once; costs split without rest."""
    found = summary(course, archive)
    assert found.sessions == 47 == sum(row.sessions for row in found.by_year.values())
    assert 47 - sum(row.sessions for row in found.by_regime.values()) <= 4  # a regime of one session has no figures
    end = float(course.days[-1].real_equity)
    assert found.net.total_return == pytest.approx(end / EQUITY - 1.0, rel=1e-9)
    paid = sum(found.costs.usd.values()) - found.costs.dividends_usd
    assert end == pytest.approx(float(course.days[-1].equity) - paid, abs=0.01)
    assert found.paper.total_return > found.net.total_return
    counts = dict(found.orders)
    assert counts.pop("count") == sum(counts.values()) == len(course.orders)


def test_a_regime_is_the_one_known_on_the_evening_before() -> None:
    """A fall changes no session up to its own: that one is still rising, the next is wild and falling."""
    index = np.full(400, 0.001) + np.random.default_rng(0).normal(0.0, 0.002, 400)
    fallen = index.copy()
    fallen[300] = -0.2
    before, after = regimes_before(index), regimes_before(fallen)
    assert set(before[:253]) == {"unknown"} and np.array_equal(before[:301], after[:301])
    assert before[300].endswith("rising") and before[301].endswith("rising") and after[301] == "wild, falling"


def test_a_book_that_whole_shares_miss_opens_nothing_and_the_path_of_its_orders_says_so(
    archive: Archive, scores: Floats, books: tuple[WeightPath, ...]
) -> None:
    """Where a millionth may be missed every book is too coarse: on a device it would trip `ROUNDING`, by the default none of these does."""
    scored = lambda asof: named(archive, "equities_xs", asof, scores[:1, archive.whole.index(asof)], "test")  # noqa: E731
    for execution, is_coarse in ((ExecutionConfig(), False), (ExecutionConfig(planning=PlanningConfig(max_rounding=1e-6)), True)):
        settings, days = BookSettings(PORTFOLIO, execution, EQUITY), list(books[0].sessions[:2])
        found = trade(archive, BacktestPolicy(PORTFOLIO, execution, IC, 5, "test"), settings, days, scored)
        coarse = path_of(found).coarse
        assert coarse is not None and coarse.tolist() == [is_coarse] * 2 and bool(found.orders) != is_coarse


def test_paths_do_not_see_one_another(archive: Archive, scores: Floats, books: tuple[WeightPath, ...]) -> None:
    for path, together in enumerate(books):
        alone = weight_paths(archive, scores[path : path + 1], PORTFOLIO, IC, 5, equity_usd=EQUITY)[0]
        assert np.array_equal(alone.net, together.net)


def test_later_scores_change_no_earlier_return(archive: Archive, scores: Floats, books: tuple[WeightPath, ...]) -> None:
    other = scores.copy()
    other[:, 280:] *= -1.0
    changed = weight_paths(archive, other, PORTFOLIO, IC, 5, equity_usd=EQUITY)[0]
    assert np.array_equal(changed.net[:28], books[0].net[:28])
    assert not np.allclose(changed.net[30:], books[0].net[30:])


def test_net_returns_compound_to_the_book_s_value(books: tuple[WeightPath, ...]) -> None:
    for book in books:
        assert np.prod(1.0 + book.net) == pytest.approx(book.nav.nav[-1], rel=1e-12)


def test_an_ic_that_is_not_positive_holds_nothing(archive: Archive, scores: Floats) -> None:
    flat = weight_paths(archive, scores[:1], PORTFOLIO, SizingCoefficient(-0.01, -3.0, 20.0), 5, equity_usd=EQUITY)[0]
    assert not flat.nav.turnover.any() and not flat.net.any()


def test_figures_of_four_returns_worked_by_hand() -> None:
    """+10 %, -20 %, +5 %, +5 %: 1.1, 0.88, 0.924, 0.9702; the deepest fall is 20 %; mean 0, so no Sharpe ratio."""
    net = np.array([0.10, -0.20, 0.05, 0.05])
    found = worth(net)
    assert found.total_return == pytest.approx(-0.0298) and found.max_drawdown == pytest.approx(0.20)
    assert found.annual_sharpe == pytest.approx(0.0, abs=1e-12)
    assert found.annual_return == pytest.approx(0.9702 ** (252 / 4) - 1.0)
    assert drawdown(net) == pytest.approx([0.0, 0.2, 0.16, 0.118])
    assert annual_sharpe(np.array([0.01, 0.03])) == pytest.approx(0.02 / np.sqrt(2e-4) * np.sqrt(252))


def test_a_book_beside_an_index_worked_by_hand() -> None:
    """Index +1, -1, +1, -1 %; book 2, 0, 2, 0 %: beta 1, and 1 % a session more."""
    index = np.array([0.01, -0.01, 0.01, -0.01])
    found = against_benchmark(index + 0.01, index)
    assert found.beta == pytest.approx(1.0) and found.correlation == pytest.approx(1.0)
    assert found.tracking_error == pytest.approx(0.0, abs=1e-12)
    assert found.tracking_difference == pytest.approx(1.02**126 - (1.01 * 0.99) ** 126)
    doubled = against_benchmark(2.0 * index, index)
    assert doubled.beta == pytest.approx(2.0)
    assert doubled.tracking_error == pytest.approx(0.01 * (4 / 3) ** 0.5 * 252**0.5)
    still = against_benchmark(index, np.zeros(4))
    assert still.beta is None and still.correlation is None


def test_returns_that_never_vary_have_no_sharpe_ratio_and_earn_no_credit() -> None:
    assert worth(np.zeros(10)).annual_sharpe is None and annual_sharpe(np.zeros(10)) == 0.0
    with pytest.raises(TooLittleHistory):
        worth(np.zeros(1))


def test_a_loss_at_once_counts_as_a_drawdown_from_the_start() -> None:
    assert worth(np.array([-0.10, 0.02])).max_drawdown == pytest.approx(0.10)


def test_a_quoted_name_costs_its_own_half_spread(archive: Archive, scores: Floats, books: tuple[WeightPath, ...], tmp_path: Path) -> None:
    """Every name quoted at 25 bps: the same book pays 10 bps a side more of what it trades at the assumed 5."""
    shutil.copytree(archive.folder, tmp_path / "quoted")
    asof = archive.manifest.last
    quote(tmp_path / "quoted", [(asof, name, 25.0) for name in archive.rows.closes(asof)])
    quoted = weight_paths(open_archive(tmp_path / "quoted"), scores, PORTFOLIO, IC, 5, equity_usd=EQUITY)[0]
    gone = archive.usual_spreads()
    assert np.mean(gone == 5.0) > 0.9 and gone.min() == 5.0  # the others' bars show more, or are under a tick
    first = books[0].nav
    assert quoted.nav.cost[0] - first.cost[0] == pytest.approx(2.0 * first.turnover[0] * 10e-4, rel=0.1)


def test_an_end_without_a_recorded_price_costs_a_long_its_share_and_gives_a_short_nothing(
    archive: Archive, scores: Floats, books: tuple[WeightPath, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole book of one session ends: its return is 30 % of what it was long, before costs."""
    first, row = int(np.flatnonzero(np.isfinite(scores).any(axis=(0, 2)))[0]), 280
    ends = np.full(len(archive.whole.symbols), row)
    monkeypatch.setattr("trainer.backtest.weights.unpriced_ends", lambda bars, actions: ends)
    stressed = weight_paths(archive, scores, PORTFOLIO, IC, 5, equity_usd=EQUITY, unpriced=0.3)
    place = row - first
    assert np.array_equal(stressed[0].nav.nav[:place], books[0].nav.nav[:place])
    assert stressed[0].net[place] < -0.02 < books[0].net[place]
    nothing = weight_paths(archive, scores, PORTFOLIO, IC, 5, equity_usd=EQUITY, unpriced=0.0)
    assert abs(nothing[0].net[place]) < 0.002  # costs and borrow only: shorts gain nothing either
    long = -(stressed[0].net[place] - nothing[0].net[place]) / 0.3
    assert 0.1 < long < 0.6


@pytest.mark.slow
def test_a_sizing_policy_lowers_both_books_alike(archive: Archive, scores: Floats, books: tuple[WeightPath, ...], course: Course) -> None:
    """Half the book from the second week on: states are those of the whole book, and the order-exact book follows."""
    half = np.zeros((len(GRID), len(GRID), 1 + len(STATE)))
    half[:, 2, 0] = 1.0
    policy = SizingPolicy(STATE, np.zeros(len(STATE)), np.ones(len(STATE)), half)
    begin = books[0].sessions[10]
    sizing_on = lambda asof: policy if asof >= begin else None  # noqa: E731
    whole = sized_path(archive, scores[0], PORTFOLIO, IC, 5, lambda asof: None, equity_usd=EQUITY)
    sized = sized_path(archive, scores[0], PORTFOLIO, IC, 5, sizing_on, equity_usd=EQUITY)
    assert np.array_equal(whole.net, books[0].net) and whole.multipliers is not None and (whole.multipliers == 1.0).all()
    assert whole.env is not None and np.array_equal(whole.env.replay(np.ones(47)).nav, books[0].nav.nav)
    assert sized.env is not None and np.array_equal(sized.env.states, whole.env.states)
    assert sized.multipliers is not None and sorted(set(sized.multipliers.tolist())) == [0.5, 1.0]
    assert np.median(sized.gross[20:] / whole.gross[20:]) == pytest.approx(0.5, abs=0.02)
    policy_of = BacktestPolicy(PORTFOLIO, ExecutionConfig(), IC, 5, "test", sizing_on=sizing_on)
    days = list(books[0].sessions)
    scored = lambda asof: named(archive, "equities_xs", asof, scores[:1, archive.whole.index(asof)], "test")  # noqa: E731
    exact = trade(archive, policy_of, BookSettings(PORTFOLIO, ExecutionConfig(), EQUITY), days, scored)
    value = np.array([float(day.real_equity) / EQUITY for day in exact.days])
    assert np.abs(np.log(sized.nav.nav[1:] / value[:-1])).max() < 5e-3
    assert float(exact.days[-1].gross / exact.days[-1].equity) == pytest.approx(sized.gross[-1], rel=0.1)
    by_orders, by_weights = (
        judge_sizing(path_of(exact), path_of(course)),
        judge_sizing(*(SizedPath.of(one.nav, 1) for one in (sized, whole))),
    )
    assert by_orders.gain < -0.1 and by_orders.gain == pytest.approx(by_weights.gain, rel=0.1), "half of a book that earns"
    assert by_orders.turnover == pytest.approx(sum(float(day.traded / day.equity) for day in exact.days) / 2 / 47)
    assert not by_orders.is_accepted and by_orders.drawdown <= by_orders.whole_drawdown
