"""The ledger's net asset value at each close: paper, and with real-world costs."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from appliance.ledger.database import Ledger, columns_of

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
        Sum of what was learned since the report, to be added to `real_nav`.
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
    with ledger.transaction():
        ledger.insert("nav", columns_of(row), replace=True)


def history(ledger: Ledger, last: date, sessions: int) -> tuple[NavRow, ...]:
    """Return the values of the `sessions` recorded sessions up to and including `last`, oldest first."""
    found = ledger.read(NavRow, "SELECT * FROM nav WHERE session <= ? ORDER BY session DESC LIMIT ?", (last, sessions))
    return tuple(reversed(found))


def find(ledger: Ledger, session: date) -> NavRow | None:
    """Return the session's value, or None."""
    return ledger.first(NavRow, "SELECT * FROM nav WHERE session = ?", (session,))
