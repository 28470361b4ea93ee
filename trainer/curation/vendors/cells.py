"""Parses a vendor's cells as dates, instants, numbers and symbols; an error names the first bad cell."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

import pandas as pd

from signals.errors import BadBars
from signals.text.wording import reason_of
from trainer.curation.vendors.files import Note, no_note
from trainer.curation.vendors.mapping import DecimalSign, SymbolForm

NULL_WORDS = frozenset({"", "nan", "null", "none", "na", "n/a", "-"})
NEW_YORK = "America/New_York"
ISO = (
    r"^\s*(\d{4}-?\d{2}-?\d{2}(?:[T ]+\d{2}:?\d{2}(?::?\d{2}(?:[.,]\d+)?)?)?)"
    r"\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?\s*$"
)
# Units of a time since 1970, with the numbers that are 1973 to 2128 in it; no number is in two of them.
EPOCHS: tuple[tuple[Literal["s", "ms", "us", "ns"], float, float], ...] = (
    ("s", 1e8, 5e9),
    ("ms", 1e11, 5e12),
    ("us", 1e14, 5e15),
    ("ns", 1e17, 5e18),
)
FIRST_YYYYMMDD, LAST_YYYYMMDD = 17920101, 21991231
GROUPS = " '\u00a0\u2009\u202f\u2019"  # what else parts thousands
CURRENCY = re.compile(r"^(?:US)?\$\s*|\s*(?:\$|USD)$")
BROKER_SYMBOL = re.compile(r"[A-Z]+(\.[A-Z]+)?")
SHOWN = 5


@dataclass(frozen=True, eq=False)
class Moments:
    """Times of a column: as its own clock shows them, and in UTC where they say their zone, else NaT."""

    wall: pd.Series
    utc: pd.Series


def moments(column: pd.Series, form: str | None, *, where: str) -> Moments:
    """Read times of any usual form; raise `BadBars` naming the first that cannot be read."""
    column = column.reset_index(drop=True)
    if column.dtype.kind not in "iufmM" and (digits := _digits(column)) is not None and form is None:
        column = digits
    if column.dtype.kind in "iuf":
        found = _of_numbers(column, form, where=where)
    elif isinstance(column.dtype, pd.DatetimeTZDtype):
        found = Moments(column.dt.tz_localize(None), column.dt.tz_convert("UTC").dt.tz_localize(None))
    elif column.dtype.kind == "M":
        found = Moments(column, _never(column))
    else:
        found = _of_text(column.astype("string"), form)
    _refuse_first(
        found.wall.isna(), column, "unreadable date", where=where, fix="Deliver ISO 8601 dates or give date_format in the mapping"
    )
    return found


def dates(column: pd.Series, form: str | None, *, where: str) -> pd.Series:
    """Column as midnight timestamps without a zone; raise `BadBars` naming the first unreadable date.

    An instant at midnight of its own zone is a date: vendors label a day so. Other instants are New York dates. A
    column that holds both cannot be believed.
    """
    found = moments(column, form, where=where)
    is_zoned = found.utc.notna()
    is_midnight = found.wall == found.wall.dt.normalize()
    day = found.wall
    if bool((is_zoned & ~is_midnight).any()):
        mixed = is_zoned & is_midnight
        _refuse_first(mixed, column, "dates and instants in one column: midnight is", where=where, fix="Deliver dates without a time")
        local = found.utc.dt.tz_localize("UTC").dt.tz_convert(NEW_YORK).dt.tz_localize(None)
        day = local.where(is_zoned, found.wall)
    result: pd.Series = day.dt.normalize().astype("datetime64[s]")
    return result


def instants(column: pd.Series, zone: str, *, where: str) -> pd.Series:
    """Column as UTC instants; times that name no zone are those of `zone`. Raises `BadBars` for an unreadable one."""
    found = moments(column, None, where=where)
    try:
        local = found.wall.where(found.utc.isna()).dt.tz_localize(zone).dt.tz_convert("UTC")
    except (ValueError, TypeError) as error:
        raise BadBars(f"times that cannot be read ({reason_of(error)})", where=where, fix="Deliver ISO 8601 times") from None
    result: pd.Series = local.fillna(found.utc.dt.tz_localize("UTC"))
    return result


def refuse_later(days: pd.Series, today: date | None, *, where: str, what: str = "a bar of the future:") -> None:
    """Raise `BadBars` for a date after `today`: nobody has a bar of it."""
    if today is not None:
        _refuse_first(
            days > pd.Timestamp(today),
            days.dt.date,
            what,
            where=where,
            fix=f"Today is {today} in New York: correct the date, or drop the row",
        )


def _of_numbers(column: pd.Series, form: str | None, *, where: str) -> Moments:
    numbers = column.astype("float64")
    if form is not None or bool(numbers.between(FIRST_YYYYMMDD, LAST_YYYYMMDD).all()):
        text = column.astype("Int64").astype("string")
        wall = pd.to_datetime(text, format=form or "%Y%m%d", errors="coerce")
        return Moments(wall, _never(column))
    for unit, least, most in EPOCHS:
        if bool(numbers.between(least, most).all()):
            # Whole numbers stay whole: a float has no room for the nanoseconds of a date.
            since = pd.Series(pd.to_datetime(column.astype("int64").to_numpy(), unit=unit), index=column.index)
            return Moments(since, since)
    fits = [numbers.between(FIRST_YYYYMMDD, LAST_YYYYMMDD), *(numbers.between(a, b) for _, a, b in EPOCHS)]
    most_common = max(fits, key=lambda flags: int(flags.sum()))
    _refuse_first(
        ~most_common, column, "unreadable date", where=where, fix="Deliver ISO 8601 dates, YYYYMMDD, or one unit of time since 1970"
    )
    raise AssertionError("one of the numbers fits nothing")


def _of_text(text: pd.Series, form: str | None) -> Moments:
    if form is not None:
        parsed = pd.to_datetime(text, format=form, errors="coerce", utc="%z" in form)
        return Moments(parsed.dt.tz_localize(None), _never(text))
    parts = text.str.extract(ISO)
    wall = pd.to_datetime(parts[0].str.replace(",", "."), format="ISO8601", errors="coerce")
    zone = parts[1].str.replace(":", "").str.replace(r"(?i)^(z|utc|gmt)$", "+0000", regex=True)
    hours, rest = pd.to_numeric(zone.str[1:3]), pd.to_numeric(zone.str[3:5], errors="coerce").fillna(0)
    sign = 1 - 2 * zone.str.startswith("-", na=False).astype("int64")
    minutes = (sign * (60 * hours + rest)).astype("float64")
    return Moments(wall, wall - pd.to_timedelta(minutes, unit="min"))


def _digits(column: pd.Series) -> pd.Series | None:
    """Column as whole numbers where every cell is digits."""
    text = column.astype("string").str.strip()
    if text.isna().any() or not text.str.fullmatch(r"\d{8,19}(?:\.0+)?").all():
        return None
    return text.str.replace(r"\..*", "", regex=True).astype("int64")


def _never(column: pd.Series) -> pd.Series:
    return pd.Series(pd.NaT, index=column.index, dtype="datetime64[us]")


def figures(raw: pd.DataFrame, names: Iterable[str], decimal: DecimalSign | None = None, *, where: str) -> dict[str, pd.Series]:
    """Columns as float64, empty cells as NaN; raise `BadBars` naming the first cell that is no number.

    Decimal commas, parted thousands and dollar signs are read where the columns together show which sign is which.
    """
    columns = {name: raw[name] for name in names if name in raw}
    texts = {name: _plain_text(column) for name, column in columns.items() if column.dtype.kind not in "biuf"}
    parsed = {name: pd.to_numeric(text, errors="coerce") for name, text in texts.items()}
    odd = {name: parsed[name].isna() & text.notna() for name, text in texts.items()}
    if decimal is DecimalSign.COMMA or any(bool(cells.any()) for cells in odd.values()):
        cells = {name: text.str.replace(CURRENCY, "", regex=True) for name, text in texts.items()}
        sign = decimal or _decimal_sign(pd.concat(cells.values()), where=where)
        for name, text in cells.items():
            parsed[name] = pd.to_numeric(_without_groups(text, sign), errors="coerce")
            wrong = parsed[name].isna() & text.notna()
            if bool(wrong.any()):
                place = int(wrong.to_numpy(dtype=bool).argmax())
                raise BadBars(
                    f"{name}: {texts[name].iloc[place]!r} is not a number",
                    where=f"{where}, row {place + 1}",
                    fix="Correct the cell, or leave it empty",
                )
    return {name: parsed.get(name, columns[name]).astype("float64") for name in columns}


def _plain_text(column: pd.Series) -> pd.Series:
    text = column.astype("string").str.strip()
    return text.mask(text.str.lower().isin(NULL_WORDS))


def _decimal_sign(cells: pd.Series, *, where: str) -> DecimalSign:
    """Which sign parts the decimals, by what no thousands can be: not three digits after it, or after the other one."""
    text = cells.dropna().str.replace(f"[{GROUPS}]", "", regex=True)
    found = {
        sign: bool(
            text.str.contains(rf"^[+-]?\d*\{sign}(?:\d{{0,2}}|\d{{4,}})$|\{other}\d{{3}}\{sign}|^[+-]?0\{sign}").any()
            or text.str.contains(rf"\{other}\d+\{other}").any()
        )
        for sign, other in ((".", ","), (",", "."))
    }
    if found["."] == found[","] and text.str.contains(",").any():
        example = text[text.str.contains(",")].iloc[0]
        raise BadBars(
            f"is the comma of {example!r} a decimal comma or does it part thousands?",
            where=where,
            fix='Write `decimal: ","` or `decimal: "."` in the mapping',
        )
    return DecimalSign.COMMA if found[","] else DecimalSign.POINT


def _without_groups(text: pd.Series, sign: DecimalSign) -> pd.Series:
    """Numbers as Python writes them; a sign for thousands that does not part three digits spoils the cell."""
    other = "." if sign is DecimalSign.COMMA else ","
    grouped = rf"^([+-]?\d{{1,3}})((?:[\{other}{GROUPS}]\d{{3}})+)(\{sign}\d*)?$"
    is_grouped = text.str.match(grouped).fillna(False)
    plain = text.where(~is_grouped, text.str.replace(rf"[\{other}{GROUPS}]", "", regex=True))
    spoiled = plain.str.contains(other, regex=False).fillna(False)
    return plain.mask(spoiled, "?").str.replace(str(sign), ".", regex=False)


def symbols(column: pd.Series, form: SymbolForm = SymbolForm.AS_DELIVERED, *, where: str, note: Note = no_note) -> pd.Series:
    """Column as text; raise `BadBars` for a row without a symbol. `note` names those that no broker writes so."""
    text = column.reset_index(drop=True).astype("string").str.strip()
    _refuse_first((text.isna() | (text == "")).fillna(True), text, "a row has no symbol:", where=where, fix="Correct the delivery")
    names = {name: name for name in text.unique()}
    if form is SymbolForm.BROKER:
        names = {name: as_broker(name) for name in names}
        text = text.map(names)
    foreign = sorted({name for name in names.values() if as_broker(name) != name or not BROKER_SYMBOL.fullmatch(name)})
    if foreign:
        fix = "" if form is SymbolForm.BROKER else "; `symbols: broker` in the mapping writes them so"
        note(f"{len(foreign)} symbols are not written as the broker writes them: {listed(foreign)}{fix}")
    return text.astype(object)


def as_broker(name: str) -> str:
    """Return a symbol as Alpaca writes it: `brk-b`, `BRK/B.US`, `XNYS:BRK.B` are BRK.B."""
    plain = name.strip().strip("\"'").strip().upper()
    plain = re.sub(r"^[A-Z]{2,8}:", "", plain)
    plain = re.sub(r"(\.US| US( EQUITY)?)$", "", plain)
    return re.sub(r"^([A-Z]+)[-/ _]([A-Z])$", r"\1.\2", plain)


def listed(names: Iterable[object]) -> str:
    """Name the first few of them."""
    every = [str(name) for name in names]
    more = f" and {len(every) - SHOWN:,} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def given_days(raw: pd.DataFrame, name: str, form: str | None, *, where: str) -> pd.Series:
    """Dates of an optional column; NaT where it is empty or absent."""
    days = pd.Series(pd.NaT, index=raw.index, dtype="datetime64[s]")
    if name in raw:
        said = raw[name].notna() & (raw[name].astype("string").str.strip() != "").fillna(False)
        if bool(said.any()):
            days[said] = dates(raw.loc[said, name], form, where=f"{where}, {name}").to_numpy()
    return days


def _refuse_first(wrong: pd.Series, column: pd.Series, what: str, *, where: str, fix: str) -> None:
    if bool(wrong.any()):
        place = int(wrong.to_numpy(dtype=bool).argmax())
        cell = column.iloc[place]
        shown = str(cell) if isinstance(cell, date) and not isinstance(cell, pd.Timestamp) else repr(cell)
        raise BadBars(f"{what} {shown}", where=f"{where}, row {place + 1}", fix=fix)


def words(raw: pd.DataFrame, name: str, default: str, known: Mapping[str, str] | None = None) -> pd.Series:
    """Text column with `default` where it is empty or absent; `known` words by our own for them."""
    if name not in raw:
        text = pd.Series(default, index=raw.index, dtype="string")
    else:
        text = raw[name].astype("string").str.strip().fillna(default)
        text = text.mask(text == "", default)
    if known is not None:
        lower = text.str.lower()
        text = lower.map(known).fillna(lower)
    return text.astype(object)
