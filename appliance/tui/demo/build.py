"""Builds the demo device: ninety generated sessions in a ledger of their own."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

from appliance.ledger import AccessMode, Ledger
from appliance.system.state_folder import StateFolder
from appliance.tui.demo.model_history import DemoModelHistory
from appliance.tui.demo.session import DemoDay, DemoDevice, simulate_session
from appliance.tui.demo.simulated_account import opened
from appliance.tui.demo.state_files import audit, calendar, write_bundle, write_keyset, write_latch, write_manifest, write_settings
from signals.market.sessions import Calendar, SessionAudit, SessionStatus

LAST_SESSION = date(2026, 3, 12)
CASH = Decimal("1000000.00")
RECENT_SESSIONS = 6
HALTED_AT, RED_AT = 22, 41  # sessions before the last
AMBER_AT = frozenset({8, 30, 63})


@dataclass(frozen=True)
class Built:
    """An invented device.

    Attributes
    ----------
    folder : Path
        Its state folder.
    now : datetime
        Time of its clock: the afternoon of its last session.
    """

    folder: Path
    now: datetime


def build(root: Path, *, seed: int, sessions: int = 90, names: int = 60, orders: int = 6, recent_orders: int = 24) -> Built:
    """Write an invented device below `root`.

    Parameters
    ----------
    root : Path
        An empty folder.
    sessions : int
        Lived by the device, up to 12 March 2026.
    names : int
        Symbols in the market; a third of them is held on each side.
    orders, recent_orders : int
        Most orders a session, early on and in the last six.
    """
    folder, table = StateFolder(root / "device"), calendar()
    last = table.index(LAST_SESSION)
    days = table.days[last - sessions : last + 1]
    now = table.session(days[-1]).close + timedelta(minutes=25)
    audits = tuple(_audit(day, len(days) - 2 - i, names) for i, day in enumerate(days[:-1]))
    snapshot = write_manifest(folder.root / "store" / "data", table, audits)
    trained = table.offset(days[-1], -18)
    home = folder.bundles / "equities_xs"
    bundle = write_bundle(home, table.session(trained).close, trained, snapshot)
    shadow = write_bundle(
        home / "shadow", table.session(trained).close, table.offset(trained, 12), snapshot, seq=3, role="shadow", ic=0.0334
    )
    write_keyset(folder.bundles)
    write_settings(folder, now)
    write_latch(folder.root, table.session(days[1]).open)
    book = opened(Random(seed), names, max(1, names // 3), CASH)
    with Ledger(folder.ledger, AccessMode.WRITE) as ledger, ledger.transaction():
        life = DemoDevice(
            ledger, book, table, bundle, shadow, snapshot, folder.features, Random(seed + 1), DemoModelHistory(Random(seed + 2))
        )
        for i, session in enumerate(days[1:]):
            back = sessions - 1 - i
            simulate_session(
                life,
                DemoDay(
                    session=session,
                    asof=days[i],
                    audit=audits[i],
                    age_sessions=_age(table, trained, days[i]),
                    orders=recent_orders if back < RECENT_SESSIONS else orders,
                    is_halted=back == HALTED_AT,
                    is_recent=back < RECENT_SESSIONS,
                    is_last=back == 0,
                ),
            )
    return Built(folder.root, now)


def _age(table: Calendar, trained: date, asof: date) -> int:
    return max(0, table.index(asof) - table.index(trained))


def _audit(day: date, back: int, names: int) -> SessionAudit:
    if back == RED_AT:
        return audit(day, SessionStatus.RED, ("missing: 9",), names)
    if back in AMBER_AT:
        return audit(day, SessionStatus.AMBER, ("split without an action: 1",), names)
    return audit(day, SessionStatus.GREEN, (), names)
