from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.build import AccountSize, PortfolioConfig, build
from portfolio.config import BookSides
from portfolio.policy.target import TargetBook, candidates_of, target_book
from portfolio.risk.kelly import SizingCoefficient
from portfolio.risk.model import RiskModel, annual_volatility
from portfolio.weights import TargetWeights
from signals.config import load
from signals.errors import InvariantBroken, ScoresInvalid
from tests.test_portfolio.books import ASOF, SESSION, names, random_scores, risk_model, scores_of

AT_ONCE = PortfolioConfig(step_sessions=1, round_trip_cost_bps=0, turnover_limit=2.0)
PROPERTY = settings(max_examples=60)


def told(weights: TargetWeights) -> dict[str, str]:
    return dict(weights.decisions)


def by_symbol(weights: TargetWeights) -> dict[str, float]:
    return dict(zip(weights.symbols, weights.weights.tolist(), strict=True))


def four_names(**changes: object) -> RiskModel:
    fields: dict[str, object] = {
        "asof": ASOF,
        "symbols": ("A", "B", "C", "D"),
        "covariance": np.diag([0.04, 0.04, 0.04, 0.04]) ** 2,
        "residual_volatility": np.full(4, 0.04),
        "beta": np.ones(4),
        "sectors": (),
        "ic": SizingCoefficient(0.02, 3.0, 1e9),
        "horizon_sessions": 5,
    }
    return RiskModel(**(fields | changes))  # type: ignore[arg-type]


def test_four_names_worked_by_hand() -> None:
    """Scores 4 3 2 1: z = Phi^-1(7/8), Phi^-1(5/8); N = 1 a side, wide caps, so A +1/2 and D -1/2 before the scale.

    mu = 0.018 x 0.04 x (+-1.150349); f* = (2 x 0.5 x 0.018 x 0.04 x 1.150349) / (2 x 0.25 x 0.0016) = 1.035314;
    forecast = sqrt(0.0008 x 252 / 5) = 0.200798, so s = min(0.95, 0.5 f* = 0.517657, 0.1 / 0.200798 = 0.498012).
    """
    config = AT_ONCE.model_copy(update={"names_per_side": 1, "name_cap": 0.5, "stepped_name_limit": 0.6})
    built = build(scores_of(np.array([4.0, 3.0, 2.0, 1.0]), ("A", "B", "C", "D")), four_names(), config, {}, SESSION, AccountSize(1e6))
    assert built.symbols == ("A", "D")
    np.testing.assert_allclose(built.weights, [0.249006, -0.249006], atol=1e-6)
    assert told(built)["ic shrunk"] == "0.0180"
    assert told(built)["kelly f*"] == "1.035"
    assert told(built)["scale"] == "0.4980 by volatility target"


def test_the_first_session_moves_a_fifth_of_the_way() -> None:
    scores, risk = random_scores(300), risk_model(300)
    config = PortfolioConfig(round_trip_cost_bps=0)
    whole = target_book(scores, risk, config, {}, 1e6)
    stepped = build(scores, risk, config, {}, SESSION, AccountSize(1e6))
    wanted = dict(zip(whole.candidates.symbols, whole.weights / 5, strict=True))
    assert len(stepped.symbols) == 100
    for symbol, weight in by_symbol(stepped).items():
        assert weight == pytest.approx(wanted[symbol], abs=1e-15)


def test_the_full_flip_turns_over_a_fifth_of_the_gross() -> None:
    """Gross 0.95 to the mirrored book: sum |dw| / 2 = 0.95 / 5 = 0.19, inside the 35 % tripwire."""
    risk = replace(risk_model(300), beta=np.ones(300))
    values = np.random.default_rng(3).normal(size=300)
    config = PortfolioConfig(round_trip_cost_bps=0)
    held = build(scores_of(values), risk, AT_ONCE, {}, SESSION, AccountSize(1e6))
    flipped = build(scores_of(-values), risk, config, held, SESSION, AccountSize(1e6))
    assert held.gross == pytest.approx(0.95)
    assert told(flipped)["turnover"] == "0.1900"


def test_an_ic_of_zero_or_less_is_flat_and_still_unwinds() -> None:
    scores, risk = random_scores(100), risk_model(100, ic=-0.001)
    held = {"S0001": 0.02, "S0002": -0.02}
    flat = build(scores, risk, PortfolioConfig(), held, SESSION, AccountSize(1e6))
    assert by_symbol(flat) == pytest.approx({"S0001": 0.016, "S0002": -0.016})
    assert "supports no bet" in told(flat)["flat"]
    for _ in range(20):
        flat = build(scores, risk, PortfolioConfig(), flat, SESSION, AccountSize(1e6))
    assert flat.gross == 0.0


@pytest.mark.parametrize(("book_t", "share"), [(1e9, 1.0), (2.0, 0.75), (1.25, 0.36)])
def test_the_whole_book_is_multiplied_by_what_its_evidence_supports(book_t: float, share: float) -> None:
    """Caps bind before (gross target 0.95) and every weight is 0.95 x (1 - 1/t^2) of the unit book's."""
    scores, config = random_scores(300), AT_ONCE.model_copy(update={"band_usd": 0.0, "band_share": 0.0})
    whole = build(scores, risk_model(300), config, {}, SESSION, AccountSize(1e6))
    sized = build(scores, risk_model(300, book_t=book_t), config, {}, SESSION, AccountSize(1e6))
    assert whole.gross == pytest.approx(0.95, rel=1e-3)
    np.testing.assert_allclose(sized.weights, whole.weights * share, atol=1e-9)
    assert told(sized)["sized by"] == f"evidence: {share:.4f} of the book that Kelly and the caps allow"
    assert told(sized)["binds"].startswith("gross target; the name cap holds")


@pytest.mark.parametrize(
    ("book_t", "why"), [(1.0, "t of 1.00 is not above 1"), (-2.0, "t of -2.00"), (None, "does not say what its book earned")]
)
def test_without_evidence_the_book_is_flat_and_says_why(book_t: float | None, why: str) -> None:
    flat = build(random_scores(100), risk_model(100, book_t=book_t), AT_ONCE, {}, SESSION, AccountSize(1e6))
    assert flat.gross == 0.0 and why in told(flat)["flat"]


def test_the_report_says_whether_kelly_binds_or_a_cap() -> None:
    """A small IC: c f* is below the gross target; with a large one the gross target binds."""
    scores = random_scores(300)
    small = told(build(scores, risk_model(300, ic=0.0005), AT_ONCE, {}, SESSION, AccountSize(1e6)))
    large = told(build(scores, risk_model(300, ic=0.05), AT_ONCE, {}, SESSION, AccountSize(1e6)))
    assert small["binds"].startswith("fractional Kelly;") and large["binds"].startswith("gross target;")
    assert "gross target 0.9500, fractional Kelly" in small["bounds of the scale"]
    tight = PortfolioConfig(name_cap=0.012, round_trip_cost_bps=0)
    capped = told(build(scores, risk_model(300), tight, {}, SESSION, AccountSize(1e6)))
    assert "the name cap holds" in capped["binds"] and "holds no name" not in capped["binds"]


@pytest.mark.parametrize("ic", [-0.05, 0.0001, 0.2])
def test_a_rehearsal_has_its_declared_gross_whatever_the_evidence_says(ic: float) -> None:
    """Gross 0.25 exactly, on its first session as on later ones, also where the IC or the t would allow nothing."""
    risk = risk_model(300, ic=ic, book_t=None)
    risk = replace(risk, ic=replace(risk.ic, is_rehearsal=True))
    for fixed_ic in (None, 0.5):
        config = PortfolioConfig(step_sessions=1, fixed_ic=fixed_ic, band_usd=0, band_share=0)
        built = build(random_scores(300), risk, config, {}, SESSION, AccountSize(1e6))
        assert built.gross == pytest.approx(0.25, rel=1e-3)
        assert told(built)["sized by"] == "not sized by evidence: a rehearsal at a declared gross of 0.2500"
        assert told(built)["binds"].startswith("rehearsal gross;") and told(built)["skipped below their cost"] == "0"
    smaller = PortfolioConfig(step_sessions=1, rehearsal_gross=0.1, band_usd=0, band_share=0)
    assert build(random_scores(300), risk, smaller, {}, SESSION, AccountSize(1e6)).gross == pytest.approx(0.1, rel=1e-3)


def test_a_fixed_ic_orders_where_the_measured_one_is_flat_and_says_that_it_is_a_rehearsal() -> None:
    built = build(random_scores(100), risk_model(100, ic=-0.001), PortfolioConfig(fixed_ic=0.03), {}, SESSION, AccountSize(1e6))
    assert built.gross > 0.1
    assert "rehearsal" in told(built)["ic used"]
    assert told(built)["sized by"] == "not sized by evidence: a rehearsal at a fixed IC of 0.0300"
    unknown = build(random_scores(100), risk_model(100, book_t=None), PortfolioConfig(fixed_ic=0.03), {}, SESSION, AccountSize(1e6))
    assert unknown.gross == pytest.approx(built.gross)


def test_a_held_name_outside_the_universe_is_closed_within_twenty_sessions_and_never_grows() -> None:
    scores, risk, held = random_scores(100), risk_model(100), {"GONE": 0.045}
    config, sizes = PortfolioConfig(), [0.045]
    book: TargetWeights | dict[str, float] = held
    for _ in range(20):
        book = build(scores, risk, config, book, SESSION, AccountSize(1e6))
        sizes.append(by_symbol(book).get("GONE", 0.0))
    assert sizes[1] == pytest.approx(0.036)
    assert all(later <= earlier for earlier, later in pairwise(sizes))
    assert sizes[-1] == 0.0


def test_a_book_reaches_its_target_but_for_gaps_below_the_band() -> None:
    scores, risk = random_scores(300), risk_model(300)
    config = PortfolioConfig(round_trip_cost_bps=0)
    book: TargetWeights | dict[str, float] = {}
    for _ in range(30):
        book = build(scores, risk, config, book, SESSION, AccountSize(1e6))
    assert isinstance(book, TargetWeights)
    whole = target_book(scores, risk, config, {}, 1e6)
    wanted = dict(zip(whole.candidates.symbols, whole.weights.tolist(), strict=True))
    assert told(book)["turnover"] == "0.0000"
    assert all(abs(weight - wanted[symbol]) < 0.001 for symbol, weight in by_symbol(book).items())


def test_a_ramp_takes_a_share_of_the_ordinary_step() -> None:
    """Ramp 1/5 of a step of 1/5: a name of 0.04 moves by 0.0016, and by no less than the band of 0.001."""
    scores, risk = random_scores(300), risk_model(300)
    config = PortfolioConfig(round_trip_cost_bps=0, names_per_side=12)
    whole = target_book(scores, risk, config, {}, 1e6)
    wanted = dict(zip(whole.candidates.symbols, whole.weights.tolist(), strict=True))
    ramped = by_symbol(build(scores, risk, config, {}, SESSION, AccountSize(1e6), ramp=0.2))
    assert len(ramped) == 24
    for symbol, weight in ramped.items():
        assert abs(weight) == pytest.approx(max(abs(wanted[symbol]) / 25, 0.001))


def test_equal_scores_and_scores_of_unknown_names_are_refused() -> None:
    with pytest.raises(ScoresInvalid, match="all 50 scores are equal"):
        build(scores_of(np.ones(50)), risk_model(50), PortfolioConfig(), {}, SESSION, AccountSize(1e6))
    with pytest.raises(ScoresInvalid, match="no scored name"):
        build(scores_of(np.array([1.0]), ("ZZ",)), risk_model(50), PortfolioConfig(), {}, SESSION, AccountSize(1e6))


def test_arguments_that_contradict_each_other_are_refused() -> None:
    scores, risk = random_scores(50), risk_model(50)
    for asof, ramp, equity in ((SESSION, 1.0, 1e6), (ASOF, 0.0, 1e6), (ASOF, 1.5, 1e6), (ASOF, 1.0, 0.0)):
        with pytest.raises(InvariantBroken):
            build(scores, replace(risk, asof=asof), PortfolioConfig(), {}, SESSION, AccountSize(equity), ramp=ramp)


@pytest.mark.parametrize(("equity", "expected"), [(20_000.0, 40), (49_900.0, 98), (1e6, 100), (999.0, 0)])
def test_positions_are_worth_trading_at_the_accounts_size(equity: float, expected: int) -> None:
    """At most equity / 500 USD names, split evenly over two sides; 100 by configuration."""
    book = target_book(random_scores(300), risk_model(300), PortfolioConfig(), {}, equity)
    assert int((book.weights != 0).sum()) == expected
    assert ("flat" in dict(book.decisions)) == (expected == 0)


def test_long_only_enters_at_the_top_quintile_and_leaves_below_the_40th_percentile() -> None:
    """Ten names, quantiles 0.05 .. 0.95: two enter; a holding at quantile 0.45 stays, one at 0.35 goes."""
    risk, values = risk_model(10), np.arange(10.0)
    config = PortfolioConfig(mode=BookSides.LONG_ONLY, name_cap=0.6, stepped_name_limit=0.9, fixed_ic=0.1)
    fresh = target_book(scores_of(values), risk, config, {}, 1e6)
    kept = target_book(scores_of(values), risk, config, {"S0004": 0.1, "S0003": 0.1}, 1e6)
    assert np.flatnonzero(fresh.weights).tolist() == [8, 9]
    assert np.flatnonzero(kept.weights).tolist() == [4, 8, 9]


def test_the_checked_in_policy_is_the_default_policy() -> None:
    path = Path(__file__).resolve().parents[2] / "configs" / "portfolio.yml"
    assert load(path, PortfolioConfig) == PortfolioConfig()


def test_an_infeasible_target_book_cannot_be_made() -> None:
    risk = risk_model(50)
    candidates = candidates_of(random_scores(50), risk, None, {})
    lopsided = np.full(50, 0.01)
    with pytest.raises(InvariantBroken, match="net"):
        TargetBook(candidates, lopsided, PortfolioConfig(volatility_target=1.0), ())
    with pytest.raises(InvariantBroken, match="largest name"):
        TargetBook(candidates, np.eye(50)[0] * 0.046, PortfolioConfig(), ())


@st.composite
def situations(draw: st.DrawFn) -> tuple[int, int, PortfolioConfig, dict[str, float], float]:
    n = draw(st.integers(4, 130))
    seed = draw(st.integers(0, 10_000))
    config = PortfolioConfig(
        mode=draw(st.sampled_from(BookSides)),
        names_per_side=draw(st.integers(1, 60)),
        sector_limit=draw(st.sampled_from([None, 0.03])),
        fixed_ic=draw(st.sampled_from([None, 0.002, 0.03, 0.2, -0.1])),
    )
    rng = np.random.default_rng(seed)
    size = draw(st.sampled_from([0.0, 0.002, 0.02, 0.08]))
    held = {s: float(w) for s, w in zip((*names(n), "GONE"), rng.normal(0, size, n + 1), strict=True)} if size else {}
    return n, seed, config, held, draw(st.sampled_from([5e3, 1e5, 1e6]))


@PROPERTY
@given(situations())
def test_every_limit_holds_whatever_is_held(situation: tuple[int, int, PortfolioConfig, dict[str, float], float]) -> None:
    """The target book obeys every limit exactly; the stepped one is between what is held and the target."""
    n, seed, config, held, equity = situation
    scores, risk = random_scores(n, seed), risk_model(n, seed, beta_spread=1.0)
    book = target_book(scores, risk, config, held, equity)
    w = book.weights
    assert np.abs(w).sum() <= 0.95 + 1e-9
    assert np.abs(w).max() <= 0.045 + 1e-9
    assert annual_volatility(w, risk.covariance, 5) <= 0.10 + 1e-9
    if config.mode is BookSides.LONG_ONLY:
        assert w.min() >= 0
    else:
        assert abs(w.sum()) <= 0.02 + 1e-9
        assert abs(risk.beta @ w) <= 0.05 + 1e-9
        if config.sector_limit:
            for sector in set(risk.sectors):
                assert abs(w[[s == sector for s in risk.sectors]].sum()) <= 0.03 + 1e-9
    stepped = build(scores, risk, config, held, SESSION, AccountSize(equity))
    wanted = dict(zip(names(n), w.tolist(), strict=True))
    moved = 0.0
    for symbol, weight in by_symbol(stepped).items():
        ends = sorted((held.get(symbol, 0.0), wanted.get(symbol, 0.0)))
        assert ends[0] - 1e-9 <= weight <= ends[1] + 1e-9
        moved += abs(weight - held.get(symbol, 0.0)) / 2
    assert moved <= config.turnover_limit + 1e-9
    held_gross, held_net = sum(abs(v) for v in held.values()), abs(sum(held.values()))
    assert stepped.gross <= max(1.0, held_gross) + 1e-9
    if config.mode is BookSides.LONG_SHORT:
        assert abs(stepped.net) <= max(0.03, held_net) + 1e-9


@PROPERTY
@given(situations())
def test_the_same_situation_gives_the_same_weights(situation: tuple[int, int, PortfolioConfig, dict[str, float], float]) -> None:
    n, seed, config, held, equity = situation
    scores, risk = random_scores(n, seed), risk_model(n, seed)
    first, second = (build(scores, risk, config, held, SESSION, AccountSize(equity)) for _ in range(2))
    assert first.symbols == second.symbols
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.decisions == second.decisions


@PROPERTY
@given(situations())
def test_permuting_symbols_permutes_weights(situation: tuple[int, int, PortfolioConfig, dict[str, float], float]) -> None:
    """Renaming every symbol by a permutation renames the weights and changes none."""
    n, seed, config, _, equity = situation
    values, risk = random_scores(n, seed).values, risk_model(n, seed)
    order = np.random.default_rng(seed).permutation(n)
    renamed = RiskModel(
        ASOF,
        names(n),
        risk.covariance[np.ix_(order, order)],
        risk.residual_volatility[order],
        risk.beta[order],
        tuple(risk.sectors[i] for i in order),
        risk.ic,
        5,
    )
    plain = by_symbol(build(scores_of(values), risk, config, {}, SESSION, AccountSize(equity)))
    permuted = by_symbol(build(scores_of(values[order]), renamed, config, {}, SESSION, AccountSize(equity)))
    back = {names(n)[order[int(symbol[1:])]]: weight for symbol, weight in permuted.items()}
    assert back == pytest.approx(plain, abs=1e-9)


@PROPERTY
@given(st.integers(10, 120), st.integers(0, 1000), st.floats(0.0005, 0.2), st.floats(1.0, 5.0))
def test_a_better_ic_never_shrinks_the_book(n: int, seed: int, ic: float, more: float) -> None:
    scores, risk = random_scores(n, seed), risk_model(n, seed)
    small, large = (
        np.abs(target_book(scores, risk, PortfolioConfig(fixed_ic=min(x, 1.0)), {}, 1e6).weights).sum() for x in (ic, ic * more)
    )
    assert small <= large + 1e-12


@PROPERTY
@given(st.integers(10, 120), st.integers(0, 1000), st.sampled_from(BookSides))
def test_a_book_at_its_target_is_not_traded(n: int, seed: int, mode: BookSides) -> None:
    scores, risk = random_scores(n, seed), risk_model(n, seed)
    config = PortfolioConfig(mode=mode)
    book = target_book(scores, risk, config, {}, 1e6)
    held = dict(zip(book.candidates.symbols, book.weights.tolist(), strict=True))
    again = build(scores, risk, config, held, SESSION, AccountSize(1e6))
    assert told(again)["turnover"] == "0.0000"
    assert by_symbol(again) == {s: w for s, w in held.items() if w != 0}
