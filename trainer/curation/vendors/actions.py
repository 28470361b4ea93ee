"""Reads a vendor's corporate actions from an action table or from cumulative adjustment factors; detects files of shifted dates.

`moved` and `refuse_shifted` name the mapping that corrects dates which are all shifted against the exchange calendar. A
feed that reads midnight in UTC as a time in New York puts Monday's bars on Sunday and loses them all, while the bars of
the other days pass for those of the day before.
"""

from collections import Counter
from collections.abc import Hashable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.errors import BadBars, InvariantBroken
from signals.market.actions import Action, ActionKind
from signals.market.bars import Days, days_array
from signals.market.sessions import FIRST_YEAR, LAST_YEAR, Calendar, xnys
from signals.text.wording import reason_of
from trainer.curation.vendors.cells import as_broker, dates, figures, given_days, listed, refuse_later, symbols
from trainer.curation.vendors.files import Note, WantedColumns, no_note, tables
from trainer.curation.vendors.mapping import ActionColumns, ActionForm, DateShift, SymbolForm

LEAST_OFF = 0.02  # share of a name's dates on which the exchange was closed; there are nine holidays in 252 weekdays
LEAST_DATES = 10  # of a name whose dates are shifted while others' are not
MOST_REMAINING = 0.1  # share of them that may remain when the dates are moved
WORDS = {
    DateShift.DAY_EARLY: "a day early",
    DateShift.DAY_LATE: "a day late",
    DateShift.WEEKDAY_EARLY: "a weekday early",
    DateShift.WEEKDAY_LATE: "a weekday late",
}


def moved(days: Days, shift: DateShift) -> Days:
    """Return the dates that are meant where those given are shifted."""
    if shift is DateShift.AS_DELIVERED:
        return days
    step = 1 if shift in (DateShift.DAY_EARLY, DateShift.WEEKDAY_EARLY) else -1
    if shift in (DateShift.DAY_EARLY, DateShift.DAY_LATE):
        return days + np.timedelta64(step, "D")
    return np.busday_offset(days, step, roll="backward" if step > 0 else "forward")


def moved_column(column: pd.Series, shift: DateShift) -> pd.Series:
    """Return a column of dates moved likewise."""
    if shift is DateShift.AS_DELIVERED or column.empty:
        return column
    days = moved(column.to_numpy().astype("datetime64[D]"), shift)
    return pd.Series(days.astype("datetime64[s]"), index=column.index)


def refuse_shifted(symbols: pd.Series, dates: pd.Series, calendar: Calendar, *, where: str, section: str) -> None:
    """Raise `BadBars` where the dates of some symbols are no sessions and one shift makes sessions of all of them.

    Parameters
    ----------
    symbols, dates : Series, shape (R,)
    calendar : Calendar
        Every session from the first date on.
    section : str
        Of the mapping, where the shift can be named.

    Raises
    ------
    BadBars
        The dates are shifted, or none of them is a session.
    """
    days, sessions = dates.to_numpy().astype("datetime64[D]"), days_array(calendar.days)
    is_off = ~np.isin(days, sessions)
    if not is_off.any():
        return
    sessions = days_array(_around(calendar).days)
    share = pd.Series(is_off).groupby(symbols.to_numpy()).mean()
    suspects = share.index[share >= LEAST_OFF]
    if len(suspects) < len(share):  # of one name, few dates may be wrong for many reasons
        rows = pd.Series(days).groupby(symbols.to_numpy()).nunique()
        suspects = suspects[rows[suspects] >= LEAST_DATES]
    inside = np.unique(days[symbols.isin(suspects).to_numpy()])
    off = int(np.count_nonzero(~np.isin(inside, sessions)))
    found = [shift for shift in WORDS if off and _is_it(shift, inside, off, sessions)]
    if len(found) == 1:
        named = f" of {listed(suspects)}" if len(suspects) < len(share) else ""
        raise BadBars(
            f"all dates{named} are {WORDS[found[0]]}: {off} of {len(inside)} are no sessions of the exchange, {_example(inside, sessions)}",
            where=where,
            fix=f"Write `dates: {found[0]}` in the section `{section}` of the mapping, or correct the dates",
        )
    if is_off.all():
        raise BadBars(f"no row is on a session of the exchange, {_example(inside, sessions)}", where=where, fix="Check the date column")


def _is_it(shift: DateShift, days: Days, off: int, sessions: Days) -> bool:
    if shift in (DateShift.WEEKDAY_EARLY, DateShift.WEEKDAY_LATE) and not np.is_busday(days).all():
        return False
    meant = moved(days, shift)
    return bool(np.count_nonzero(~np.isin(meant, sessions)) <= MOST_REMAINING * off)


def _around(calendar: Calendar) -> Calendar:
    """The calendar and the week before it, into which a date may be moved."""
    first = max(calendar.days[0] - timedelta(days=10), date(FIRST_YEAR, 1, 1))
    return xnys(first, calendar.days[-1])


def _example(days: Days, sessions: Days) -> str:
    first: NDArray[np.datetime64] = days[~np.isin(days, sessions)]
    day = first[0].astype(object)
    return f"as {day}, a {day:%A}"


CASH_DECIMALS = 4
RATIO_DECIMALS = 6
# Factor tables round at six decimals: a smaller change of a factor is not an action.
FACTOR_TOLERANCE = 1e-6
SPLIT_TOLERANCE = 0.005
LEAST_DAYS = 10  # of actions, whose weekdays are no coincidence
NEEDED, OPTIONAL = ("kind", "symbol", "effective"), ("known_at", "ratio", "cash", "new_symbol")
FACTORS = ("symbol", "date", "price_factor", "split_factor", "reference_price")


def read_actions(
    content: bytes, mapping: ActionColumns, calendar: Calendar, *, where: str, today: date | None = None, note: Note = no_note
) -> tuple[Action, ...]:
    """Read an actions delivery, which may have no row.

    An effective date that is not a session moves to the next one. Where the vendor gives no `known_at`, it is the
    session before `effective`: the evening batch of that session must know what happens overnight. An action that is
    given again, later or in the same words, is one action.

    Raises
    ------
    BadBars
        Unreadable file, missing column, an unknown kind, an action without its figure, two splits of one symbol and
        session that differ, dates of another calendar or all off the sessions, or `known_at` after `today`.
    """
    by_form = {ActionForm.FACTORS: (_from_factors, FACTORS, ()), ActionForm.ACTIONS: (_from_actions, NEEDED, OPTIONAL)}
    read, needed, optional = by_form[mapping.form]
    wanted = WantedColumns(mapping.columns, needed, optional)
    days, found = days_array(calendar.days), []
    for raw, place in tables(content, wanted, where=where, note=note, may_be_empty=True):
        raw["symbol"] = symbols(raw["symbol"], mapping.symbols, where=place, note=note)
        table = read(raw, mapping, where=place)
        if mapping.form is ActionForm.ACTIONS:  # factors are valid through any date
            refuse_later(table["known_at"], today, where=place, what="known in the future:")
            _check_effective(table, calendar, where=place)
        try:
            found += [_action(row, calendar, days) for row in table.to_dict("records")]
        except (InvariantBroken, ValueError, ArithmeticError) as error:
            raise BadBars(f"not a corporate action ({reason_of(error)})", where=place, fix="Correct the row") from None
    return _once(found, where=where, note=note)


def _check_effective(table: pd.DataFrame, calendar: Calendar, *, where: str) -> None:
    years = table["effective"].dt.year
    far = ~years.between(FIRST_YEAR, LAST_YEAR).to_numpy(dtype=bool)
    if far.any():
        row = table.iloc[int(far.argmax())]
        raise BadBars(
            f"{row['symbol']}: an action of {row['effective'].date()} is in no calendar of the exchange",
            where=f"{where}, row {int(far.argmax()) + 1}; years {FIRST_YEAR} to {LAST_YEAR}",
            fix="Correct the date",
        )
    first, last = (pd.Timestamp(day) for day in (calendar.days[0], calendar.days[-1]))
    inside = table[table["effective"].between(first, last)]
    if inside["effective"].nunique() >= LEAST_DAYS:
        nobody = pd.Series("", index=inside.index)  # a name has too few actions to be judged alone
        refuse_shifted(nobody, inside["effective"], calendar, where=where, section="actions")


def _once(found: list[Action], *, where: str, note: Note) -> tuple[Action, ...]:
    """Sort the actions, each once: the same figures with another `known_at` were known on the earlier day."""
    found.sort(key=lambda a: (a.effective, a.symbol, a.kind, a.cash or 0, a.ratio or 0, a.known_at))
    distinct: dict[tuple[object, ...], Action] = {}
    for a in found:
        distinct.setdefault((a.kind, a.symbol, a.effective, a.ratio, a.cash, a.new_symbol), a)
    if len(distinct) < len(found):
        note(f"actions given more than once, which count once: {len(found) - len(distinct)}")
    splits = Counter((a.symbol, a.effective) for a in distinct.values() if a.kind is ActionKind.SPLIT)
    for (symbol, day), count in splits.items():
        if count > 1:
            raise BadBars(f"{count} splits of {symbol} on {day} that differ", where=where, fix="Keep the true one")
    return tuple(distinct.values())


def _from_actions(raw: pd.DataFrame, mapping: ActionColumns, *, where: str) -> pd.DataFrame:
    result = pd.DataFrame(
        {
            "kind": raw["kind"].astype("string").str.strip().str.lower().astype(object),
            "symbol": raw["symbol"],
            "effective": moved_column(dates(raw["effective"], mapping.date_format, where=where), mapping.dates),
            "known_at": given_days(raw, "known_at", mapping.date_format, where=where),
        }
    )
    wrong = sorted({str(kind) for kind in result["kind"]} - {str(kind) for kind in ActionKind})
    if wrong:
        raise BadBars(f"unknown kind of action {wrong[0]!r}", where=where, fix=f"Use one of {', '.join(ActionKind)}")
    given = figures(raw, ("ratio", "cash"), mapping.decimal, where=where)
    for name in ("ratio", "cash"):
        result[name] = given.get(name, np.nan)
    names = raw["new_symbol"].astype("string").str.strip() if "new_symbol" in raw else pd.Series("", index=raw.index)
    if mapping.symbols is SymbolForm.BROKER:
        names = names.map(as_broker, na_action="ignore")
    result["new_symbol"] = names.where(names != "").astype(object)
    return result


def _from_factors(raw: pd.DataFrame, mapping: ActionColumns, *, where: str) -> pd.DataFrame:
    """Turn cumulative factors, each valid through its date, into the actions of the session after it.

    With price factor p, split factor s and the close c of the row's date: split ratio = s_next / s,
    dividend = c (1 - p / p_next) / ratio, per share held after the split.
    """
    table = pd.DataFrame(figures(raw, FACTORS[2:], mapping.decimal, where=where))
    table["symbol"], table["date"] = raw["symbol"], dates(raw["date"], mapping.date_format, where=where)
    table["date"] = moved_column(table["date"], mapping.dates)
    table = table.sort_values(["symbol", "date"], kind="stable")
    later = table.groupby("symbol", sort=False)[["price_factor", "split_factor"]].shift(-1)
    steps = table.assign(step=later["split_factor"] / table["split_factor"], kept=table["price_factor"] / later["price_factor"])
    splits = steps[(steps["step"] - 1).abs() > SPLIT_TOLERANCE]
    paid = steps[(1 - steps["kept"]) > FACTOR_TOLERANCE]
    ratio = paid["step"].where((paid["step"] - 1).abs() > SPLIT_TOLERANCE, 1.0)
    cash = (paid["reference_price"] * (1 - paid["kept"]) / ratio).round(CASH_DECIMALS)
    found = pd.concat(
        [
            pd.DataFrame(
                {"kind": "split", "symbol": splits["symbol"], "effective": splits["date"], "ratio": splits["step"].map(_tidy_ratio)}
            ),
            pd.DataFrame({"kind": "dividend", "symbol": paid["symbol"], "effective": paid["date"], "cash": cash}),
        ]
    )
    found = found[~((found["kind"] == "dividend") & ~(found["cash"] > 0))]
    found["effective"] += pd.Timedelta(days=1)
    return found.assign(known_at=None, new_symbol=None)


def _tidy_ratio(ratio: float) -> float:
    """Undo the rounding of the factor table: 3.9998 is 4, 0.50001 is a half."""
    for value in (round(ratio), 1 / round(1 / ratio) if ratio < 1 else 0, round(ratio * 2) / 2, round(ratio * 4) / 4):
        if value and abs(ratio / value - 1) < SPLIT_TOLERANCE / 5:
            return float(value)
    return round(ratio, RATIO_DECIMALS)


def _action(row: dict[Hashable, Any], calendar: Calendar, days: Days) -> Action:
    asked = np.datetime64(row["effective"], "D")
    place = int(np.searchsorted(days, asked))
    announced = calendar.days[max(0, place - 1)] if pd.isna(row["known_at"]) else pd.Timestamp(row["known_at"]).date()
    return Action(
        kind=ActionKind(str(row["kind"])),
        symbol=str(row["symbol"]),
        effective=calendar.days[place] if place < len(days) else asked.astype(object),
        known_at=announced,
        ratio=_decimal(row.get("ratio")),
        cash=_decimal(row.get("cash")),
        new_symbol=None if pd.isna(row["new_symbol"]) else str(row["new_symbol"]),
    )


def _decimal(value: object) -> Decimal | None:
    if value is None or not np.isfinite(float(str(value))):
        return None
    return Decimal(format(Decimal(str(value)).normalize(), "f"))
