"""Reads deliveries: vendor files parsed and merged, ready to curate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from signals.errors import BadBars
from signals.market.actions import Action
from signals.market.sessions import Calendar
from trainer.curation.curate import DeliveredHistory, calendar_for
from trainer.curation.deliveries.known import KnownRows, fold
from trainer.curation.deliveries.receipts import DeliveryPart, RawFile, Receipt, Scope, in_force
from trainer.curation.vendors.actions import read_actions
from trainer.curation.vendors.bars import Understood, read_bars, recognise_bars
from trainer.curation.vendors.files import Note, no_note
from trainer.curation.vendors.mapping import Mapping
from trainer.curation.vendors.minutes import read_minutes
from trainer.curation.vendors.universe import read_classification, read_universe

Read = Callable[[RawFile], bytes]


@dataclass(frozen=True, eq=False)
class DeliveredBars:
    """The bars of one delivery, and what a new one of daily bars says of its form."""

    frame: pd.DataFrame
    spreads: pa.Table | None = None
    understood: Understood | None = None

    @property
    def days(self) -> tuple[date, date]:
        """First and last delivered date."""
        return self.frame["date"].min().date(), self.frame["date"].max().date()

    @property
    def known(self) -> tuple[date, date] | None:
        """First and last day on which rows became known, where the delivery says so."""
        if "known_at" not in self.frame:
            return None
        return self.frame["known_at"].min().date(), self.frame["known_at"].max().date()


def bars_of(content: bytes, mapping: Mapping, *, where: str, today: date | None = None, note: Note = no_note) -> DeliveredBars:
    """Read a bars file, daily or of minutes as the mapping says; parameters and errors are those of `read_bars`."""
    if mapping.minutes is None:
        return DeliveredBars(read_bars(content, mapping.bars, where=where, today=today, note=note))
    return DeliveredBars(*read_minutes(content, mapping.minutes, where=where, today=today, note=note))


def recognised_bars(content: bytes, mapping: Mapping, *, where: str, may_rewrite: bool, today: date | None, note: Note) -> DeliveredBars:
    """Read a bars file that was never read before: what its mapping leaves open is completed by what it shows."""
    if mapping.minutes is not None:
        return bars_of(content, mapping, where=where, today=today, note=note)
    frame, found = recognise_bars(content, mapping.bars, where=where, may_rewrite=may_rewrite, today=today, note=note)
    return DeliveredBars(frame, understood=found)


@dataclass(frozen=True, eq=False)
class Knowledge:
    """Everything that deliveries say, as of a day; one receipt at least is in force."""

    receipts: tuple[Receipt, ...]
    history: DeliveredHistory

    @property
    def vendor(self) -> str:
        """Vendors of the deliveries in force."""
        return ", ".join(sorted({receipt.vendor for receipt in self.receipts}))


class Deliveries:
    """Receipts and the parsed files behind them; each file is read once.

    Parameters
    ----------
    read : callable
        Returns the verified bytes of a file.
    newest : Bars, optional
        Bars of the last receipt, where they were read already.
    """

    def __init__(self, receipts: Sequence[Receipt], read: Read, newest: DeliveredBars | None = None) -> None:
        self._receipts, self._read, self._newest = tuple(receipts), read, newest

    @cached_property
    def _bars(self) -> tuple[DeliveredBars | None, ...]:
        known = () if self._newest is None else (self._newest,)
        unread = self._receipts[: len(self._receipts) - len(known)]
        files = [(receipt.of_part(DeliveryPart.BARS), receipt) for receipt in unread]
        read = [bars_of(self._read(f), _mapping(receipt), where=f.name) if f else None for f, receipt in files]
        return (*read, *known)

    def as_of(self, known_at: date | None) -> Knowledge:
        """Return what was known on the evening of `known_at`; None is everything.

        Raises
        ------
        BadBars
            Nothing was known then, or a file cannot be read.
        """
        past = [place for place, r in enumerate(self._receipts) if known_at is None or r.known_from <= known_at]
        current = in_force(tuple(self._receipts[place] for place in past))
        parts = [part for place in past for part in self._rows_of(place) if known_at is None or part.known_at <= known_at]
        if not current or not parts:
            first = f"the first delivery became known on {self._receipts[0].known_from}" if self._receipts else "none"
            raise BadBars(f"nothing was known on {known_at}", where=first, fix="Ask for a later day")
        known = fold(parts)
        calendar = calendar_for(known.frame)
        spreads = _newest([bars.spreads for place in past[-len(current) :] if (bars := self._bars[place]) is not None])
        actions, universe = self._events(current, calendar, known_at)
        history = DeliveredHistory(
            known.frame, actions, universe, calendar, current[0].basis, known.revisions, spreads, self._classification(current, known_at)
        )
        return Knowledge(current, history)

    def _rows_of(self, place: int) -> list[KnownRows]:
        receipt, bars = self._receipts[place], self._bars[place]
        if bars is None:
            return []
        if "known_at" not in bars.frame:
            return [KnownRows(receipt.known_until, receipt.scope, receipt.basis, bars.frame)]
        result, scope = [], receipt.scope
        for day, rows in bars.frame.groupby(bars.frame["known_at"].dt.date, sort=True):
            assert isinstance(day, date)
            result.append(KnownRows(day, scope, receipt.basis, rows.drop(columns="known_at")))
            scope = Scope.ROWS  # the days of an archive add to one another
        return result

    def _classification(self, current: tuple[Receipt, ...], known_at: date | None) -> pa.Table | None:
        """Join what every delivery in force says that names are; a row counts from the day on which it became known."""
        tables = [
            _dated_by(read_classification(self._read(file), _mapping(receipt).classification, where=file.name), receipt.known_until)
            for receipt in current
            if (file := receipt.of_part(DeliveryPart.CLASSIFICATION)) is not None
        ]
        return _known_by(pa.concat_tables(tables), known_at) if tables else None

    def _events(
        self, current: tuple[Receipt, ...], calendar: Calendar, known_at: date | None
    ) -> tuple[tuple[Action, ...], pa.Table | None]:
        actions: dict[tuple[object, ...], Action] = {}
        universe = None
        for receipt in current:
            if (file := receipt.of_part(DeliveryPart.ACTIONS)) is not None:
                found = read_actions(self._read(file), _mapping(receipt).actions, calendar, where=file.name)
                # Rows of one delivery may tell two dividends of a day; a later delivery corrects, it does not add.
                fresh = {_identity(a, place): a for place, a in enumerate(found)}
                revised = {identity[:-1] for identity in fresh}
                actions = {key: a for key, a in actions.items() if key[:-1] not in revised} | fresh
            if (file := receipt.of_part(DeliveryPart.UNIVERSE)) is not None:
                universe = _known_by(read_universe(self._read(file), _mapping(receipt).universe, where=file.name), known_at)
        kept = [a for a in actions.values() if known_at is None or a.known_at <= known_at]
        order = sorted(kept, key=lambda a: (a.effective, a.symbol, a.kind, a.cash or 0, a.ratio or 0))
        return tuple(order), universe


def _dated_by(table: pa.Table, day: date) -> pa.Table:
    """Return a table whose rows without a day of their own became known on `day`, when they were delivered."""
    column = table.column("known_at")
    return table.set_column(table.column_names.index("known_at"), "known_at", pc.fill_null(column, pa.scalar(day, column.type)))


def _known_by(universe: pa.Table, known_at: date | None) -> pa.Table:
    """Return the rows of a table of intervals that were known on the evening of `known_at`; None is everything."""
    if known_at is None or "known_at" not in universe.column_names:
        return universe
    return universe.filter(pc.fill_null(pc.less_equal(universe.column("known_at"), known_at), False))


def _identity(action: Action, place: int) -> tuple[object, ...]:
    return (action.kind, action.symbol, action.effective, place)


def _newest(tables: list[pa.Table | None]) -> pa.Table | None:
    """Join tables of spreads; a later delivery's (session, symbol) wins."""
    rows: dict[tuple[date, str], dict[str, object]] = {}
    for table in tables:
        if table is not None:
            rows |= {(row["session"], row["symbol"]): row for row in table.to_pylist()}
    if not rows:
        return None
    schema = next(table.schema for table in tables if table is not None)
    return pa.Table.from_pylist([rows[key] for key in sorted(rows)], schema=schema)


def _mapping(receipt: Receipt) -> Mapping:
    return Mapping.model_validate(receipt.mapping)
