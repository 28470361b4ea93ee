"""Net asset value at each close: as the paper account says, and as it would be outside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from appliance.ledger import values
from appliance.ledger.database import Ledger

ZERO = Decimal(0)


@dataclass(frozen=True)
class NavRow:
    """One session's value in USD.

    Attributes
    ----------
    real_nav : Decimal
        As the session's report said it.
    dividends, borrow, fees, impact : Decimal
        The day's parts of real minus paper as reported, credits positive.
    late_dividends : Decimal
        Of this ex-date, learned after its report.
    restatement : Decimal
        What all that was learned since the report adds to `real_nav`.
    """

    session: date
    paper_nav: Decimal
    real_nav: Decimal
    cash: Decimal
    gross: Decimal
    net: Decimal
    at: datetime
    dividends: Decimal = ZERO
    borrow: Decimal = ZERO
    fees: Decimal = ZERO
    impact: Decimal = ZERO
    late_dividends: Decimal = ZERO
    restatement: Decimal = ZERO

    @property
    def restated_nav(self) -> Decimal:
        """The real value with every dividend on its ex-date, by what is known now."""
        return self.real_nav + self.restatement


def save(ledger: Ledger, row: NavRow) -> None:
    """Record a session's value, replacing an earlier one."""
    money = (
        row.paper_nav,
        row.real_nav,
        row.cash,
        row.gross,
        row.net,
        row.dividends,
        row.borrow,
        row.fees,
        row.impact,
        row.late_dividends,
        row.restatement,
    )
    with ledger.transaction():
        ledger.execute(
            "INSERT OR REPLACE INTO nav (session, paper_nav, real_nav, cash, gross, net, dividends, borrow, fees,"
            " impact, late_dividends, restatement, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (row.session.isoformat(), *(values.amount(figure) for figure in money), values.stamp(row.at)),
        )


def history(ledger: Ledger, last: date, sessions: int) -> tuple[NavRow, ...]:
    """Return the values of the `sessions` recorded sessions up to and including `last`, oldest first."""
    found = ledger.rows("SELECT * FROM nav WHERE session <= ? ORDER BY session DESC LIMIT ?", (last.isoformat(), sessions))
    return tuple(_row(row) for row in reversed(found))


def find(ledger: Ledger, session: date) -> NavRow | None:
    """Return the session's value, or None."""
    row = ledger.row("SELECT * FROM nav WHERE session = ?", (session.isoformat(),))
    return None if row is None else _row(row)


def _row(row: values.Row) -> NavRow:
    return NavRow(
        session=values.day(row, "session"),
        paper_nav=values.number(row, "paper_nav"),
        real_nav=values.number(row, "real_nav"),
        cash=values.number(row, "cash"),
        gross=values.number(row, "gross"),
        net=values.number(row, "net"),
        at=values.instant(row, "at"),
        dividends=values.number(row, "dividends"),
        borrow=values.number(row, "borrow"),
        fees=values.number(row, "fees"),
        impact=values.number(row, "impact"),
        late_dividends=values.number(row, "late_dividends"),
        restatement=values.number(row, "restatement"),
    )
