"""Events of daily bars and their outcomes, by session and symbol: what the device records is what the trainer computes.

An event is found from the `READS` sessions that end at its own. Its outcome is played with the side and the average true range
that were found then, on the bars as they are now: `WAITS` sessions later it is known, or never will be.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

import numpy as np

from signals.events.detectors import LONGEST, detect
from signals.events.outcomes import Exit, Outcomes, outcomes
from signals.events.panel import DOLLAR_BARS, EventBars, EventTable, Kind, LiquidityThird, liquidity
from signals.events.recorded import RULES, DailyEvent, DailyOutcome, OutcomeRules
from signals.market.bars import EXIT_SESSIONS, Bars, Floats, Payout

READS = max(LONGEST + 1, DOLLAR_BARS)
WAITS = RULES.patience + EXIT_SESSIONS
MOVES = ("realised_r", "runup_r", "drawdown_r", "mfe_atr", "mae_atr", "mfe_r", "mae_r")
NOT_KNOWN = (*MOVES, "bars_to_target", "bars_to_stop", "known", "seen_to")


def daily_events(bars: Bars, first: int = 0) -> tuple[DailyEvent, ...]:
    """Return the events of the eligible names from row `first` of the bars on, by session and symbol."""
    levels = EventBars.of(bars)
    asked = (np.arange(len(bars.sessions)) >= first)[:, None]
    table, third = detect(levels).table(bars.eligible & asked), liquidity(levels.dollars, bars.eligible)
    share = table.atr / levels.close[table.row, table.column]
    return tuple(
        DailyEvent(
            asof=_day(bars, t),
            symbol=bars.symbols[c],
            kind=_word(Kind(table.kind[i])),
            side=int(table.side[i]),
            strength=float(table.strength[i]),
            pole_katr=_finite(table.pole_katr[i]),
            atr=float(share[i]),
            third=_word(LiquidityThird(third[t, c])),
        )
        for i, (t, c) in enumerate(zip(table.row.tolist(), table.column.tolist(), strict=True))
    )


def daily_outcomes(
    bars: Bars,
    events: Sequence[DailyEvent],
    payouts: Iterable[Payout] = (),
    renamed: Mapping[str, str] | None = None,
    rules: OutcomeRules = RULES,
) -> Iterator[DailyOutcome]:
    """Yield what is known of each event whose session these bars hold; `renamed` are symbols that changed since, old to new.

    Other `rules` have the patience of `RULES`, after which `WAITS` counts.
    """
    here = [one for one in events if np.datetime64(one.asof, "D") >= bars.sessions[0]]
    levels, rows = EventBars.of(bars), [bars.index(one.asof) for one in here]
    columns = [column_of(bars, one.symbol, row, renamed or {}) for one, row in zip(here, rows, strict=True)]
    found = [(one, row, column) for one, row, column in zip(here, rows, columns, strict=True) if column is not None]
    made = outcomes(levels, _table([one for one, _, _ in found], [(row, column) for _, row, column in found], levels.close), rules, payouts)
    for i, (one, row, _) in enumerate(found):
        yield _outcome(one, made, i, bars, is_over=row + WAITS < len(bars.sessions))
    for one, row, column in zip(here, rows, columns, strict=True):
        if column is None and row + WAITS < len(bars.sessions):
            yield DailyOutcome(one.asof, one.symbol, _word(Exit.UNKNOWN), **dict.fromkeys(NOT_KNOWN), is_tie=False, is_final=True)


def column_of(bars: Bars, symbol: str, row: int, renamed: Mapping[str, str]) -> int | None:
    """Return the column of the security that bore the symbol at a row: under its newest name, or set aside for a later bearer."""
    now = symbol
    for _ in renamed:
        now = renamed.get(now, now)
    candidates = [c for c, name in enumerate(bars.symbols) if name in (now, symbol) or name.startswith(f"{symbol}@")]
    return next((c for c in candidates if np.isfinite(bars.close[row, c])), None)


def _table(events: Sequence[DailyEvent], places: Sequence[tuple[int, int]], close: Floats) -> EventTable:
    """Places, sides and ranges of recorded events: all that their trades depend on."""
    row, column = np.array(places, dtype=np.int64).reshape(-1, 2).T
    side, atr = np.array([one.side for one in events], np.int8), np.array([one.atr for one in events]) * close[row, column]
    none = np.full(len(events), np.nan, np.float32)
    return EventTable(np.full(len(events), Kind.NONE, np.int8), side, none, none, atr, row, column)


def _outcome(event: DailyEvent, made: Outcomes, i: int, bars: Bars, *, is_over: bool) -> DailyOutcome:
    how, known, seen = Exit(made.exit[i]), int(made.t1[i]), int(made.seen_to[i])
    to_target, to_stop = int(made.bars_to_target[i]), int(made.bars_to_stop[i])
    return DailyOutcome(
        event.asof,
        event.symbol,
        _word(how),
        **{name: _finite(getattr(made, name)[i]) for name in MOVES},
        bars_to_target=None if to_target < 0 else to_target,
        bars_to_stop=None if to_stop < 0 else to_stop,
        is_tie=bool(made.is_tie[i]),
        known=None if known < 0 else _day(bars, known),
        seen_to=None if seen < 0 else _day(bars, seen),
        is_final=seen >= 0 or how is Exit.NOT_ENTERED or is_over,
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _word(member: Kind | LiquidityThird | Exit) -> str:
    return member.name.lower().replace("_", "-")


def _day(bars: Bars, row: int) -> date:
    day: date = bars.sessions[row].astype(object)
    return day
