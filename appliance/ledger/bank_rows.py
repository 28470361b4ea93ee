"""The ledger's rows of a bank of analogs: this device's own events whose trades are over, as the net of one bundle sees them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from appliance.ledger.database import Ledger
from appliance.ledger.values import columns_of


@dataclass(frozen=True)
class EndedEvent:
    """An event whose trade is over: what it realised, and the session that knew it."""

    asof: date
    symbol: str
    realised_r: float
    known: date


@dataclass(frozen=True)
class BankRow:
    """An event in the bank: bundle whose net saw it, evening that took it in; no quality and vector (float32) without a picture."""

    bundle: str
    asof: date
    symbol: str
    quality: float | None
    vector: bytes | None
    realised_r: float
    known: date
    evening: date
    at: datetime


def save(ledger: Ledger, rows: Iterable[BankRow]) -> None:
    """Add rows, once each; the ledger refuses one whose outcome was not known before the evening."""
    with ledger.transaction():
        for row in rows:
            ledger.insert("bank_rows", columns_of(row), conflict="ON CONFLICT DO NOTHING")


def waiting(ledger: Ledger, bundle: str, since: tuple[date, date, date], most: int) -> tuple[EndedEvent, ...]:
    """Return ended events that a bundle's net has not seen, oldest outcome first; with those that the evening took in, `most`.

    `since` are the first session of an event, the session after which its outcome was known, and the evening, before which it was.
    """
    query = """SELECT asof, symbol, realised_r, known FROM outcomes
    WHERE realised_r IS NOT NULL AND asof >= ? AND known > ? AND known < ?
    AND (asof, symbol) NOT IN (SELECT asof, symbol FROM bank_rows WHERE bundle = ?)
    ORDER BY known, asof, symbol LIMIT max(0, ? - (SELECT count(*) FROM bank_rows WHERE bundle = ? AND evening = ?))"""
    return tuple(ledger.read(EndedEvent, query, (*since, bundle, most, bundle, since[2])))


def known_before(ledger: Ledger, bundle: str, asof: date, most: int) -> list[BankRow]:
    """Return the newest `most` rows of a bundle with a picture, known before `asof` and taken in by then, oldest outcome first."""
    query = """SELECT * FROM bank_rows WHERE bundle = ? AND vector IS NOT NULL AND known < ? AND evening <= ?
    ORDER BY known DESC, asof DESC, symbol DESC LIMIT ?"""
    return ledger.read(BankRow, query, (bundle, asof, asof, most))[::-1]
