"""Recognises the layout of a bars delivery from the delivery itself, as the mapping that its receipt keeps.

Entry point: `recognised`. Only what a mapping leaves open is completed, and only what the delivery shows; what it cannot show (the
symbol of a lone file, which of two days a date means) is a refusal that says what to give.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signals.audit.delivered_rows import ETF, STOCK
from signals.errors import BadBars
from signals.market.bars import days_array
from signals.market.manifest import PriceBasis
from signals.market.sessions import FIRST_YEAR, LAST_YEAR, xnys
from trainer.curation.vendors.cells import ISO, as_broker, listed
from trainer.curation.vendors.files import fold
from trainer.curation.vendors.mapping import BarColumns, SymbolForm

# Forms of a date that is no ISO 8601, each with the shape of its text; two of one shape are told apart by the sessions.
DATE_FORMS: tuple[tuple[str, str], ...] = (
    (r"\d{1,2}/\d{1,2}/\d{4}", "%m/%d/%Y"),
    (r"\d{1,2}/\d{1,2}/\d{4}", "%d/%m/%Y"),
    (r"\d{1,2}/\d{1,2}/\d{2}", "%m/%d/%y"),
    (r"\d{1,2}/\d{1,2}/\d{2}", "%d/%m/%y"),
    (r"\d{1,2}-\d{1,2}-\d{4}", "%d-%m-%Y"),
    (r"\d{1,2}-\d{1,2}-\d{4}", "%m-%d-%Y"),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", "%d.%m.%Y"),
    (r"\d{1,2}\.\d{1,2}\.\d{2}", "%d.%m.%y"),
    (r"\d{4}/\d{1,2}/\d{1,2}", "%Y/%m/%d"),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", "%Y.%m.%d"),
    (r"\d{1,2}-[A-Za-z]{3}-\d{4}", "%d-%b-%Y"),
    (r"\d{1,2}-[A-Za-z]{3}-\d{2}", "%d-%b-%y"),
    (r"\d{1,2} [A-Za-z]{3} \d{4}", "%d %b %Y"),
    (r"[A-Za-z]{3} \d{1,2}, \d{4}", "%b %d, %Y"),
    (r"[A-Za-z]{4,9} \d{1,2}, \d{4}", "%B %d, %Y"),
)
SPLITS, PAYMENTS = frozenset({"splitfactor", "splitratio"}), frozenset({"dividends", "stocksplits"})
FUNDS, SHARES = re.compile(r"\betfs?\b", re.IGNORECASE), re.compile(r"\b(stocks?|equities)\b", re.IGNORECASE)
US_SUFFIX = re.compile(r"(?i)\.us$")

Parts = Sequence[tuple[pd.DataFrame, str]]


@dataclass(frozen=True)
class Understood:
    """A completed mapping, the basis of prices where the columns show it, and a phrase for each of what was completed."""

    mapping: BarColumns
    basis: PriceBasis | None
    said: tuple[str, ...]


def recognised(parts: Parts, columns: Sequence[str], mapping: BarColumns, *, may_rewrite: bool) -> Understood:
    """Complete `mapping` by what a delivery shows.

    Parameters
    ----------
    parts : sequence of (DataFrame, str)
        Each table's date and symbol, as delivered, and where it came from.
    columns : sequence of str
        Names of all columns, as delivered.
    mapping : BarColumns
        What a person said; it is never changed, only completed.
    may_rewrite : bool
        Whether symbols may be written otherwise: what is added to a history keeps the way in which that writes them.

    Raises
    ------
    BadBars
        The dates can be read in two ways and the exchange's sessions do not tell which.
    """
    changes: dict[str, object] = {}
    said: list[str] = []
    if mapping.date_format is None and (form := _date_form(parts)):
        changes["date_format"] = form
        said.append(f"dates are {form}")
    names = [str(name) for frame, _ in parts for name in frame["symbol"].dropna().unique()]
    if may_rewrite and mapping.symbols is SymbolForm.AS_DELIVERED and (example := _dialect(names)):
        changes["symbols"] = SymbolForm.BROKER
        said.append(f"symbols are written as the broker writes them, {example} as {as_broker(example)}")
    kinds = {kind_of_folder(where) for _, where in parts} - {""}
    if "kind" not in {fold(column) for column in columns} and ETF in kinds:
        changes["kinds_by_folder"] = True
        said.append(f"kinds are those of the folders: {listed(sorted(kinds))}")
    folded = {fold(column) for column in columns}
    basis = PriceBasis.RAW if folded & SPLITS else PriceBasis.TOTAL_RETURN if folded >= PAYMENTS and "adjclose" not in folded else None
    if basis is not None:
        shown = listed(sorted(column for column in columns if fold(column) in SPLITS | PAYMENTS))
        said.append(f"prices are {basis}, by the columns {shown}")
    return Understood(mapping.model_copy(update=changes), basis, tuple(said))


def kind_of_folder(where: str) -> str:
    """Return the kind that a table's folders name: `us/nasdaq etfs/spy.us.txt` is an ETF's; empty where they name none."""
    folders = where.partition("/")[2].rpartition("/")[0].replace("_", " ")  # the delivery's own name is anybody's
    kinds = [kind for kind, word in ((ETF, FUNDS), (STOCK, SHARES)) if word.search(folders)]
    return kinds[0] if len(kinds) == 1 else ""


def _date_form(parts: Parts) -> str | None:
    """Return the form of textual dates that are no ISO 8601; None where they are, or where no form reads them all."""
    texts = [frame["date"] for frame, _ in parts if frame["date"].dtype.kind not in "iufmM"]
    if not texts:
        return None
    cells = pd.Series(pd.concat(texts).astype("string").str.strip().dropna().unique(), dtype="string")
    if cells.empty or bool(cells.str.match(ISO).all()):
        return None
    found: dict[str, pd.Series] = {}
    for shape, form in DATE_FORMS:
        if bool(cells.str.fullmatch(shape).all()):
            days = pd.to_datetime(cells, format=form, errors="coerce")
            if bool((days.notna() & days.dt.year.between(FIRST_YEAR + 1, LAST_YEAR - 1)).all()):
                found[form] = days
    if len(found) > 1:
        on = {form: _on_sessions(days) for form, days in found.items()}
        found = {form: days for form, days in found.items() if on[form] == max(on.values())}
    if len(found) > 1:
        raise BadBars(
            f"{cells.iloc[0]!r} may be {' or '.join(f'{days.iloc[0]:%Y-%m-%d}' for days in found.values())}; the sessions do not tell",
            where=parts[0][1],
            fix=f"Write one of these in the section `bars` of the mapping: {', '.join(f'`date_format: {form}`' for form in found)}",
        )
    return next(iter(found), None)


def _on_sessions(days: pd.Series) -> int:
    around = pd.Timedelta(days=7)  # no week is without a session
    sessions = days_array(xnys((days.min() - around).date(), (days.max() + around).date()).days)
    return int(np.isin(days.to_numpy().astype("datetime64[D]"), sessions).sum())


def _dialect(names: Sequence[str]) -> str:
    """Return an example where all symbols are lower case or end in .US, as no broker writes any; else an empty text."""
    is_lower = all(name == name.lower() for name in names)
    has_suffix = all(US_SUFFIX.search(name) for name in names)
    return next((name for name in names if re.search(r"[A-Za-z]", name)), "") if names and (is_lower or has_suffix) else ""
