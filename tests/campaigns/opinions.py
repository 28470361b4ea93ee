"""How often honest data would be stopped by the second opinion: every session of real bars against a second source.

Prices: the plan's close from one source, the broker's from another, through the functions that the device runs. A
source that is adjusted for what came later is restated to the level of the other by their ratio of the session before,
as a dataset that is made on the evening itself would be; a corporate action of one side alone shows as a disagreement.
Gaps: the close of the session before against the open, as the newest price before an auction: PRICE_COLLAR and the
equity that a book of all names would not explain.

Run it with `make opinions-campaign`; exits 1 on more than one false stop a year.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import comb
from pathlib import Path

import pandas as pd

from execution.brokers.base import Position
from execution.config import SubmissionConfig
from execution.orders import Intent, IntentKey, OrderType, Side, TimeInForce
from execution.planning.config import OpinionConfig, PretradeConfig
from execution.planning.opinions import disputed, shares_disputed, unexplained
from execution.planning.pretrade import CHECKS, Circumstances

DATA = Path("../shared/data")
SESSIONS_A_YEAR, JUDGED_NAMES = 252, 50  # with fewer names one is more than the 5 % that may be left out
GROSS, CASH, BOOK_NAMES = Decimal("0.95"), Decimal(1_000_000), 100
STORM = (date(2020, 2, 20), date(2020, 4, 30))
SCALES = (Decimal("0.1"), Decimal("0.5"), Decimal("0.75"), Decimal("1.5"), Decimal(10))
COLLAR = next(check for check in CHECKS if check.name == "PRICE_COLLAR")


@dataclass(frozen=True)
class Pair:
    """Two sources of one market: file, column of the close, and which delivery of a bar that came more than once."""

    name: str
    ours: tuple[str, str, str]
    theirs: tuple[str, str, str]
    is_restated: bool


PAIRS = (
    Pair(
        "a delivery of the evening and the vendor's word of the day after",
        ("us_daily_deliveries_pit_open", "close", "first"),
        ("us_daily_deliveries_pit_open", "close", "last"),
        False,
    ),
    Pair("yf and deliveries", ("us_daily_2013_2023_yf_open", "close", "last"), ("us_daily_deliveries_pit_open", "close", "last"), True),
    Pair("cc0 and yf", ("us_daily_2007_2014_cc0_open", "close", "last"), ("us_daily_2013_2023_yf_open", "adj_close", "last"), True),
    Pair(
        "deliveries and Lean's raw bars", ("us_daily_deliveries_pit_open", "close", "last"), ("us_daily_raw_lean", "close", "last"), False
    ),
    Pair("cc0 and Lean's raw bars", ("us_daily_2007_2014_cc0_open", "close", "last"), ("us_daily_raw_lean", "close", "last"), True),
    Pair("yf and Lean's raw bars", ("us_daily_2013_2023_yf_open", "close", "last"), ("us_daily_raw_lean", "close", "last"), True),
)


def read(file: str, *columns: str) -> pd.DataFrame:
    """Rows with a positive close, oldest first, `delivered` in its order where the file has it."""
    frame = pd.read_parquet(DATA / f"{file}.parquet")
    order = [name for name in ("symbol", "date", "delivered") if name in frame]
    return frame[frame["close"] > 0].sort_values(order)[["symbol", "date", *columns]].dropna()


def both(pair: Pair) -> pd.DataFrame:
    """One row a name-session with `ours` and `theirs` at one level."""
    sides = []
    for (file, column, which), side in ((pair.ours, "ours"), (pair.theirs, "theirs")):
        found = read(file, column).groupby(["symbol", "date"])[column]
        counted = found.agg([which, "count"]).rename(columns={which: side})
        is_split = pair.ours[0] == pair.theirs[0]
        sides.append(counted.loc[counted["count"] > 1 if is_split else slice(None), side])
    rows = pd.concat(sides, axis=1, join="inner").reset_index().sort_values(["symbol", "date"])
    if pair.is_restated:
        level = (rows["ours"] / rows["theirs"]).groupby(rows["symbol"])
        rows["theirs"] *= level.shift()
    return rows.dropna()


def decimals(values: pd.Series) -> list[Decimal]:
    return [Decimal(repr(round(float(value), 6))) for value in values]


def sessions(rows: pd.DataFrame, *columns: str) -> Iterator[tuple[date, list[str], list[list[Decimal]]]]:
    for day, group in rows.groupby("date"):
        yield day, group["symbol"].tolist(), [decimals(group[column]) for column in columns]


def compare(pair: Pair) -> float:
    """Print one line of a pair of sources and return the false stops a year of a large universe."""
    config, rows = OpinionConfig(), both(pair)
    stops = storm = left = planted = found = 0
    days = rows["date"].nunique()
    for number, (day, names, (ours, theirs)) in enumerate(sessions(rows, "ours", "theirs")):
        prices, opinions = dict(zip(names, ours, strict=True)), dict(zip(names, theirs, strict=True))
        reasons = disputed(prices, opinions, config)
        share, _ = shares_disputed(reasons, len(prices), {})
        is_stop = share is None or share > config.max_names
        stops, left = stops + is_stop, left + len(reasons)
        storm += len(reasons) if STORM[0] <= day <= STORM[1] else 0
        name, scale = names[number % len(names)], SCALES[number % len(SCALES)]
        planted += 1
        found += name in disputed({name: prices[name] * scale}, opinions, config)
    a_year = stops * SESSIONS_A_YEAR / days
    print(
        f"{pair.name}: {rows['symbol'].nunique()} names, {days} sessions {rows['date'].min()} to {rows['date'].max()},"
        f" {left} of {len(rows)} name-sessions left out ({left / len(rows):.4%}), {storm} of them in {STORM[0]} to"
        f" {STORM[1]}; {stops} sessions past {config.max_names:.0%} of the names, {a_year:.2f} a year;"
        f" {found} of {planted} prices of another scale found",
        flush=True,
    )
    return a_year if rows["symbol"].nunique() >= JUDGED_NAMES else 0.0


def gaps(file: str) -> float:
    """Print what the collar of the newest price and the equity check make of every open; return the stops a year."""
    rows = read(file, "open", "close")
    rows["before"] = rows.groupby("symbol")["close"].shift()
    rows = rows[rows["open"] > 0].dropna()
    limits, opinion, most = PretradeConfig(), OpinionConfig(), SubmissionConfig().max_collar_refusals
    halts, refused, worst, unexplained_stops = 0.0, 0, (0, date.min), 0
    largest, strict, storm = (0.0, date.min), 0.0, 0.0
    for day, names, (before, opens) in sessions(rows, "before", "open"):
        newest = dict(zip(names, opens, strict=True))
        now = Circumstances(CASH, CASH, True, {}, (), {}, {}, {}, {}, newest)
        count = sum(COLLAR.judge(_order(day, *row), now, limits) is not None for row in zip(names, before, strict=True))
        refused, worst = refused + count, max(worst, (count, day))
        halt = more_than(most, count, len(names))
        halts, storm = halts + halt, storm + halt * (STORM[0] <= day <= STORM[1])
        wide = sum(abs(b / o - 1) > limits.collar for b, o in zip(before, opens, strict=True))
        strict += more_than(most, wide, len(names))
        moved = _unexplained(names, before, opens, limits.gap_collar)
        unexplained_stops += moved > opinion.max_equity
        largest = max(largest, (moved, day))
    first, last, days = rows["date"].min(), rows["date"].max(), rows["date"].nunique()
    a_year = SESSIONS_A_YEAR / days
    print(
        f"{file}: {rows['symbol'].nunique()} names, {days} opens {first} to {last}: {refused} of {len(rows)} orders"
        f" refused ({refused / len(rows):.4%}), most on {worst[1]} ({worst[0]}); a book of {BOOK_NAMES} names halts"
        f" {halts * a_year:.2f} times a year, {storm:.2f} of all in {STORM[0]} to {STORM[1]} ({strict * a_year:.1f} a"
        f" year with a collar of {limits.collar:.0%}); equity that a book of all names does not explain: largest"
        f" {largest[0]:.2%} on {largest[1]}, {unexplained_stops} sessions past {opinion.max_equity:.0%}",
        flush=True,
    )
    return (halts + unexplained_stops) * a_year


def more_than(most: int, refused: int, names: int) -> float:
    """Chance that a book of `BOOK_NAMES` of `names` holds more than `most` of the `refused` ones."""
    book = min(BOOK_NAMES, names)
    ways = sum(comb(refused, hit) * comb(names - refused, book - hit) for hit in range(min(most, refused, book) + 1))
    return 1.0 - ways / comb(names, book)


def _order(day: date, symbol: str, price: Decimal) -> Intent:
    key = IntentKey("PA", day, "main", symbol, 0)
    return Intent(key, Side.BUY, Decimal(1), OrderType.MARKET, TimeInForce.OPG, price)


def _unexplained(names: list[str], before: list[Decimal], opens: list[Decimal], gap: Decimal) -> float:
    """The figure of a long book of every name alike, its equity marked at the opens."""
    each = GROSS * CASH / len(names)
    held = [Position(symbol, each / old, old, new) for symbol, old, new in zip(names, before, opens, strict=True)]
    cash = CASH * (1 - GROSS)
    equity = cash + sum(p.quantity * p.current_price for p in held if p.current_price)
    found = unexplained(cash, held, held, equity, dict(zip(names, before, strict=True)), gap)
    return float("inf") if found is None else found


def main() -> int:
    """Print every line and return the exit status."""
    if not DATA.is_dir():
        print(f"no real bars in {DATA}: nothing was measured")
        return 1
    worst = max(compare(pair) for pair in PAIRS)
    worst = max(worst, *(gaps(file) for file in ("us_daily_2013_2023_yf_open", "us_daily_2007_2014_cc0_open")))
    print(f"most false stops a year: {worst:.2f}")
    return int(worst > 1.0)


if __name__ == "__main__":
    sys.exit(main())
