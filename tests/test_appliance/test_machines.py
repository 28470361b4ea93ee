"""State machines of the latch and the ledger under any sequence of events (J4).

Those of an order's states and of the bundle store stand beside their other tests, in `test_ledger` and
`test_bundle_store`.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from appliance.controls.latch import FILE_NAME, Latch
from appliance.ledger import Ledger, activities, fills, snapshots
from appliance.ledger.fills import BookedFill
from appliance.ledger.snapshots import Phase
from execution.brokers.base import Account, Activity, Position
from execution.orders import Fill, Side
from signals.errors import DeviceHalted, FixInput
from tests.fakes.broker import MemoryFs

AT = datetime(2024, 3, 12, 13, 0, tzinfo=UTC)
D = date(2024, 3, 12)


class LatchMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, only a person who names the standing halt opens the latch (I9, C1, C2)."""

    @initialize()
    def begin(self) -> None:
        self.fs, self.at = MemoryFs(), AT
        self.is_armed, self.halt_id, self.is_prepared = False, "", False

    @property
    def latch(self) -> Latch:
        """A new object each time: a restart forgets nothing."""
        return Latch(Path("/device"), self.fs)

    @rule(name=st.sampled_from(["MANUAL", "DRAWDOWN"]), reason=st.text(max_size=5))
    def halt(self, name: str, reason: str) -> None:
        self.at += timedelta(seconds=1)
        record = self.latch.halt(name, reason, self.at)
        if self.is_armed or not self.halt_id or self.is_prepared:
            self.halt_id = record.halt_id
        assert record.halt_id == self.halt_id, "a standing halt keeps its id"
        self.is_armed = self.is_prepared = False

    @rule()
    def kill(self) -> None:
        """A kill says nothing; of a halt that stands it takes nothing away."""
        self.latch.close()
        if self.is_prepared:
            self.halt_id = self.latch.read().halt_id
        self.is_armed = self.is_prepared = False

    @rule()
    def start(self) -> None:
        """Every job lays a closed latch beside an open one, and takes a stale one away."""
        self.latch.prepare()
        self.is_prepared = self.is_armed

    @rule()
    def arm(self) -> None:
        may = self.is_armed or not self.halt_id
        try:
            self.latch.arm(by="person", at=self.at)
            assert may
            self.is_armed, self.halt_id, self.is_prepared = True, "", True
        except FixInput:
            assert not may, "the first arming clears no halt"

    @rule(is_right=st.booleans(), reason=st.sampled_from(["", "  ", "it was a test"]))
    def rearm(self, is_right: bool, reason: str) -> None:
        named = self.halt_id if is_right else "00000000"
        try:
            self.latch.rearm(halt_id=named, reason=reason, by="person", at=self.at)
            assert not self.is_armed and is_right and self.halt_id and reason.strip()
            self.is_armed, self.halt_id, self.is_prepared = True, "", True
        except FixInput:
            assert self.is_armed or not is_right or not self.halt_id or not reason.strip()

    @rule(content=st.binary(max_size=20))
    def spoil(self, content: bytes) -> None:
        """A disk that gives back something else: halted, under an id of its own."""
        self.fs.files[Path("/device") / FILE_NAME] = content
        self.is_armed, self.halt_id = False, self.latch.read().halt_id

    @rule()
    def lose(self) -> None:
        """A restored device has no latch file: it is as a fresh one."""
        self.fs.files.clear()
        self.is_armed, self.halt_id, self.is_prepared = False, "", False

    @invariant()
    def it_says_what_it_is(self) -> None:
        record = self.latch.read()
        assert (record.is_armed, record.halt_id) == (self.is_armed, self.halt_id)
        assert record.is_fresh == (not self.is_armed and not self.halt_id)
        if self.is_armed:
            self.latch.require_armed()
        else:
            with pytest.raises(DeviceHalted):
                self.latch.require_armed()


LatchMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=25)
test_the_latch = LatchMachine.TestCase


class BookMachine(RuleBasedStateMachine):
    """Whatever is booked, booked again, undone by a crash or read by another process, the record is what was told."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite")
        self.told: dict[str, Decimal] = {}
        self.acted: set[str] = set()
        self.cash: Decimal | None = None

    def fill(self, number: int) -> BookedFill:
        side = Side.BUY if number % 2 else Side.SELL
        made = Fill(f"f{number}", f"b{number % 3}", "A", side, Decimal(number + 1), Decimal("10.01"), AT)
        return BookedFill(made, D, "")

    @rule(numbers=st.lists(st.integers(0, 12), max_size=5))
    def book(self, numbers: list[int]) -> None:
        """The same fill told again is one fill."""
        rows = [self.fill(number) for number in numbers]
        added = fills.add(self.ledger, rows)
        assert added == len({row.fill.id for row in rows} - set(self.told))
        self.told |= {row.fill.id: row.fill.quantity for row in rows}

    @rule(number=st.integers(0, 12))
    def act(self, number: int) -> None:
        item = Activity(f"a{number}", "DIV", "A", D, None, None, None, Decimal("1.5"), "", "", "")
        activities.book(self.ledger, (item,), AT)
        self.acted.add(item.id)

    @rule(number=st.integers(0, 12))
    def fail(self, number: int) -> None:
        """A job that dies inside its transaction leaves nothing of it."""
        with pytest.raises(KeyboardInterrupt), self.ledger.transaction():
            fills.add(self.ledger, [self.fill(number)])
            snapshots.save(self.ledger, D, Phase.CLOSE, self.account(Decimal(-1)), (), AT)
            raise KeyboardInterrupt

    @rule(cash=st.integers(-5, 5).map(Decimal))
    def agree(self, cash: Decimal) -> None:
        position = Position("A", cash + 10, Decimal(10), Decimal(10))
        snapshots.save(self.ledger, D, Phase.CLOSE, self.account(cash), (position,), AT)
        self.cash = cash

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite")

    @staticmethod
    def account(cash: Decimal) -> Account:
        return Account("id", "PA1", "ACTIVE", cash, cash, cash, cash, Decimal(2), False, True)

    @invariant()
    def the_record_is_what_was_told(self) -> None:
        booked = {row.fill.id: row.fill.quantity for row in fills.of_session(self.ledger, D)}
        assert booked == self.told
        assert activities.booked_ids(self.ledger, date.min) >= self.acted
        by_order: dict[str, Decimal] = {}
        for name, quantity in self.told.items():
            order = f"b{int(name[1:]) % 3}"
            by_order[order] = by_order.get(order, Decimal(0)) + quantity
        assert fills.quantity_by_order(self.ledger) == by_order
        found = snapshots.find(self.ledger, D, Phase.CLOSE)
        assert (None if found is None else found.cash) == self.cash

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()


BookMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=15)
test_the_book = BookMachine.TestCase
