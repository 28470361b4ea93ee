"""Several sleeves in one book: what each expects of a name is added, and what a missing one would hold stays unallocated."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.build import AccountSize, build
from portfolio.config import PortfolioConfig
from portfolio.policy.blend import Blend, SizedScores, backing_of, blended, combined, on, z_of
from portfolio.policy.target import candidates_of, said_by_sleeve, target_book
from portfolio.risk.kelly import SizingCoefficient
from portfolio.risk.model import RiskModel
from signals.errors import DataNotUsable, InvariantBroken
from signals.scoring.scores import Scores
from tests.test_portfolio.books import ASOF, SESSION, random_scores, risk_model

STRONG, WEAK = SizingCoefficient(0.02, 1e9, 1e9), SizingCoefficient(0.04, 1e9, 1e9)
SIXTH = 0.967422  # Phi^-1(5/6)


def scores(values: dict[str, float], sleeve: str = "a", asof: date = ASOF) -> Scores:
    return Scores(asof, sleeve, tuple(sorted(values)), np.array([values[k] for k in sorted(values)]), f"hash-{sleeve}")


def three_names(h: int = 5) -> RiskModel:
    sigma = np.full(3, 0.04)
    return RiskModel(ASOF, ("X", "Y", "Z"), np.diag(sigma) ** 2, sigma, np.ones(3), (), STRONG, h)


def test_expected_returns_of_two_sleeves_by_hand() -> None:
    """a: X < Y < Z, weight 3 of 4, IC 0.02, k 5; b: Y < Z < X, weight 1 of 4, IC 0.04, k 20; sigma over 5 sessions 0.04.

    Per session: a 0.75 x 0.02 x 0.04 z / 5 = 0.00012 z, b 0.25 x 0.04 x (0.04 x 2) z / 20 = 0.00004 z. Over 5 sessions
    X: 0.0006 (-z) + 0.0002 z, Y: 0 - 0.0002 z, Z: 0.0006 z + 0, with z = Phi^-1(5/6) = 0.967422. k of the book:
    m = 0.015 / sqrt 5 and 0.01 / sqrt 20, in the ratio 3 : 1, so (3 x 5 + 1 x 20) / 4 = 8.75.
    """
    a = SizedScores(scores({"X": 1.0, "Y": 2.0, "Z": 3.0}), STRONG, 5, 3.0)
    b = SizedScores(scores({"X": 30.0, "Y": 10.0, "Z": 20.0}, "b"), WEAK, 20, 1.0)
    both = blended([a, b])
    found = candidates_of(both, three_names(), None, {})
    np.testing.assert_allclose(found.mu, [-0.0004 * SIXTH, -0.0002 * SIXTH, 0.0006 * SIXTH], rtol=1e-6)
    assert found.backing.step_sessions == pytest.approx(8.75)
    assert found.z.tolist() == pytest.approx([-SIXTH, 0.0, SIXTH], abs=1e-6)
    said = said_by_sleeve(both, three_names(), None)
    assert [said["a"][name] + said["b"][name] for name in "XYZ"] == pytest.approx([-SIXTH / 2, -SIXTH / 4, 0.75 * SIXTH], abs=1e-6)


def test_the_unit_of_the_risk_model_changes_no_book() -> None:
    """The same market over 5 or over 20 sessions: the same weights, the step of 8.75 sessions and the same skipped trades."""
    a = SizedScores(random_scores(60, 1), SizingCoefficient(0.02, 5.0, 4.0), 5, 3.0)
    b = SizedScores(replace(random_scores(60, 2), sleeve="b"), SizingCoefficient(0.04, 5.0, 4.0), 20, 1.0)
    short = risk_model(60)
    long = replace(short, covariance=short.covariance * 4, residual_volatility=short.residual_volatility * 2, horizon_sessions=20)
    one, other = (build(blended([a, b]), risk, PortfolioConfig(), {}, SESSION, AccountSize(1e6)) for risk in (short, long))
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-9)
    assert dict(one.decisions)["step"].startswith("1/8.75 of the way")
    assert dict(one.decisions)["skipped below their cost"] == dict(other.decisions)["skipped below their cost"]


@given(st.integers(2, 80), st.integers(0, 1000), st.sampled_from([None, 0.03, -0.1]), st.sampled_from([None, 0.5, 3.0]))
@settings(max_examples=40)
def test_one_sleeve_that_holds_all_of_the_weight_is_itself_to_the_bit(n: int, seed: int, fixed: float | None, book_t: float | None) -> None:
    own, risk = random_scores(n, seed), risk_model(n, book_t=book_t)
    config = PortfolioConfig(fixed_ic=fixed)
    plain = build(own, risk, config, {}, SESSION, AccountSize(1e6))
    blend = build(blended([SizedScores(own, risk.ic, 5, 0.7)], fixed_ic=fixed), risk, config, {}, SESSION, AccountSize(1e6))
    assert (plain.symbols, plain.weights.tobytes(), plain.decisions) == (blend.symbols, blend.weights.tobytes(), blend.decisions)


@pytest.mark.parametrize(
    "config",
    [PortfolioConfig(), PortfolioConfig(kelly_fraction=0.05), PortfolioConfig(volatility_target=0.01), PortfolioConfig(fixed_ic=0.05)],
    ids=["gross target", "Kelly", "volatility target", "fixed"],
)
def test_the_share_of_a_missing_sleeve_stays_unallocated_whatever_binds(config: PortfolioConfig) -> None:
    """30 % of the weight is missing: the same book at exactly 70 % of its size, never levered up to fill."""
    own, risk = random_scores(300), risk_model(300, ic=0.05)
    part = SizedScores(own, risk.ic, 5, 0.7)
    whole = target_book(blended([part]), risk, config, {}, 1e6)
    reduced = target_book(blended([part], {"b": 0.3}), risk, config, {}, 1e6)
    np.testing.assert_allclose(reduced.weights, 0.7 * whole.weights, rtol=1e-9)
    assert dict(reduced.decisions)["unallocated weight"] == "0.3000"


def test_a_rehearsal_leaves_a_missing_share_unallocated_too() -> None:
    ic = SizingCoefficient(0.0, 0.0, None, is_rehearsal=True)
    part, risk = SizedScores(random_scores(300), ic, 5, 0.6), risk_model(300)
    whole, reduced = (target_book(blended([part], gone), risk, PortfolioConfig(), {}, 1e6) for gone in ({}, {"b": 0.4}))
    np.testing.assert_allclose(reduced.weights, 0.6 * whole.weights, rtol=1e-9)


def test_more_than_half_of_the_weight_missing_is_refused_and_half_is_not() -> None:
    part = SizedScores(random_scores(30), STRONG, 5, 0.3)
    assert blended([part], {"b": 0.1, "c": 0.2}).allocated == pytest.approx(0.5)
    with pytest.raises(DataNotUsable, match="51% of the weight has no scores: b"):
        blended([replace(part, weight=0.49)], {"b": 0.51})
    with pytest.raises(DataNotUsable, match="the whole weight has no scores: a, b"):
        blended([], {"a": 1.0, "b": 1.0})


def test_a_sleeve_without_evidence_is_not_bet_on_and_fills_nothing() -> None:
    """Its IC is negative, its book no better than noise, or it is a rehearsal: the book is the other sleeve's at its share."""
    own, risk = random_scores(300), risk_model(300)
    alone = target_book(blended([SizedScores(own, risk.ic, 5, 0.6)]), risk, PortfolioConfig(), {}, 1e6)
    for ic, why in (
        (SizingCoefficient(-0.01, 3.0, 3.0), "an IC of -0.0090 supports no bet"),
        (SizingCoefficient(0.02, 3.0, 0.9), "which noise reaches too"),
        (SizingCoefficient(0.02, 3.0, None), "does not say what its book earned"),
        (SizingCoefficient(0.02, 3.0, 3.0, is_rehearsal=True), "a rehearsal next to sleeves that are sized by evidence"),
    ):
        other = SizedScores(replace(random_scores(300, 2), sleeve="b"), ic, 5, 0.4)
        both = target_book(blended([SizedScores(own, risk.ic, 5, 0.6), other]), risk, PortfolioConfig(), {}, 1e6)
        np.testing.assert_allclose(both.weights, 0.6 * alone.weights, rtol=1e-9)
        assert why in dict(both.decisions)["sleeve b"]


def test_nothing_is_bet_where_no_sleeve_supports_it_and_each_says_why() -> None:
    bad = SizingCoefficient(-0.01, 3.0, 3.0)
    parts = [SizedScores(random_scores(50, i), bad, 5) for i in (1, 2)]
    parts[1] = replace(parts[1], scores=replace(parts[1].scores, sleeve="b"))
    book = target_book(blended(parts), risk_model(50), PortfolioConfig(), {}, 1e6)
    assert not book.weights.any()
    assert dict(book.decisions)["flat"].count("supports no bet") == 2


def test_evidence_counts_each_sleeve_by_its_part_of_what_is_expected() -> None:
    """t of 2 and 4: shares 0.75 and 0.9375; equal IC and k, weights 1 : 3 -> 0.890625."""
    parts = [SizedScores(random_scores(9), SizingCoefficient(0.02, 1e9, t), 5, w) for t, w in ((2.0, 0.25), (4.0, 0.75))]
    assert backing_of(parts, None).evidence == pytest.approx(0.890625)


def test_a_name_that_a_sleeve_does_not_know_is_one_of_which_it_expects_nothing() -> None:
    a = SizedScores(scores({"X": 1.0, "Y": 2.0, "Z": 3.0}), STRONG, 5)
    b = SizedScores(scores({"W": 5.0, "Z": 7.0}, "b"), STRONG, 5)
    both = blended([a, b])
    assert both.symbols == ("W", "X", "Y", "Z")
    z = z_of(both.parts, both.symbols)
    assert np.isnan(z).tolist() == [[True, False, False, False], [False, True, True, False]]
    quarter = 0.674490  # Phi^-1(3/4)
    m = 0.5 * 0.02 / math.sqrt(5)
    assert both.values.tolist() == pytest.approx([-m * quarter, -m * SIXTH, 0.0, m * (SIXTH + quarter)], rel=1e-5)
    assert np.isnan(combined(np.full((2, 3), np.nan), (1.0, 1.0))).all()


def test_names_leave_and_are_renamed_in_every_sleeve() -> None:
    a = SizedScores(scores({"X": 1.0, "Y": 2.0, "Z": 3.0}), STRONG, 5)
    b = SizedScores(scores({"X": 5.0, "Z": 7.0}, "b"), STRONG, 5)
    kept = on(blended([a, b]), {"X", "Y"}, {"X": "ZZ"})
    assert isinstance(kept, Blend) and kept.symbols == ("Y", "ZZ")
    assert [part.scores.symbols for part in kept.parts] == [("Y", "ZZ"), ("ZZ",)]


def test_a_blend_is_of_one_session_and_of_weights_and_its_identity_is_its_parts() -> None:
    a, b = SizedScores(scores({"X": 1.0, "Y": 2.0}), STRONG, 5), SizedScores(scores({"X": 1.0, "Y": 2.0}, "b"), STRONG, 5)
    late = replace(b, scores=scores({"X": 1.0, "Y": 2.0}, "b", date(2024, 2, 28)))
    with pytest.raises(InvariantBroken, match="of one session"):
        blended([a, late])
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvariantBroken, match="finite and positive"):
            blended([a, replace(b, weight=weight)])
    one, same, other = (blended([a, replace(b, weight=w)]).source for w in (1.0, 1.0, 2.0))
    assert one == same != other
    assert blended([a]).source == "hash-a"
