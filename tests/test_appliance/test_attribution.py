"""Attribution from a ledger: one session written by hand, and sessions that were replayed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from appliance.config import ApplianceConfig, StoresConfig
from appliance.ledger import Ledger, fills, intents, job_runs, nav, plans, snapshots, targets
from appliance.ledger.figures import MonitoringFigures
from appliance.ledger.fills import BookedFill
from appliance.ledger.intents import IntentState
from appliance.ledger.nav import NavRow
from appliance.ledger.snapshots import Phase
from appliance.ledger.targets import TargetRow
from appliance.monitoring.attribution import attributed, document, missing_shares, pending
from appliance.schedule.job import JobReport, JobStatus
from appliance.views import monitoring
from execution.attribution import PnlPart
from execution.brokers.base import Account, Position
from execution.orders import Fill, Intent, IntentKey, OrderType, Plan, Provenance, Side, TimeInForce
from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars
from signals.market.manifest import PriceBasis
from signals.market.sessions import SessionStatus
from tests.fakes.bundles import weekdays

D = Decimal
DAYS = weekdays()
ASOF, DAY = date(2023, 3, 13), date(2023, 3, 14)
AT = datetime(2023, 3, 14, 21, 0, tzinfo=UTC)
SOURCE = Provenance("b" * 64, "s" * 64, "c" * 64, "test")
OPEN, CLOSE = {"AAA": 10.20, "BBB": 20.00}, {"AAA": 10.71, "BBB": 19.00}
BEFORE = {"AAA": 10.00, "BBB": 20.00}


@dataclass
class Store:
    """A market store of two names over two sessions."""

    is_empty: bool = False
    known: tuple[Action, ...] = ()

    def bars(self, asof: date, sessions: int) -> Bars:
        days = [ASOF, DAY] if asof == DAY else [date(2023, 3, 10), ASOF]
        now, was = (np.array([row[name] for name in ("AAA", "BBB")]) for row in (CLOSE, BEFORE))
        opened = np.array([OPEN["AAA"], OPEN["BBB"]])
        panel = np.array([was, now])
        nothing = np.full(2, np.nan)
        return Bars(
            sessions=np.array(days, dtype="datetime64[D]"),
            symbols=("AAA", "BBB"),
            open=np.array([was, opened]),
            high=panel,
            low=panel,
            close=panel,
            volume=panel,
            total_return=np.array([nothing, now / was - 1]),
            overnight_return=np.array([nothing, opened / was - 1]),
            eligible=np.ones((2, 2), dtype=bool),
        )

    def audit(self, day: date) -> SimpleNamespace | None:
        return None if self.is_empty else SimpleNamespace(status=SessionStatus.GREEN)

    def actions(self, effective: date, known: date) -> tuple[Action, ...]:
        return self.known if effective == DAY else ()

    def dataset(self) -> SimpleNamespace:
        return SimpleNamespace(basis=PriceBasis.RAW)


def account(equity: str, cash: str) -> Account:
    return Account(
        id="id",
        number="PA1",
        status="ACTIVE",
        cash=D(cash),
        equity=D(equity),
        last_equity=D(equity),
        buying_power=D(9999),
        multiplier=D(2),
        is_blocked=False,
        shorting_enabled=True,
    )


def position(symbol: str, quantity: int, price: float) -> Position:
    return Position(symbol, D(quantity), D(1), D(str(price)))


def intent(symbol: str, quantity: int) -> Intent:
    key = IntentKey("PA1", DAY, "main", symbol)
    return Intent(key, Side.BUY, D(quantity), OrderType.MARKET, TimeInForce.OPG, D(str(BEFORE[symbol])))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """The close of ASOF: 100 AAA, 3000 USD in cash, 4000 USD in all. DAY wants 110.4 AAA and 30 BBB.

    At the open 7 of 10 AAA are bought at 10.25, 3 are not filled; BBB was refused when the plan was made.
    """
    found = Ledger(tmp_path / "ledger.sqlite")
    held = [position("AAA", 100, 10.00)]
    for session, phase in ((ASOF, Phase.CLOSE), (DAY, Phase.OPEN)):
        snapshots.save(found, session, phase, account("4000", "3000"), held, AT)
    closing = [position("AAA", 107, 10.71)]
    snapshots.save(found, DAY, Phase.CLOSE, account("4074.22", "2928.25"), closing, AT)
    save_nav(found, ASOF, "4000", "3990")
    save_nav(found, DAY, "4074.22", "4063.07", fees=D("-0.05"), impact=D("-1.10"))
    targets.save(found, DAY, [TargetRow(DAY, "AAA", 0.276, 0.25, 1.0), TargetRow(DAY, "BBB", 0.15, 0.0, 1.0)])
    references = {name: D(str(price)) for name, price in BEFORE.items()}
    plan = Plan(DAY, ASOF, "PA1", D(4000), (intent("AAA", 10),), SOURCE, (("BBB", "ORDER_NOTIONAL", "too large"),), references=references)
    plans.save(found, plan, AT)
    cid = plan.intents[0].key.client_order_id
    for state in (IntentState.JOURNALED, IntentState.SENDING, IntentState.ACKED):
        intents.move(found, cid, state, AT)
    intents.record_filled(found, cid, D(7), AT)
    fills.add(found, [BookedFill(Fill("f1", "o1", "AAA", Side.BUY, D(7), D("10.25"), AT), DAY, cid)])
    return found


def save_nav(ledger: Ledger, session: date, paper: str, real: str, **parts: D) -> None:
    nav.save(ledger, NavRow(session, D(paper), D(real), D(0), D(0), D(0), AT, **parts))


def deps(ledger: Ledger, tmp_path: Path, **changes: object) -> SimpleNamespace:
    config = ApplianceConfig(stores=StoresConfig(data=tmp_path, bundles=tmp_path))
    return SimpleNamespace(**{"ledger": ledger, "calendar": DAYS, "market": Store(), "config": config, **changes})


def test_a_session_by_hand(ledger: Ledger, tmp_path: Path) -> None:
    """AAA: 100 x 0.20 overnight, 107 x 0.51 by day, 0.35 lost against the open: 74.22 on paper, 73.07 outside it.

    Refused: 3 AAA would have made 1.53, 30 BBB would have lost 30.00: the refusals saved 28.47. Rounding: 0.4 AAA short
    cost 0.204. Market: equal weights made +1 % overnight ((2 % + 0 %) / 2) and 0 % by day ((5 % - 5 %) / 2): 10.00.
    Costs: 1.15 outside the paper world, 0.35 slippage. Selection: 73.07 + 1.50 - 28.47 + 0.204 - 10.00 = 36.304.
    """
    found = attributed(DAY, deps(ledger, tmp_path))
    assert found is not None
    assert {part.value: str(amount) for part, amount in found.parts.items()} == {
        "market": "10.00",
        "sector": "0.00",
        "style": "0.00",
        "selection": "36.30",
        "costs": "-1.50",
        "rounding": "-0.20",
        "refused orders": "28.47",
        "skips": "0.00",
    }
    assert found.universe == pytest.approx((10.71 / 10 + 0.95) / 2 - 1), "AAA made 7.1 %, BBB lost 5 %"
    assert found.total == D("73.07")
    assert {name: str(usd) for name, usd in found.costs.items() if usd} == {
        "spread and impact": "-1.10",
        "fees": "-0.05",
        "slippage": "-0.35",
    }


def test_a_name_that_changed_overnight_and_paid_a_dividend_is_one_name(ledger: Ledger, tmp_path: Path) -> None:
    """The holding was OLD at the last close. 100 shares are owed 0.10 each: 10 USD more than by hand above, selection.

    The renaming leaves no gain of one name and loss of another, and the dividend belongs to its name, not to `other`.
    """
    snapshots.save(ledger, ASOF, Phase.CLOSE, account("4000", "3000"), [position("OLD", 100, 10.00)], AT)
    save_nav(ledger, DAY, "4074.22", "4073.07", fees=D("-0.05"), impact=D("-1.10"), dividends=D("10.00"))
    known = (
        Action(ActionKind.SYMBOL_CHANGE, "OLD", DAY, ASOF, new_symbol="AAA"),
        Action(ActionKind.DIVIDEND, "AAA", DAY, ASOF, cash=D("0.10")),
    )
    found = attributed(DAY, deps(ledger, tmp_path, market=Store(known=known)))
    assert found is not None
    assert (found.total, found.parts[PnlPart.SELECTION], found.parts[PnlPart.MARKET]) == (D("83.07"), D("46.30"), D("10.00"))
    assert found.selection == {"AAA": D("76.30"), "BBB": D("-30.00")}  # wanted, refused: it would have lost 30
    assert found.costs["other"] == 0


def test_a_dividend_that_was_learned_after_the_report_is_attributed_to_its_name(ledger: Ledger, tmp_path: Path) -> None:
    """The report of the session knew nothing of 100 x 0.10: the attribution of the session after explains 83.07."""
    save_nav(ledger, DAY, "4074.22", "4063.07", fees=D("-0.05"), impact=D("-1.10"), late_dividends=D(10), restatement=D(10))
    known = (Action(ActionKind.DIVIDEND, "AAA", DAY, DAY, cash=D("0.10"), inferred=True),)
    found = attributed(DAY, deps(ledger, tmp_path, market=Store(known=known)))
    assert found is not None
    assert (found.total, sum(found.parts.values()), found.costs["other"]) == (D("83.07"), D("83.07"), 0)


def test_a_split_overnight_moves_no_money(ledger: Ledger, tmp_path: Path) -> None:
    """25 shares at 40.00 became 100 at 10.00: the same session as by hand, to the cent."""
    whole = attributed(DAY, deps(ledger, tmp_path))
    snapshots.save(ledger, ASOF, Phase.CLOSE, account("4000", "3000"), [position("AAA", 25, 40.00)], AT)
    split = (Action(ActionKind.SPLIT, "AAA", DAY, ASOF, ratio=D(4)),)
    assert attributed(DAY, deps(ledger, tmp_path, market=Store(known=split))) == whole


def test_a_close_that_was_never_agreed_belongs_to_the_next_session(ledger: Ledger, tmp_path: Path) -> None:
    """ASOF was not agreed: the stretch reaches back to the Friday before, and still sums to the change of value."""
    friday = date(2023, 3, 10)
    ledger_rows = [position("AAA", 100, 10.00)]
    for table in ("nav", "accounts", "positions"):
        with ledger.transaction():
            ledger.execute(f"DELETE FROM {table} WHERE session = ?", (ASOF.isoformat(),))
    snapshots.save(ledger, friday, Phase.CLOSE, account("4000", "3000"), ledger_rows, AT)
    save_nav(ledger, friday, "4000", "3990")

    class Longer(Store):
        def bars(self, asof: date, sessions: int) -> Bars:
            found = super().bars(asof, sessions)
            days = np.array([friday, ASOF, DAY], dtype="datetime64[D]")
            fields = ("open", "high", "low", "close", "volume", "total_return", "overnight_return", "eligible")
            panels = {name: np.vstack([getattr(found, name)[:1], getattr(found, name)]) for name in fields}
            return Bars(sessions=days, symbols=found.symbols, **panels)

    found = attributed(DAY, deps(ledger, tmp_path, market=Longer()))
    assert found is not None
    assert found.total == sum(found.parts.values()) == D("73.07")


def test_shares_that_are_missing_have_their_cause(ledger: Ledger, tmp_path: Path) -> None:
    found = missing_shares(DAY, deps(ledger, tmp_path), {})
    assert found == {PnlPart.ROUNDING: {"AAA": D("-0.4")}, PnlPart.REFUSED: {"AAA": D(-3), "BBB": D(-30)}, PnlPart.SKIPS: {}}


def test_a_session_without_a_plan_is_measured_by_what_was_wanted_last(ledger: Ledger, tmp_path: Path) -> None:
    """The next session kept 107 AAA. Wanted were 27.6 % and 15 % of 4074.22 at the restated closes 10.71 and 19.00."""
    after = date(2023, 3, 15)
    held = [position("AAA", 107, 10.71)]
    snapshots.save(ledger, after, Phase.OPEN, account("4074.22", "2928.25"), held, AT)
    closes = {"AAA": D("10.71"), "BBB": D("19.00")}
    found = missing_shares(after, deps(ledger, tmp_path), closes)
    wanted = D("0.276") * D("4074.22") / D("10.71")
    assert found[PnlPart.SKIPS] == {"AAA": 107 - wanted, "BBB": -D("0.15") * D("4074.22") / D("19.00")}
    assert found[PnlPart.ROUNDING] == found[PnlPart.REFUSED] == {}


def test_a_plan_of_which_nothing_left_is_a_skip(tmp_path: Path) -> None:
    silent = Ledger(tmp_path / "silent.sqlite")
    snapshots.save(silent, DAY, Phase.OPEN, account("4000", "4000"), [], AT)
    targets.save(silent, DAY, [TargetRow(DAY, "AAA", 0.26, 0.0, 1.0)])
    plans.save(silent, Plan(DAY, ASOF, "PA1", D(4000), (intent("AAA", 104),), SOURCE, references={"AAA": D(10)}), AT)
    found = missing_shares(DAY, deps(silent, tmp_path), {})
    assert found == {PnlPart.ROUNDING: {}, PnlPart.REFUSED: {}, PnlPart.SKIPS: {"AAA": D(-104)}}


def test_a_session_that_was_never_agreed_or_has_no_bars_is_not_attributed(ledger: Ledger, tmp_path: Path) -> None:
    assert attributed(date(2023, 3, 15), deps(ledger, tmp_path)) is None
    assert attributed(DAY, deps(ledger, tmp_path, market=Store(is_empty=True))) is None


def test_a_session_is_attributed_once_and_a_missed_report_is_made_up_for(ledger: Ledger, tmp_path: Path) -> None:
    one = deps(ledger, tmp_path)
    assert pending(DAY, one) == (ASOF, DAY)
    found = attributed(DAY, one)
    assert found is not None
    after = date(2023, 3, 15)
    job_runs.begin(ledger, after, "report", AT)
    rows = (document(DAY, found, one),)
    job_runs.finish(ledger, JobReport("report", after, JobStatus.DONE, "", MonitoringFigures(rows)), AT)
    assert pending(DAY, one) == (ASOF,)
    view = monitoring.attribution(ledger, DAY, 5)
    assert [row["session"] for row in view.rows] == ["2023-03-14"]
    assert sum(D(view.rows[0][part]) for part in monitoring.ATTRIBUTION_PARTS) == D(view.rows[0]["total"]) == D("73.07")
    assert set(monitoring.ATTRIBUTION_PARTS) == {part.value for part in PnlPart}


def test_cash_that_belongs_to_no_name_is_a_cost(ledger: Ledger, tmp_path: Path) -> None:
    """An account fee of 3 USD lowers cash and equity; no name explains it."""
    standing = nav.find(ledger, DAY)
    assert standing is not None
    nav.save(ledger, replace(standing, paper_nav=D("4071.22"), real_nav=D("4060.07")))
    found = attributed(DAY, deps(ledger, tmp_path))
    assert found is not None
    assert (found.costs["other"], found.parts[PnlPart.COSTS], found.total) == (D("-3.00"), D("-4.50"), D("70.07"))
