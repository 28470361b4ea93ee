"""Curation: returns by hand, histories joined, eligibility and status by what was known then, nothing lost."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from signals.audit.session_audit import CoverageConfig
from signals.errors import BadBars
from signals.market.actions import Action, ActionKind
from signals.market.eligibility_rule import ANY
from signals.market.manifest import PriceBasis
from signals.market.securities import identities
from signals.market.sessions import Calendar, SessionStatus, xnys
from trainer.curation.config import CurationConfig
from trainer.curation.curate import DeliveredHistory, curate
from trainer.curation.writer import DatasetContent, parquet_bytes

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
