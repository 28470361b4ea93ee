"""Eligibility and universe membership in curation, by what was known then."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from signals.market.actions import Action, ActionKind
from signals.market.eligibility_rule import ANY, EligibilityConfig
from signals.market.manifest import PriceBasis
from signals.market.sessions import SessionStatus
from tests.test_trainer.test_curation import CALENDAR, DAYS, column, crowd, curated, flat, frame_of, statuses
from trainer.curation.config import CurationConfig
from trainer.curation.writer import TOLD_UNIVERSE_SCHEMA, UNIVERSE_SCHEMA


def test_a_name_is_eligible_from_its_nth_usable_bar_and_only_where_it_has_one() -> None:
    rows = flat("A", DAYS[:6])
    rows[1] = (DAYS[1], "A", 10.0, 9.0, 10.0, 10.0, 1000.0)
    content = curated(frame_of(rows))
    assert column(content, "A", "eligible") == [False, False, True, True, True]


def test_etfs_are_eligible_only_if_configured() -> None:
    frame = frame_of(flat("A", DAYS[:4]) + flat("E", DAYS[:4]))
    frame["kind"] = frame["symbol"].map({"A": "stock", "E": "etf"}).astype(object)
    assert column(curated(frame), "E", "eligible") == [False] * 4
    allowed = CurationConfig(eligibility=ANY, min_history=3, etfs_eligible=True)
    assert column(curated(frame, config=allowed), "E", "eligible") == [False, False, True, True]


def members(*rows: tuple[str, int, int | None, int]) -> pa.Table:
    """A membership table of (symbol, start, end, known_at), the days by their number."""
    return pa.Table.from_pylist(
        [
            {"symbol": symbol, "start": DAYS[start], "end": None if end is None else DAYS[end], "known_at": DAYS[known]}
            for symbol, start, end, known in rows
        ],
        schema=TOLD_UNIVERSE_SCHEMA,
    )


def test_a_membership_row_counts_from_the_evening_on_which_it_was_known() -> None:
    """Told on day 3 that A left on day 2: A was a member on day 2, by what was known, and not on day 3."""
    content = curated(frame_of(flat("A", DAYS[:6])), universe=members(("A", 1, None, 1), ("A", 1, 2, 3)))
    assert column(content, "A", "eligible") == [False, True, True, False, False, False]
    late = curated(frame_of(flat("A", DAYS[:6])), universe=members(("A", 1, None, 4)))
    assert column(late, "A", "eligible") == [False] * 4 + [True] * 2


def test_a_membership_table_without_known_at_is_not_point_in_time() -> None:
    universe = pa.Table.from_pylist([{"symbol": "A", "start": DAYS[1], "end": DAYS[3]}], schema=UNIVERSE_SCHEMA)
    found = curated(frame_of(flat("A", DAYS[:5])), universe=universe)
    assert found.survivorship == "unknown" and "no known_at" in found.universe_why
    word = CurationConfig(eligibility=ANY, min_history=3, all_assets=True)
    assert curated(frame_of(flat("A", DAYS[:5])), universe=universe, config=word).survivorship == "reconstructed"


def test_an_end_that_was_known_years_before_was_written_after_the_fact() -> None:
    days = CALENDAR.between(date(2023, 1, 3), date(2025, 6, 30))
    rows = [{"symbol": "A", "start": days[0], "end": days[500], "known_at": days[0]}]
    found = curated(frame_of(flat("A", days)), universe=pa.Table.from_pylist(rows, schema=TOLD_UNIVERSE_SCHEMA))
    assert found.survivorship == "unknown" and f"A {days[500]}" in found.universe_why


def leaving(falls: int, of: int = 12) -> tuple[pd.DataFrame, pa.Table]:
    """Names that leave the table on day 60 and trade on; the first `falls` of them lose a third of it a day later."""
    days = CALENDAR.between(date(2023, 1, 3), date(2023, 6, 30))
    rows = crowd(40, days)
    rows = [
        tuple(v * 0.6 if place in (2, 3, 4, 5) and int(str(row[1])[1:]) < falls and row[0] > days[61] else v for place, v in enumerate(row))
        for row in rows
    ]
    told = [{"symbol": f"S{i:03}", "start": days[0], "end": None, "known_at": days[0]} for i in range(40)]
    told += [{"symbol": f"S{i:03}", "start": days[0], "end": days[60], "known_at": days[58]} for i in range(of)]
    return frame_of(rows), pa.Table.from_pylist(told, schema=TOLD_UNIVERSE_SCHEMA)


@pytest.mark.parametrize(("falls", "state"), [(0, "point-in-time"), (3, "point-in-time"), (6, "unknown")])
def test_a_membership_table_that_ends_before_the_falls_is_not_point_in_time(falls: int, state: str) -> None:
    """Of 12 that left, 5 or more fall by chance in 3.6 % of honest tables, 6 or more in 0.7 %: 1 % is the limit."""
    frame, universe = leaving(falls)
    found = curated(frame, universe=universe)
    assert found.survivorship == state
    assert ("6 of 12 names that traded on after leaving the table fell at once (S000" in found.universe_why) is (falls > 3)


@pytest.mark.parametrize(("left", "said"), [(0, True), (5, True), (20, False)])
def test_a_membership_table_that_ends_before_the_bars_is_said(left: int, said: bool) -> None:
    """Forty members, of whom `left` go on after day 60 of 124: nobody fell, so it is believed, and its end is named."""
    frame, universe = leaving(0, of=40 - left)
    found = curated(frame, universe=universe)
    days = sorted(frame["date"].dt.date.unique())
    assert found.survivorship == "point-in-time" and len(days) == 124
    assert found.universe_why.endswith(
        f"; it ends 64 sessions before the bars, on {days[59]}: {left} of once 40 members are left, and nothing else is eligible"
        if said
        else "when each row became known"
    )


def test_a_membership_table_whose_dead_leave_before_they_die_is_not_point_in_time() -> None:
    frame, universe = leaving(0)
    days = sorted(frame["date"].dt.date.unique())
    dead = frame["symbol"].isin({"S000", "S001", "S002"}) & (frame["date"].dt.date >= days[70])
    gone = tuple(Action(ActionKind.DELISTING, name, days[70], days[65], cash=Decimal(11)) for name in ("S000", "S001", "S002"))
    found = curated(frame[~dead].reset_index(drop=True), gone, universe=universe)
    assert found.survivorship == "unknown" and "3 of 3 recorded delistings" in found.universe_why
    told = [row for row in universe.to_pylist() if row["end"] is None or row["symbol"] > "S002"]
    kept = curated(
        frame[~dead].reset_index(drop=True),
        gone,
        universe=pa.Table.from_pylist(
            [*told, *({"symbol": a.symbol, "start": days[0], "end": days[70], "known_at": days[65]} for a in gone)],
            schema=TOLD_UNIVERSE_SCHEMA,
        ),
    )
    assert kept.survivorship == "point-in-time"


def test_a_worthless_end_is_a_fall_though_another_security_bears_the_symbol_since() -> None:
    """Six of twelve that left died for nothing on day 70; their symbols were used again, and paid out 50 USD on day 100."""
    frame, universe = leaving(0)
    days, dead = sorted(frame["date"].dt.date.unique()), [f"S{i:03}" for i in range(6)]
    left = frame[~(frame["symbol"].isin(dead) & (frame["date"].dt.date >= days[70]))]
    again = frame_of([(day, name, *[50.0] * 4, 1e6) for name in dead for day in days[80:100]])
    ends = tuple(
        Action(ActionKind.DELISTING, name, day, day, cash=Decimal(cash)) for name in dead for day, cash in ((days[70], 0), (days[100], 50))
    )
    assert "6 of 12 names that traded on" in curated(pd.concat([left, again], ignore_index=True), ends, universe=universe).universe_why


RULE = EligibilityConfig(min_price=5, exit_price=3, min_dollar_volume=20_000, exit_dollar_volume=8_000)


ASKING = CurationConfig(min_history=1, eligibility=RULE)


def priced(closes: list[float], dollars: float = 50_000.0, split: float = 1.0) -> pd.DataFrame:
    """One name at these closes, each day's volume worth `dollars`; all prices and volumes are adjusted for `split`."""
    rows = [(day, "A", *[close / split] * 4, dollars / close * split) for day, close in zip(DAYS, closes, strict=False)]
    return frame_of(rows)


def test_a_name_is_eligible_from_five_dollars_to_three_as_it_was_traded() -> None:
    content = curated(priced([4.0, 6.0, 4.0, 2.9, 4.0]), config=ASKING)
    assert column(content, "A", "eligible") == [False, True, True, False, False]
    assert content.is_price_known and content.eligibility == RULE


def test_a_member_of_a_universe_table_is_no_exception_and_stays_listed_for_the_survivorship() -> None:
    """A bankrupt at 12 cents is a member and not eligible: nothing is shorted at 5 bps."""
    universe = pa.table({"symbol": ["A"], "start": [DAYS[0]], "end": pa.array([None], pa.date32())})
    content = curated(priced([6.0, 0.12, 0.12]), universe=universe, config=ASKING)
    assert column(content, "A", "eligible") == [True, False, False]


def test_thin_names_are_left_out_by_the_mean_of_their_own_sessions() -> None:
    thin = curated(priced([50.0] * 4, dollars=19_999.0), config=ASKING)
    assert column(thin, "A", "eligible") == [False] * 4
    assert column(curated(priced([50.0] * 4, dollars=20_001.0), config=ASKING), "A", "eligible") == [True] * 4


def test_a_split_that_was_adjusted_backwards_makes_no_penny_stock_of_the_past() -> None:
    """8 USD before a later 4:1 stand as 2 USD in adjusted history. With the split recorded they are 8; without it the
    price is not known and dollars alone decide, which the split does not change."""
    closes = [8.0, 8.0, 8.0, 8.0]
    split = Action(ActionKind.SPLIT, "A", DAYS[3], DAYS[2], ratio=Decimal(4))
    rows = [(day, "A", *[close / 4] * 4, 50_000 / close * 4) for day, close in zip(DAYS, closes, strict=False)]
    frame = frame_of(rows)
    told = curated(frame, (split,), basis=PriceBasis.SPLIT_ADJUSTED, config=ASKING)
    assert column(told, "A", "eligible") == [True, True, True, False] and told.is_price_known  # 2 USD from the split on
    silent = curated(frame, basis=PriceBasis.SPLIT_ADJUSTED, config=ASKING)
    assert column(silent, "A", "eligible") == [True] * 4 and not silent.is_price_known
    assert not curated(frame, basis=PriceBasis.TOTAL_RETURN, config=ASKING).is_price_known


def test_with_a_universe_table_its_members_are_eligible_and_the_end_is_exclusive() -> None:
    universe = members(("A", 1, 3, 1))
    content = curated(frame_of(flat("A", DAYS[:5]) + flat("B", DAYS[:5])), universe=universe)
    assert column(content, "A", "eligible") == [False, True, True, False, False]
    assert column(content, "B", "eligible") == [False] * 5
    assert content.survivorship == "point-in-time"


def test_a_universe_table_whose_dead_members_have_no_bars_is_not_point_in_time() -> None:
    found = curated(frame_of(flat("A", DAYS[:5])), universe=members(("A", 0, None, 0), ("DEAD", 0, None, 0)))
    assert found.survivorship == "unknown" and "50.0% of the members' sessions have no bar" in found.universe_why


def test_a_member_that_leaves_the_universe_is_no_longer_expected() -> None:
    universe = pa.Table.from_pylist(
        [{"symbol": "A", "start": DAYS[0], "end": DAYS[3]}, {"symbol": "B", "start": DAYS[0], "end": None}], schema=UNIVERSE_SCHEMA
    )
    content = curated(frame_of(flat("A", DAYS[:3]) + flat("B", DAYS[:6])), universe=universe)
    assert set(statuses(content).values()) == {SessionStatus.GREEN}
