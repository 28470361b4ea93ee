"""Returns beyond 100 %: the same event, at the same size, in the weight-level book and in the order-exact backtest."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from execution.config import ExecutionConfig
from portfolio.config import PortfolioConfig
from portfolio.risk.kelly import SizingCoefficient
from signals.audit.extremes import waiting
from signals.features.panel import FeaturePanel
from signals.market.bars import Floats
from signals.market.eligibility_rule import ANY
from signals.text import strict_json
from signals.text.documents import from_json
from tests.fakes.bars import synthetic_bars
from tests.fakes.curated import curate
from trainer.backtest.archive import Archive, open_archive, universe
from trainer.backtest.document import BacktestFigures, BacktestProvenance, annual_sharpe, worth
from trainer.backtest.engine import BacktestPolicy, Course
from trainer.backtest.run import certainty, nav_table, origins, warnings_of
from trainer.backtest.scored import Origin
from trainer.backtest.subject import BookSettings, named, trade
from trainer.backtest.summary import summary
from trainer.backtest.weights import WeightPath, weight_paths
from trainer.curation.config import CurationConfig
from trainer.labels.horizon import horizon_labels, normal_ranks
from trainer.promotion.measure import book_figures
from trainer.reports.backtest import report_files
from trainer.runs.run_folder import canonical_json
from trainer.runs.trials import Trials
from trainer.samples.samples import samples

PORTFOLIO = PortfolioConfig(names_per_side=15)
IC = SizingCoefficient(0.05, 6.0, 1e9)  # evidence enough that the whole book is held
EQUITY = 1_000_000.0
JUMPS_ON = date(2024, 12, 2)
TIMES = 225.0  # 27 / 0.12
HALTED_ON, HALTED = date(2024, 11, 19), 9
PRICES = ("open", "high", "low", "close")


def _planted(table: pa.Table) -> pa.Table:
    return _jumped(_halted(table))


def _halted(table: pa.Table) -> pa.Table:
    """One name has no bar on `HALTED_ON` and trades 59 % lower from the session after it on."""
    is_it = pc.equal(table["symbol"], sorted(set(table["symbol"].to_pylist()))[HALTED])
    day = table["date"].to_numpy().astype("datetime64[D]")
    factor = pa.array(np.where(day > np.datetime64(HALTED_ON), 0.41, 1.0))
    for column in (*PRICES, "adj_close"):
        if column in table.column_names:
            place = table.column_names.index(column)
            moved = pc.if_else(is_it, pc.multiply(table[column], factor), table[column])
            table = table.set_column(place, column, moved)
    return table.filter(pc.invert(pc.and_(is_it, pa.array(day == np.datetime64(HALTED_ON)))))


def _jumped(table: pa.Table) -> pa.Table:
    """One name trades at a fiftieth of its price until `JUMPS_ON`, and at 225 times that level from then on."""
    name = sorted(set(table["symbol"].to_pylist()))[7]
    is_it = pc.equal(table["symbol"], name)
    day = table["date"].to_numpy().astype("datetime64[D]")
    factor = np.where(day >= np.datetime64(JUMPS_ON), TIMES / 50.0, 0.02)
    for column in (*PRICES, "adj_close"):
        if column in table.column_names:
            place = table.column_names.index(column)
            moved = pc.if_else(is_it, pc.multiply(table[column], pa.array(factor)), table[column])
            table = table.set_column(place, column, moved)
    shares = pc.if_else(is_it, pc.multiply(pc.cast(table["volume"], pa.float64()), 50.0), table["volume"])
    return table.set_column(table.column_names.index("volume"), "volume", shares)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return open_archive(curate(tmp_path_factory.mktemp("market"), planted=_planted, config=CurationConfig(min_history=30, eligibility=ANY)))


def jumper(archive: Archive) -> int:
    return int(np.nanargmax(np.nanmax(archive.whole.total_return, axis=0)))


def halted(archive: Archive) -> int:
    return int(np.nanargmin(np.nanmin(archive.whole.gap_return, axis=0, initial=0.0)))


@pytest.fixture(scope="module")
def scores(archive: Archive) -> Floats:
    """Noise that ranks the name that will jump last in every session, and the one that will be halted first."""
    told = np.random.default_rng(0).normal(0.0, 1.0, (1, *archive.whole.close.shape))
    told[:, :, jumper(archive)], told[:, :, halted(archive)] = -10.0, 10.0
    told[:, ~archive.whole.eligible] = np.nan
    told[:, :252] = np.nan
    return told


@pytest.fixture(scope="module")
def book(archive: Archive, scores: Floats) -> WeightPath:
    return weight_paths(archive, scores, PORTFOLIO, IC, 5, equity_usd=EQUITY)[0]


@pytest.fixture(scope="module")
def course(archive: Archive, scores: Floats, book: WeightPath) -> Course:
    policy = BacktestPolicy(PORTFOLIO, ExecutionConfig(), IC, 5, "test")
    settings = BookSettings(PORTFOLIO, ExecutionConfig(), EQUITY)
    return trade(
        archive,
        policy,
        settings,
        list(book.sessions),
        lambda asof: named(archive, "equities_xs", asof, scores[:1, archive.whole.index(asof)], "test"),
    )


def test_the_planted_event_is_in_the_returns_at_its_full_size(archive: Archive) -> None:
    row = archive.whole.index(JUMPS_ON)
    assert 200.0 < archive.whole.total_return[row, jumper(archive)] < 250.0


def test_a_name_that_waits_is_not_traded_and_the_plan_says_so(course: Course, archive: Archive) -> None:
    """The fall across the halt holds its level for five sessions: the name is traded again on the sixth."""
    column, back = halted(archive), archive.whole.index(HALTED_ON) + 1
    assert archive.whole.undecided[back, column] and not archive.whole.eligible[back : back + 5, column].any()
    assert archive.whole.eligible[back + 5, column]
    name, days = archive.whole.symbols[column], archive.whole.sessions.astype(object).tolist()
    traded = {fill.at.date() for fill in course.fills if fill.symbol == name}
    assert not traded & set(days[back + 1 : back + 6]) and traded & set(days[back + 6 :])
    assert name in waiting(archive.trailing(days[back + 2], 60))
    assert name not in waiting(archive.trailing(days[back + 5], 60))


def test_a_fall_of_59_percent_across_a_halt_costs_both_books_the_same(course: Course, book: WeightPath, archive: Archive) -> None:
    """Nothing is traded of the name on the day of the halt, and both lose its weight x 59 % at the open after it."""
    row, column = archive.whole.index(HALTED_ON), halted(archive)
    assert np.isnan(archive.whole.close[row, column])
    assert archive.whole.gap_return[row + 1, column] == pytest.approx(-0.59, abs=0.1)
    at = book.sessions.index(HALTED_ON)
    ours = book.nav.nav[at + 1] / book.nav.nav[at - 1]
    name = archive.whole.symbols[column]
    assert not [f for f in course.fills if f.symbol == name and f.at.date() == HALTED_ON]
    exact = np.array([float(day.real_equity) / EQUITY for day in course.days])
    apart = np.abs(np.log(book.nav.nav[1 : at + 3] / exact[: at + 2]))  # the open of a session and the close before it
    assert ours < 0.99 and exact[at + 1] / exact[at - 1] < 0.99
    assert np.delete(apart, at).max() < 5e-3 and apart[at] > 0.01  # the fall is between that close and that open


def test_a_name_of_cents_is_not_eligible_unless_the_rule_asks_for_nothing(
    archive: Archive, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Under the ordinary rule nobody could have been short of it before it jumped."""
    usual = open_archive(curate(tmp_path_factory.mktemp("usual"), planted=_planted)).whole
    column, row = jumper(archive), archive.whole.index(JUMPS_ON)
    assert archive.whole.eligible[30:row, column].all() and not usual.eligible[:row, column].any()
    assert usual.eligible[:row].sum() > 0.9 * archive.whole.eligible[:row].sum()


def test_both_books_are_ruined_by_the_same_event_on_the_same_session(course: Course, book: WeightPath) -> None:
    """A short position of a hundredth or more of equity times 224: more than all there is, in both alike."""
    assert course.ruined == JUMPS_ON == course.days[-1].session
    assert book.nav.ruined is not None and book.sessions[book.nav.ruined] == JUMPS_ON
    exact = float(course.days[-1].real_equity) / EQUITY
    assert book.nav.nav[-1] == pytest.approx(exact, rel=0.05) and exact < -0.5
    assert not book.net[book.nav.ruined + 1 :].any() and len(book.net) > book.nav.ruined + 1


def test_a_ruined_backtest_ends_in_figures_that_say_so(course: Course, archive: Archive) -> None:
    found = summary(course, archive)
    assert found.ruined == JUMPS_ON and found.net.is_ruined
    assert found.net.annual_sharpe is None and found.net.annual_return == -1.0
    assert found.net.total_return == pytest.approx(float(course.days[-1].real_equity) / EQUITY - 1.0, rel=1e-9)
    assert found.net.max_drawdown > 1.0
    assert certainty(found.net, Trials()).dsr is None
    assert universe(archive).document(np.array([0.01, -2.0]), np.array([0.0, 0.01])).beta is not None


def test_the_report_of_a_ruined_backtest_says_it_first(course: Course, archive: Archive) -> None:
    told = summary(course, archive)
    evenings = SimpleNamespace(archive=archive, origin=lambda asof: Origin.WALK_FORWARD)
    provenance = {
        "run": "planted",
        "sleeve": "equities_xs",
        "bundle": None,
        "fixed_ic": None,
        "ic": {"mean": 0.05, "t": 6.0, "evidence": 1.0},
        "survivorship": "point-in-time",
        "is_trained_on": True,
        "last_training_session": "2024-01-02",
        "seed": 0,
        "dataset": "planted",
        "vendor": "generated",
        "snapshot_id": "0" * 64,
        "settings": "0" * 64,
        "code_version": "test",
        "eligibility": "at least 5 USD",
    }
    figures = BacktestFigures(
        **vars(told),
        certainty=certainty(told.net, Trials()),
        provenance=from_json(BacktestProvenance, provenance),
        left_out=0,
        unknown_returns=3,
        scores=origins(evenings, [day.session for day in course.days]),
    )
    figures = replace(figures, warnings=warnings_of(figures))
    assert from_json(BacktestFigures, strict_json.loads(canonical_json(figures), decimals=float)) == figures, "backtest.json"
    nav = nav_table(course, evenings, universe(archive))
    page = report_files(figures, nav)["report.md"].decode()
    assert page.splitlines()[0] == "# RUINED: Backtest of planted"
    assert f"RUINED: on {JUMPS_ON} nothing was left of the book" in page and "It ends there" in page
    assert "| Eligible names have | at least 5 USD |" in page
    assert "3 bars follow an earlier one of their name and have no return since it" in page
    assert "| Net Sharpe ratio a year | n/a" in page and "| Net return | -" in page


def test_a_ruined_weight_level_book_has_no_sharpe_ratio_and_its_figures_can_be_stored(book: WeightPath) -> None:
    figures = book_figures(book)
    assert figures.net is not None and figures.net.is_ruined and figures.net.annual_sharpe is None
    assert np.isfinite(figures.series.net).all() and figures.net.total_return < -1.0


def test_what_was_earned_before_a_ruin_is_no_skill() -> None:
    """A thousand sessions of +0.2 % and one of -101 %: the mean is positive, and the book is gone."""
    net = np.append(np.full(1000, 0.002), -1.01)
    assert net.mean() > 0 and annual_sharpe(net) > 0
    found = worth(net)
    assert found.is_ruined and found.annual_sharpe is None and found.annual_return == -1.0
    assert found.max_drawdown == pytest.approx(1.01) and found.total_return == pytest.approx(1.002**1000 * -0.01 - 1.0)


def test_a_label_over_an_undecided_return_is_judged_and_never_learned_from() -> None:
    """Name 3 doubts the return of session 30: labels of 24 to 28 hold it (k = 5, entry to exit), 23 and 29 do not."""
    bars = synthetic_bars(2, sessions=60, symbols=15, missing=0.0)
    names, values = ("one",), np.ones((*bars.close.shape, 1), dtype=np.float32)
    panel = FeaturePanel(bars.sessions, bars.symbols, names, values, bars.eligible)
    labels, doubted = horizon_labels(bars, 5), np.zeros(bars.close.shape, dtype=bool)
    doubted[30, 3] = True
    plain, found = samples(panel, labels), samples(panel, labels, doubted=doubted)
    silent = set(found.t0[found.weight == 0.0].tolist())
    expected = {t for t in range(24, 29) if labels.ends[t, 3] >= 0}
    assert silent == expected and set(found.column[found.weight == 0.0].tolist()) == {3}
    np.testing.assert_array_equal(found.label, plain.label)
    assert found.weight.mean() == pytest.approx(1.0)
    others = (found.t0 == 26) & (found.weight > 0)
    ranked = normal_ranks(np.where(np.arange(15) == 3, np.nan, labels.values[26])[None])[0]
    np.testing.assert_allclose(found.target[others], ranked[np.isfinite(ranked)])
