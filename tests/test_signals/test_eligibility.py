"""Who is dear and traded enough: by hand, against a plain loop, and blind to what comes later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.market.eligibility import mean_dollars, tradable
from signals.market.eligibility_rule import ANY, DOLLAR_SESSIONS, EligibilityConfig

RULE = EligibilityConfig(min_price=5, exit_price=3, min_dollar_volume=1e6, exit_dollar_volume=5e5)
NAN = float("nan")


def decided(price: list[float], dollars: float | list[float] = 2e6, rule: EligibilityConfig = RULE) -> list[bool]:
    """Of one name that belongs on every row."""
    rows = len(price)
    paid = np.full(rows, dollars) if isinstance(dollars, float) else np.array(dollars)
    return tradable(np.zeros(rows, np.int64), np.ones(rows, bool), np.array(price), paid, rule).tolist()


def test_a_name_enters_at_five_and_leaves_under_three() -> None:
    assert decided([4.99, 5.0, 3.5, 3.0, 2.99, 4.5, 5.01]) == [False, True, True, True, False, False, True]


def test_dollar_volume_alike_and_both_are_asked() -> None:
    assert decided([9.0] * 5, [9e5, 1e6, 6e5, 4e5, 9e5]) == [False, True, True, False, False]
    assert decided([9.0, 2.0, 9.0], [1e6, 1e6, 9e5]) == [True, False, False]


def test_where_the_price_is_not_known_dollars_alone_decide() -> None:
    assert decided([NAN] * 3, [1e6, 6e5, 4e5]) == [True, True, False]


def test_zeros_ask_for_nothing() -> None:
    assert decided([0.01, NAN], [0.0, 0.0], ANY) == [True, True]


def test_a_name_that_stops_belonging_begins_anew_and_its_neighbour_inherits_nothing() -> None:
    """A row without membership forgets that the name was in; the second security starts outside at 4 USD."""
    code = np.array([0, 0, 0, 1])
    belongs = np.array([True, False, True, True])
    found = tradable(code, belongs, np.array([6.0, 6.0, 4.0, 4.0]), np.full(4, 2e6), RULE)
    assert found.tolist() == [True, False, False, False]


def test_rows_that_are_decided_stand_and_lead_the_next() -> None:
    """A held row that was eligible at 4 USD keeps its name in at 4 USD; one that was not, does not."""
    code, price = np.array([0, 0, 1, 1]), np.full(4, 4.0)
    told = np.array([True, False, True, False])
    was = np.array([True, False, False, False])
    assert tradable(code, np.ones(4, bool), price, np.full(4, 2e6), RULE, told, was).tolist() == [True, True, False, False]


def test_mean_dollars_by_hand_over_sessions_not_rows() -> None:
    """10, 20 and, 20 sessions after the first, 60: the first has left, (20 + 60) / 2. Another name is by itself."""
    code, session = np.array([0, 0, 0, 1]), np.array([0, 5, DOLLAR_SESSIONS, DOLLAR_SESSIONS])
    assert mean_dollars(code, session, np.array([10.0, 20.0, 60.0, 7.0])).tolist() == [10.0, 15.0, 40.0, 7.0]


@pytest.mark.parametrize(
    "wrong",
    [{"exit_price": 6.0}, {"exit_dollar_volume": 2e6}, {"min_price": -1.0}, {"min_price": float("inf")}, {"min_dollar_volume": NAN}],
)
def test_a_rule_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"leaves at a lower|finite number of USD, zero or more"):
        EligibilityConfig(**wrong)


def test_the_rule_says_what_it_asks() -> None:
    assert RULE.sentence(is_price_known=True) == (
        "at least 5 USD as traded (3 to stay) and 1,000,000 USD a session over 20 sessions (500,000 to stay)"
    )
    assert "prices as traded are not known, so that no minimum price applies" in RULE.sentence(is_price_known=False)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 60))
def test_the_same_as_a_plain_loop_and_later_rows_change_nothing(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    code, session = np.sort(rng.integers(0, 3, rows)), np.arange(rows) * rng.integers(1, 4)
    price, value = rng.choice([2.0, 4.0, 6.0, NAN], rows), rng.choice([4e5, 8e5, 2e6], rows)
    belongs = rng.random(rows) < 0.8
    dollars = mean_dollars(code, session, value)
    found = tradable(code, belongs, price, dollars, RULE)
    is_in: dict[int, bool] = {}
    for t in range(rows):
        window = [s for s in range(t + 1) if code[s] == code[t] and session[t] - session[s] < DOLLAR_SESSIONS]
        assert dollars[t] == pytest.approx(np.mean(value[window]))
        least = (3.0, 5e5) if is_in.get(int(code[t]), False) else (5.0, 1e6)
        is_dear = np.isnan(price[t]) or price[t] >= least[0]
        is_in[int(code[t])] = bool(belongs[t] and is_dear and dollars[t] >= least[1])
        assert found[t] == is_in[int(code[t])]
    cut = int(rng.integers(0, rows)) + 1
    assert np.array_equal(tradable(code[:cut], belongs[:cut], price[:cut], dollars[:cut], RULE), found[:cut])
