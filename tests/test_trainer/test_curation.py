"""Curation: returns by hand, histories joined, eligibility and status by what was known then, nothing lost."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from signals.audit.quality import CoverageConfig
from signals.errors import BadBars
from signals.market.actions import Action, ActionKind
from signals.market.audits import SessionStatus
from signals.market.eligibility_rule import ANY, EligibilityConfig
from signals.market.manifest import PriceBasis
from signals.market.securities import identities
from signals.market.sessions import Calendar, xnys
from trainer.curation.config import CurationConfig
from trainer.curation.curate import DeliveredHistory, curate
from trainer.curation.writer import TOLD_UNIVERSE_SCHEMA, UNIVERSE_SCHEMA, DatasetContent, parquet_bytes

CALENDAR = xnys(date(2023, 1, 1), date(2027, 12, 31))
DAYS = CALENDAR.between(date(2024, 1, 2), date(2024, 12, 31))
SMALL = CurationConfig(eligibility=ANY, min_history=3)


def frame_of(rows: list[tuple[object, ...]], columns: str = "date symbol open high low close volume") -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=columns.split())
    frame["date"] = pd.to_datetime(frame["date"]).astype("datetime64[s]")
    frame["symbol"] = frame["symbol"].astype(object)
    for name, default in (("kind", "stock"), ("sector", "")):
        if name not in frame:
            frame[name] = pd.Series(default, index=frame.index, dtype=object)
    return frame


def flat(symbol: str, days: tuple[date, ...], close: float = 10.0) -> list[tuple[object, ...]]:
    """Bars at one price; the volume tells the days apart."""
    return [(day, symbol, close, close, close, close, 1000.0 + day.day) for day in days]


def curated(
    frame: pd.DataFrame,
    actions: tuple[Action, ...] = (),
    universe: pa.Table | None = None,
    basis: PriceBasis = PriceBasis.RAW,
    config: CurationConfig = SMALL,
    calendar: Calendar = CALENDAR,
) -> DatasetContent:
    return curate(DeliveredHistory(frame, actions, universe, calendar, basis), config, name="t", vendor="v")


def column(content: DatasetContent, security: str, name: str) -> list[object]:
    bars = content.bars.to_pandas()
    return bars[bars.security == security][name].tolist()


def statuses(content: DatasetContent) -> dict[date, SessionStatus]:
    return {audit.session: audit.status for audit in content.audits}


def test_raw_returns_restate_a_split_and_add_a_dividend_per_share_held_after_it() -> None:
    """100 -> open 50.5, close 52 after 2:1 with $0.50: (52.5 x 2)/100 - 1 = 5 %, overnight (51 x 2)/100 - 1 = 2 %."""
    rows = [(DAYS[0], "A", 99.0, 101.0, 98.0, 100.0, 10.0), (DAYS[1], "A", 50.5, 53.0, 50.0, 52.0, 20.0)]
    actions = (
        Action(ActionKind.SPLIT, "A", DAYS[1], DAYS[0], ratio=Decimal(2)),
        Action(ActionKind.DIVIDEND, "A", DAYS[1], DAYS[0], cash=Decimal("0.5")),
    )
    content = curated(frame_of(rows), actions)
    assert column(content, "A", "total_return") == [pytest.approx(float("nan"), nan_ok=True), pytest.approx(0.05)]
    assert column(content, "A", "overnight_return")[1] == pytest.approx(0.02)
    assert column(content, "A", "volume") == [10.0, 20.0]


def test_a_recorded_split_changes_no_return_of_split_adjusted_prices() -> None:
    rows = [(DAYS[0], "A", 50.0, 50.0, 50.0, 50.0, 10.0), (DAYS[1], "A", 51.0, 51.0, 51.0, 51.0, 20.0)]
    actions = (Action(ActionKind.SPLIT, "A", DAYS[1], DAYS[0], ratio=Decimal(2)),)
    content = curated(frame_of(rows), actions, basis=PriceBasis.SPLIT_ADJUSTED)
    assert column(content, "A", "total_return")[1] == pytest.approx(0.02)


def test_a_return_across_a_gap_holds_every_split_and_dividend_in_it() -> None:
    """100 in session 0; no row in 1; 2:1 and $0.50 in 2, whose bar is not believed; $1 and back at 20.5 in 3.

    One share has become two: (2 x 20 + 2 x 0.5 + 2 x 1) / 100 - 1 = -57 %, overnight with 20.5: -56 %.
    """
    rows = [
        (DAYS[0], "A", 99.0, 101.0, 98.0, 100.0, 10.0),
        (DAYS[2], "A", 50.0, 40.0, 50.0, 50.0, 10.0),
        (DAYS[3], "A", 20.5, 21.0, 19.0, 20.0, 10.0),
    ]
    actions = (
        Action(ActionKind.SPLIT, "A", DAYS[2], DAYS[1], ratio=Decimal(2)),
        Action(ActionKind.DIVIDEND, "A", DAYS[2], DAYS[1], cash=Decimal("0.5")),
        Action(ActionKind.DIVIDEND, "A", DAYS[3], DAYS[2], cash=Decimal(1)),
    )
    content = curated(frame_of([*rows, *flat("B", DAYS[:5])]), actions)
    assert content.quarantine.num_rows == 1 and np.isnan(column(content, "A", "total_return")).all()
    assert column(content, "A", "gap_return")[1] == pytest.approx(-0.57)
    assert column(content, "A", "gap_overnight")[1] == pytest.approx(-0.56)
    assert np.isnan(column(content, "A", "gap_return")[0]) and np.isnan(column(content, "B", "gap_return")).all()


def test_a_return_across_a_red_session_is_one_across_a_gap() -> None:
    """Two of three names are absent in session 5: it is RED, and its one bar, 30 % higher, is seen by nobody."""
    rows = [row for symbol in "AB" for row in flat(symbol, (*DAYS[:5], *DAYS[6:9]))]
    rows += [(day, "C", *[13.0 if day == DAYS[5] else 11.0 if day == DAYS[6] else 10.0] * 4, 7.0) for day in DAYS[:9]]
    content = curated(frame_of(rows))
    assert statuses(content)[DAYS[5]] is SessionStatus.RED
    assert np.isnan(column(content, "C", "total_return")[5:7]).all()
    assert column(content, "C", "gap_return")[6] == pytest.approx(0.10)
    assert column(content, "A", "gap_return")[5] == pytest.approx(0.0)


def test_adjusted_closes_bridge_a_gap_where_both_are_given_and_a_long_gap_has_no_return() -> None:
    rows = [(DAYS[day], "A", 10.0, 10.0, 10.0, 10.0, 5.0, told) for day, told in ((0, 9.5), (2, 10.0), (4, np.nan), (44, 9.0), (85, 8.0))]
    rows += [(day, "B", 1.0, 1.0, 1.0, 1.0, 5.0, 1.0) for day in DAYS[:86]]
    frame = frame_of(rows, "date symbol open high low close volume adj_close")
    content = curated(frame, basis=PriceBasis.SPLIT_ADJUSTED)
    assert column(content, "A", "gap_return")[1] == pytest.approx(10.0 / 9.5 - 1.0)
    # One close of the two has no adjusted form; then 40 sessions on, likewise; then 41 sessions: too long.
    assert np.isnan(column(content, "A", "gap_return")[2:]).all()
    plain = curated(frame.assign(adj_close=frame["close"] / 10.0), basis=PriceBasis.SPLIT_ADJUSTED)
    assert column(plain, "A", "gap_return")[3] == 0.0 and np.isnan(column(plain, "A", "gap_return")[4])


def test_duckdb_agrees_with_every_return_across_gaps_of_a_delivery_with_splits_and_dividends() -> None:
    """SQL from prices and actions only: shares and cash of one share held since the last usable row."""
    rng = np.random.default_rng(11)
    rows, actions = [], []
    for name in ("A", "B", "C"):
        close = 50.0 * np.cumprod(1.0 + rng.normal(0.0, 0.02, 120))
        for at, day in enumerate(DAYS[:120]):
            if at % 17 in (3, 8) and name != "C":
                kind, figure = rng.choice(["split", "dividend"]), float(rng.choice([2.0, 3.0]))
                if kind == "split":
                    close[at:] /= figure
                    actions.append(Action(ActionKind.SPLIT, name, day, DAYS[max(0, at - 1)], ratio=Decimal(figure)))
                else:
                    actions.append(Action(ActionKind.DIVIDEND, name, day, DAYS[max(0, at - 1)], cash=Decimal("0.37")))
            if rng.random() < 0.75 or name == "C":
                is_bad = rng.random() < 0.1 and name != "C"  # a high below the body is quarantined
                high = close[at] * (0.5 if is_bad else 1.01)
                rows.append((day, name, close[at] * 0.995, high, close[at] * 0.98, close[at], 100.0))
    lenient = CurationConfig(min_history=3, coverage=CoverageConfig(min_usable_share=0.0))
    content = curated(frame_of(rows), tuple(actions), config=lenient)
    assert content.quarantine.num_rows > 10 and SessionStatus.RED not in statuses(content).values()
    days = pd.DataFrame({"day": DAYS[:120], "n": range(120)})
    told = pd.DataFrame(
        [(a.symbol, a.effective, float(a.ratio or 1), float(a.cash or 0)) for a in actions], columns=["symbol", "day", "ratio", "cash"]
    )
    bars = content.bars.to_pandas()
    query = """
        WITH r AS (SELECT symbol, n, open, close, gap_return, gap_overnight,
                          lag(n) OVER w AS before, lag(close) OVER w AS base
                   FROM bars JOIN days ON bars.session = days.day WINDOW w AS (PARTITION BY symbol ORDER BY n)),
        a AS (SELECT symbol, n, ratio, cash FROM told JOIN days USING (day)),
        held AS (SELECT r.*,
            coalesce((SELECT product(ratio) FROM a WHERE a.symbol = r.symbol AND a.n > before AND a.n <= r.n), 1) AS m,
            coalesce((SELECT sum(x.cash * (SELECT coalesce(product(y.ratio), 1) FROM a y WHERE y.symbol = r.symbol
                                             AND y.n > before AND y.n <= x.n))
                      FROM a x WHERE x.symbol = r.symbol AND x.n > before AND x.n <= r.n), 0) AS paid
            FROM r WHERE before < r.n - 1)
        SELECT gap_return, gap_overnight, (m * close + paid) / base - 1 AS total, (m * open + paid) / base - 1 AS night
        FROM held"""
    with duckdb.connect() as connection:
        for name, table in (("bars", bars), ("days", days), ("told", told)):
            connection.register(name, table)
        found = connection.execute(query).df()
    assert len(found) == int(bars["gap_return"].notna().sum()) > 30
    np.testing.assert_allclose(found["gap_return"], found["total"], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(found["gap_overnight"], found["night"], rtol=1e-11, atol=1e-13)


def test_returns_come_from_adjusted_closes_where_the_vendor_gives_them() -> None:
    """Factor .95 then 1: total 104/95 - 1; overnight 102/95 - 1; dividend 100 (1 - .95) = 5.0000, inferred."""
    rows = [(DAYS[0], "A", 99.0, 101.0, 98.0, 100.0, 10.0, 95.0), (DAYS[1], "A", 102.0, 105.0, 101.0, 104.0, 20.0, 104.0)]
    frame = frame_of(rows, "date symbol open high low close volume adj_close")
    content = curated(frame, basis=PriceBasis.SPLIT_ADJUSTED)
    assert column(content, "A", "total_return")[1] == pytest.approx(104 / 95 - 1)
    assert column(content, "A", "overnight_return")[1] == pytest.approx(102 / 95 - 1)
    assert content.actions == (Action(ActionKind.DIVIDEND, "A", DAYS[1], DAYS[1], cash=Decimal("5.0000"), inferred=True),)


def test_a_recorded_dividend_is_not_inferred_again() -> None:
    rows = [(DAYS[0], "A", 99.0, 101.0, 98.0, 100.0, 10.0, 95.0), (DAYS[1], "A", 102.0, 105.0, 101.0, 104.0, 20.0, 104.0)]
    recorded = (Action(ActionKind.DIVIDEND, "A", DAYS[1], DAYS[0], cash=Decimal("5.01")),)
    frame = frame_of(rows, "date symbol open high low close volume adj_close")
    assert curated(frame, recorded, basis=PriceBasis.SPLIT_ADJUSTED).actions == recorded


def test_float32_noise_of_the_factor_is_no_dividend() -> None:
    rng = np.random.default_rng(3)
    close = np.float32(np.cumprod(1 + rng.normal(0, 0.02, 200)) * 37.0)
    adjusted = np.float32(close * np.float32(0.8731))
    rows = [
        (day, "A", float(c), float(c), float(c), float(c), 9.0, float(a)) for day, c, a in zip(DAYS[:200], close, adjusted, strict=True)
    ]
    frame = frame_of(rows, "date symbol open high low close volume adj_close")
    assert curated(frame, basis=PriceBasis.SPLIT_ADJUSTED).actions == ()


def test_an_unrecorded_split_of_raw_prices_is_inferred_from_the_adjusted_close() -> None:
    """Close 100 -> 26 with factor .25 -> 1: a 4:1 split, total return 26/25 - 1, no dividend, no suspicion."""
    rows = [(DAYS[0], "A", 99.0, 101.0, 98.0, 100.0, 10.0, 25.0), (DAYS[1], "A", 26.0, 26.0, 26.0, 26.0, 40.0, 26.0)]
    content = curated(frame_of(rows, "date symbol open high low close volume adj_close"))
    assert content.actions == (Action(ActionKind.SPLIT, "A", DAYS[1], DAYS[1], ratio=Decimal("4.0"), inferred=True),)
    assert column(content, "A", "total_return")[1] == pytest.approx(0.04)
    assert content.findings.num_rows == 0


def test_an_inferred_dividend_beside_a_recorded_split_is_per_new_share() -> None:
    """100 -> 2:1 -> ex $1 per new share. f goes 1/2 x (1 - 1/50) to 1, so D = 50 (1 - .98) = 1.0000."""
    rows = [(DAYS[0], "A", 99.0, 101.0, 98.0, 100.0, 10.0, 49.0), (DAYS[1], "A", 50.0, 50.0, 50.0, 50.0, 40.0, 50.0)]
    split = Action(ActionKind.SPLIT, "A", DAYS[1], DAYS[0], ratio=Decimal(2))
    content = curated(frame_of(rows, "date symbol open high low close volume adj_close"), (split,))
    dividend = Action(ActionKind.DIVIDEND, "A", DAYS[1], DAYS[1], cash=Decimal("1.0000"), inferred=True)
    assert content.actions == (dividend, split)


def test_no_return_crosses_a_missing_or_quarantined_session() -> None:
    rows = flat("A", DAYS[:6])
    rows[2] = (DAYS[2], "A", 10.0, 10.0, 10.0, float("nan"), 1000.0)
    del rows[4]
    content = curated(frame_of(rows))
    known = [not np.isnan(value) for value in column(content, "A", "total_return")]
    assert column(content, "A", "session") == [DAYS[0], DAYS[1], DAYS[3], DAYS[5]]
    assert known == [False, True, False, False]


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


def crowd(count: int, days: tuple[date, ...]) -> list[tuple[object, ...]]:
    """Names of which each goes its own way, a few per cent at most."""
    return [
        row
        for i in range(count)
        for t, day in enumerate(days)
        for row in flat(f"S{i:03}", (day,), (10.0 + i) * (1 + (7 * i + 3 * t + i * t) % 5 / 100))
    ]


def without(rows: list[tuple[object, ...]], symbols: set[str], days: set[date]) -> list[tuple[object, ...]]:
    return [row for row in rows if row[1] not in symbols or row[0] not in days]


def test_deleting_a_week_of_symbols_turns_that_week_red_and_nothing_else() -> None:
    rows = crowd(60, DAYS[:20])
    week = set(DAYS[10:15])
    found = statuses(curated(frame_of(without(rows, {"S000", "S001"}, week))))
    assert {day for day, status in found.items() if status is SessionStatus.RED} == week
    assert {day for day, status in found.items() if status is SessionStatus.GREEN} == set(DAYS[:20]) - week


def test_no_return_touches_a_red_session() -> None:
    rows = crowd(60, DAYS[:20])
    content = curated(frame_of(without(rows, {"S000", "S001"}, {DAYS[10]})))
    known = [not np.isnan(value) for value in column(content, "S050", "total_return")]
    assert known == [False, *[True] * 9, False, False, *[True] * 8]


def test_a_session_without_any_row_is_red() -> None:
    found = statuses(curated(frame_of([row for row in crowd(3, DAYS[:6]) if row[0] != DAYS[2]])))
    assert [day for day, status in found.items() if status is SessionStatus.RED] == [DAYS[2]]


def test_an_unrecorded_delisting_costs_five_sessions_their_green_and_no_more() -> None:
    gone = set(DAYS[10:30])
    found = statuses(curated(frame_of(without(crowd(60, DAYS[:30]), {"S007"}, gone))))
    assert {day for day, status in found.items() if status is SessionStatus.AMBER} == set(DAYS[10:15])
    assert SessionStatus.RED not in found.values()


def test_a_recorded_delisting_costs_none() -> None:
    gone = set(DAYS[10:30])
    action = Action(ActionKind.DELISTING, "S007", DAYS[10], DAYS[5], cash=Decimal("9.5"))
    found = statuses(curated(frame_of(without(crowd(60, DAYS[:30]), {"S007"}, gone)), (action,)))
    assert set(found.values()) == {SessionStatus.GREEN}


def test_a_row_on_a_closed_day_is_quarantined_and_that_date_is_red_outside_the_panel() -> None:
    memorial_day = date(2024, 5, 27)
    days = CALENDAR.between(date(2024, 5, 20), date(2024, 5, 31))
    content = curated(frame_of(flat("A", (*days, memorial_day))))
    assert [(audit.session, audit.status) for audit in content.non_sessions] == [(memorial_day, SessionStatus.RED)]
    assert content.quarantine.to_pylist()[0]["reasons"] == "non_session"
    assert set(statuses(content).values()) == {SessionStatus.GREEN}
    assert memorial_day not in column(content, "A", "session")


def test_a_symbol_change_joins_the_histories_under_the_first_name() -> None:
    rows = flat("OLD", DAYS[:3]) + flat("NEW", DAYS[3:6], 11.0)
    change = Action(ActionKind.SYMBOL_CHANGE, "OLD", DAYS[3], DAYS[2], new_symbol="NEW")
    content = curated(frame_of(rows), (change,))
    assert column(content, "OLD", "symbol") == ["OLD"] * 3 + ["NEW"] * 3
    assert column(content, "OLD", "total_return")[3] == pytest.approx(0.1)
    assert column(content, "OLD", "eligible") == [False, False, *[True] * 4]


def test_a_change_that_the_vendor_already_applied_leaves_the_history_whole() -> None:
    change = Action(ActionKind.SYMBOL_CHANGE, "FB", DAYS[3], DAYS[2], new_symbol="META")
    content = curated(frame_of(flat("META", DAYS[:6])), (change,))
    assert column(content, "META", "symbol") == ["META"] * 6


def test_names_swapped_on_one_day_follow_their_companies() -> None:
    """GOOCV becomes GOOG on the day GOOG becomes GOOGL."""
    day = DAYS[3]
    changes = [
        Action(ActionKind.SYMBOL_CHANGE, "GOOCV", day, day, new_symbol="GOOG"),
        Action(ActionKind.SYMBOL_CHANGE, "GOOG", day, day, new_symbol="GOOGL"),
    ]
    names = identities(changes, {"GOOG": DAYS[0], "GOOCV": DAYS[0], "GOOGL": day})
    assert [names.at(s, day) for s in ("GOOG", "GOOGL", "GOOCV")] == ["GOOCV", "GOOG", f"GOOCV@{day}"]
    assert [names.at(s, DAYS[2]) for s in ("GOOG", "GOOCV")] == ["GOOG", "GOOCV"]


def test_a_symbol_used_again_after_a_delisting_is_another_security() -> None:
    rows = flat("X", DAYS[:3]) + flat("X", DAYS[8:12], 50.0)
    action = Action(ActionKind.DELISTING, "X", DAYS[3], DAYS[2], cash=Decimal(10))
    content = curated(frame_of(rows), (action,))
    assert column(content, f"X@{DAYS[3]}", "eligible") == [False, False, True, True]
    assert np.isnan(column(content, f"X@{DAYS[3]}", "total_return")[0])


def dirty(seed: int = 5, count: int = 70, sessions: int = 40) -> tuple[pd.DataFrame, tuple[Action, ...]]:
    """A market of 70 names with a split, a renaming, a delisting and scattered defects."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        close = np.round(np.cumprod(1 + rng.normal(0, 0.02, sessions)) * (20 + i), 2)
        close[12:] /= 1.5 if i == 3 else 1.0  # the split of S003
        for day, price in zip(DAYS[:sessions], close, strict=True):
            rows.append((day, f"S{i:03}", price, price + 0.5, price - 0.5, price, float(rng.integers(1, 99)) * 100))
    frame = frame_of(rows)
    frame.loc[(frame.symbol == "S001") & (frame.date >= pd.Timestamp(DAYS[20])), "symbol"] = "NEW1"
    frame = frame[~((frame.symbol == "S002") & (frame.date >= pd.Timestamp(DAYS[15])))].reset_index(drop=True)
    frame.loc[rng.choice(len(frame), 12, replace=False), "close"] = np.nan
    frame.loc[rng.choice(len(frame), 12, replace=False), "high"] = 0.5
    copies = frame.iloc[rng.choice(len(frame), 10, replace=False)]
    conflicts = frame.iloc[rng.choice(len(frame), 5, replace=False)].assign(volume=7.0)
    frame = pd.concat([frame.drop(index=rng.choice(len(frame), 30, replace=False)), copies, conflicts])
    actions = (
        Action(ActionKind.SPLIT, "S003", DAYS[12], DAYS[10], ratio=Decimal("1.5")),
        Action(ActionKind.DELISTING, "S002", DAYS[15], DAYS[10], cash=Decimal(20)),
        Action(ActionKind.SYMBOL_CHANGE, "S001", DAYS[20], DAYS[10], new_symbol="NEW1"),
        Action(ActionKind.DIVIDEND, "NEW1", DAYS[25], DAYS[22], cash=Decimal("0.3")),
    )
    return frame.reset_index(drop=True), actions


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_delivered_rows_changes_no_byte(seed: int) -> None:
    frame, actions = dirty()
    shuffled = frame.sample(frac=1.0, random_state=seed).reset_index(drop=True)
    one, other = curated(frame, actions), curated(shuffled, actions[::-1])
    for name in ("bars", "quarantine", "findings"):
        assert parquet_bytes(getattr(one, name)) == parquet_bytes(getattr(other, name))
    assert (one.audits, one.actions) == (other.audits, other.actions)


@pytest.mark.parametrize("cut", [3, 11, 12, 15, 19, 20, 21, 26, 39])
def test_cutting_the_future_changes_no_earlier_bar_return_eligibility_or_status(cut: int) -> None:
    frame, actions = dirty()
    past = frame[frame.date < pd.Timestamp(DAYS[cut])]
    known = tuple(action for action in actions if action.effective < DAYS[cut])
    whole, prefix = curated(frame, actions), curated(past.reset_index(drop=True), known)
    kept = whole.bars.filter(pa.compute.less(whole.bars.column("session"), pa.scalar(DAYS[cut])))
    assert kept.equals(prefix.bars)
    short = [(a.session, a.status, a.eligible, a.usable, a.rows) for a in prefix.audits]
    assert short == [(a.session, a.status, a.eligible, a.usable, a.rows) for a in whole.audits[: len(short)]]


def test_every_delivered_row_is_in_the_bars_or_in_the_quarantine() -> None:
    frame, actions = dirty()
    content = curated(frame, actions)
    assert content.bars.num_rows + content.quarantine.num_rows == len(frame)
    assert content.quarantine.num_rows > 30
    assert sum(audit.rows for audit in content.audits) == len(frame)
    assert all(row["reasons"] for row in content.quarantine.to_pylist())


def test_a_long_set_whose_names_all_live_is_survivors_only_and_a_death_makes_it_unknown() -> None:
    days = CALENDAR.between(date(2023, 1, 3), date(2025, 6, 30))
    rows = crowd(4, days)
    assert curated(frame_of(rows)).survivorship == "survivors only"
    assert curated(frame_of(without(rows, {"S001"}, set(days[300:])))).survivorship == "unknown"
    assert curated(frame_of(crowd(4, days[:100]))).survivorship == "unknown"
    word = CurationConfig(eligibility=ANY, min_history=3, all_assets=True)
    died = frame_of(without(rows, {"S001"}, set(days[300:])))
    assert curated(died, config=word).survivorship == "reconstructed"
    assert curated(frame_of(rows), config=word).survivorship == "survivors only"  # whatever a person says


def test_the_calendar_begins_with_the_first_bar_and_is_kept_to_its_end() -> None:
    content = curated(frame_of(flat("A", DAYS[:3])))
    assert content.calendar.days[0] == DAYS[0]
    assert content.calendar.days[-1] == CALENDAR.days[-1]


def test_too_few_symbols_and_rows_off_the_calendar_are_refused() -> None:
    with pytest.raises(BadBars, match="1 symbols are too few"):
        curated(frame_of(flat("A", DAYS[:3])), config=replace_min_symbols(30))
    with pytest.raises(BadBars, match="no row is on a session"):
        curated(frame_of(flat("A", (date(2024, 3, 9), date(2024, 3, 10)))))


def replace_min_symbols(count: int) -> CurationConfig:
    return SMALL.model_copy(update={"min_symbols": count})


def moving(symbol: str, closes: list[float], first: int = 0) -> list[tuple[object, ...]]:
    return [(DAYS[first + at], symbol, c, c, c, c, 1000.0 + at) for at, c in enumerate(closes)]


CROWD_CLOSES = 50.0 * np.cumprod(1.0 + np.random.default_rng(1).normal(0.0, 0.01, (20, 60)), axis=0)
CROWD = [(day, f"X{name:02}", *[CROWD_CLOSES[at, name]] * 4, 1000.0 + at) for name in range(60) for at, day in enumerate(DAYS[:20])]


def eligible(content: DatasetContent, security: str) -> list[object]:
    return column(content, security, "eligible")


def test_an_extreme_return_waits_until_its_level_has_held_five_sessions() -> None:
    """From 10 to 25 in session 4 and 22 to 24 from then on: undecided, and nothing to trade until session 9."""
    content = curated(frame_of([*CROWD, *moving("A", [10.0] * 4 + [25.0, 24.0, 23.0, 22.0, 23.0, 24.0, 24.0, 24.0])]))
    assert column(content, "A", "undecided") == [at == 4 for at in range(12)]
    assert column(content, "A", "total_return")[4] == pytest.approx(1.5)
    assert eligible(content, "A") == [False, False, True, True, *[False] * 5, True, True, True]
    found = content.findings.to_pandas()
    assert found[found.reason == "undecided_return"][["date", "symbol"]].values.tolist() == [[DAYS[4], "A"]]


def test_a_level_that_does_not_hold_waits_until_a_person_confirms_it() -> None:
    """Back below the middle within five sessions, by no extreme move: only a word ends it, and no dataset stores it."""
    rows = frame_of([*CROWD, *moving("A", [10.0] * 4 + [25.0, 20.0, 14.0, 12.0, 11.0, 11.0, 11.0, 11.0])])
    assert eligible(curated(rows), "A")[4:] == [False] * 8
    word = Action(ActionKind.CONFIRMED, "A", DAYS[4], DAYS[5])
    content = curated(rows, (word,))
    assert all(eligible(content, "A")[4:]) and not any(column(content, "A", "undecided")) and content.actions == ()
    assert column(content, "A", "total_return")[4] == pytest.approx(1.5)


def test_an_action_recorded_for_the_session_explains_an_extreme_return() -> None:
    paid = Action(ActionKind.DIVIDEND, "A", DAYS[4], DAYS[3], cash=Decimal("0.01"))
    rows = frame_of([*CROWD, *moving("A", [10.0] * 4 + [4.0] * 4)])
    assert column(curated(rows), "A", "undecided")[4] and not any(column(curated(rows, (paid,)), "A", "undecided"))


def test_a_bankrupt_that_comes_back_at_27_dollars_is_another_security() -> None:
    """0.12, then 27: 225 times from under 1 USD. A holder is left with the last price, and the new name is young."""
    rows = frame_of([*CROWD, *moving("A", [0.12] * 6 + [27.0] * 6)])
    content = curated(rows)
    again = f"A@{DAYS[6]}"
    assert column(content, "A", "close") == [0.12] * 6 and column(content, again, "close") == [27.0] * 6
    assert np.isnan(column(content, again, "total_return")[0]) and not any(column(content, again, "undecided"))
    assert eligible(content, again) == [False, False, True, True, True, True]
    end = Action(ActionKind.DELISTING, "A", DAYS[6], DAYS[6], cash=Decimal("0.12"), inferred=True)
    assert content.actions == (end,)
    found = content.findings.to_pandas()
    assert found[found.reason == "stitched"][["date", "symbol"]].values.tolist() == [[DAYS[6], "A"]]
    confirmed = curated(rows, (Action(ActionKind.CONFIRMED, "A", DAYS[6], DAYS[6]),))
    assert column(confirmed, "A", "total_return")[6] == pytest.approx(224.0) and confirmed.actions == ()


@pytest.mark.parametrize(("before", "after"), [(1.0, 27.0), (0.9, 4.4)])
def test_from_a_dollar_or_up_to_five_times_a_move_is_undecided_and_no_stitch(before: float, after: float) -> None:
    content = curated(frame_of([*CROWD, *moving("A", [before] * 6 + [after] * 6)]))
    assert column(content, "A", "undecided")[6] and content.actions == ()


def test_cutting_the_future_changes_no_wait_and_no_stitch() -> None:
    rows = [*CROWD, *moving("A", [10.0] * 4 + [25.0] * 12), *moving("B", [0.12] * 6 + [27.0] * 10)]
    whole = curated(frame_of(rows)).bars.to_pandas()
    for last in (5, 7, 9, 12):
        cut = curated(frame_of([row for row in rows if row[0] <= DAYS[last]])).bars.to_pandas()
        kept = whole[whole.session <= DAYS[last]].reset_index(drop=True)
        pd.testing.assert_frame_equal(cut, kept)
