"""The ledger: what it promises about files, transactions and rows that never change."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import apsw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.ledger import (
    AccessMode,
    Ledger,
    activities,
    alerts,
    arms,
    broker_orders,
    database,
    events,
    fills,
    halts,
    intents,
    job_runs,
    nav,
    plans,
    reports,
    scores,
    snapshots,
    targets,
    tripwires,
    values,
)
from appliance.ledger.fills import BookedFill
from appliance.ledger.intents import FINISHED, MOVES, IntentState
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.ports import Alert, Severity
from execution.brokers.base import Account, Activity, Position
from execution.fills import Fill
from execution.orders import BrokerOrder, Intent, IntentKey, OrderStatus, OrderType, Plan, Provenance, Rounding, Side, TimeInForce
from signals.errors import InvariantBroken, LedgerDamaged, LedgerUnusable, Locked
from tests.fakes.full_disk import LimitedDisk, Refusal

NOW = database.SCHEMA_VERSION

D, ASOF = date(2024, 3, 12), date(2024, 3, 11)
AT = datetime(2024, 3, 12, 12, 0, tzinfo=UTC)
KEY = IntentKey("PA1", D, "main", "AAPL")
CLOSING = Intent(KEY, Side.SELL, Decimal("12"), OrderType.MARKET, TimeInForce.OPG, Decimal("171.5100"), reduces=True)
OPENING = Intent(
    dataclasses.replace(KEY, slice=1),
    Side.SELL,
    Decimal(3),
    OrderType.LIMIT,
    TimeInForce.DAY,
    Decimal("171.5100"),
    limit_price=Decimal("170.25"),
    waits_for=KEY,
)
PLAN = Plan(
    D,
    ASOF,
    "PA1",
    Decimal("100000.10"),
    (CLOSING, OPENING),
    Provenance("b", "s", "c", "v"),
    (("Z", "ASSET", "gone"),),
    Rounding(0.02, 0.01, 0.015, 0.018, ("Y",)),
    {"AAPL": Decimal("171.5100")},
    {"AAPL": Decimal(10**9)},
    {"AAPL": Decimal("-3.400000"), "MSFT": Decimal("0.250000")},
)
CID = KEY.client_order_id
S = IntentState


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "state" / "ledger.sqlite") as opened:
        yield opened


# -- the file ------------------------------------------------------------


def test_a_new_ledger_is_durable_checked_and_of_the_current_schema(ledger: Ledger) -> None:
    assert (ledger.value("PRAGMA journal_mode"), ledger.value("PRAGMA synchronous")) == ("wal", 2)
    assert ledger.value("PRAGMA foreign_keys") == 1
    assert (ledger.schema_version(), ledger.integrity()) == (database.SCHEMA_VERSION, "ok")


def test_a_newer_ledger_is_refused_in_words(ledger: Ledger) -> None:
    ledger.write_meta("schema_version", "99")
    ledger.write_meta("usable_since", "98")
    for mode in AccessMode:
        with pytest.raises(LedgerUnusable, match=f"schema 99, this program knows {NOW}"):
            Ledger(ledger.path, mode)


@pytest.mark.parametrize("mode", list(AccessMode))
def test_what_is_no_ledger_is_refused(tmp_path: Path, mode: AccessMode) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"no database at all" * 300)
    with pytest.raises(LedgerUnusable, match="corrupt"):
        Ledger(garbage, mode)
    stranger = tmp_path / "stranger"
    connection = apsw.Connection(str(stranger))
    connection.execute("CREATE TABLE pets (name TEXT)")
    connection.close()
    with pytest.raises(LedgerUnusable, match="not a ledger"):
        Ledger(stranger, mode)
    with pytest.raises(LedgerUnusable, match="cannot be opened"):
        Ledger(tmp_path, mode)


def test_a_ledger_that_does_not_name_its_schema_is_refused(ledger: Ledger) -> None:
    ledger.write_meta("schema_version", "one")
    with pytest.raises(LedgerUnusable, match="does not name"):
        Ledger(ledger.path)


@pytest.mark.parametrize("refusal", list(Refusal), ids=lambda refusal: refusal.name.lower())
def test_a_ledger_that_the_disk_does_not_take_is_refused_in_one_line(tmp_path: Path, refusal: Refusal) -> None:
    """F39, F40: no room for its first page, or none that may be written."""
    disk = LimitedDisk(fatal=1, lasting=True, refusal=refusal)
    with pytest.raises(LedgerUnusable, match="Free space"):
        disk.ledger(tmp_path / "ledger.sqlite")
    assert disk.refused >= 1


def test_a_damaged_page_is_found_before_anything_is_read(ledger: Ledger) -> None:
    for number in range(300):
        alerts.add(ledger, Alert(Severity.INFO, str(number), "t" * 200, "b" * 200, AT), delivered=True)
    path = ledger.path
    ledger.backup_to(path.with_name("copy"))
    content = bytearray(path.with_name("copy").read_bytes())
    size = 4096
    for page in range(30, len(content) // size):
        content[page * size : page * size + 64] = bytes(range(64))
    path.with_name("copy").write_bytes(content)
    with pytest.raises(LedgerUnusable):
        Ledger(path.with_name("copy"))


def test_a_row_that_breaks_its_own_table_is_found(ledger: Ledger) -> None:
    ledger.backup_to(ledger.path.with_name("copy"))
    connection = apsw.Connection(str(ledger.path.with_name("copy")))
    connection.execute("ALTER TABLE meta ADD COLUMN note TEXT; PRAGMA writable_schema=ON")
    connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'note TEXT', 'note TEXT NOT NULL')")
    connection.close()
    with pytest.raises(LedgerUnusable, match="fails its check"):
        Ledger(ledger.path.with_name("copy"))


def test_a_reader_needs_a_ledger_and_cannot_write(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="cannot be opened"):
        Ledger(tmp_path / "absent", AccessMode.READ)
    (tmp_path / "empty").touch()
    with pytest.raises(LedgerUnusable, match=f"schema 0, a reader needs {NOW}"):
        Ledger(tmp_path / "empty", AccessMode.READ)
    with Ledger(ledger.path, AccessMode.READ) as reader, pytest.raises(InvariantBroken, match="may not write"):
        reader.write_meta("key", "value")


def test_a_reader_sees_the_last_commit_while_a_writer_is_busy(ledger: Ledger) -> None:
    ledger.write_meta("key", "before")
    with Ledger(ledger.path, AccessMode.READ) as reader, ledger.transaction():
        ledger.execute("UPDATE meta SET value = 'after' WHERE key = 'key'")
        assert reader.read_meta("key") == "before"
    with Ledger(ledger.path, AccessMode.READ) as reader:
        assert reader.read_meta("key") == "after"


def test_a_second_writer_is_told_that_it_is_locked_out(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 20)
    with Ledger(ledger.path) as second, ledger.transaction(), pytest.raises(Locked):
        second.write_meta("key", "value")


def test_migrations_run_forward_once_in_order(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SCHEMA_VERSION", NOW + 2)
    steps = {NOW: "ALTER TABLE meta ADD COLUMN note TEXT", NOW + 1: "UPDATE meta SET note = 'three'"}
    monkeypatch.setattr(database, "MIGRATIONS", steps)
    for _ in range(2):
        with Ledger(ledger.path) as migrated:
            assert migrated.schema_version() == NOW + 2
            assert migrated.value("SELECT note FROM meta WHERE key = 'schema_version'") == "three"


def test_the_release_before_goes_on_with_a_ledger_that_the_next_one_migrated(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rollback it reads and writes; what the migration added stays. A ledger two schemas ahead is refused."""
    with monkeypatch.context() as newer:
        newer.setattr(database, "SCHEMA_VERSION", NOW + 1)
        newer.setattr(database, "USABLE_SINCE", NOW)
        newer.setattr(database, "MIGRATIONS", {NOW: "ALTER TABLE meta ADD COLUMN note TEXT DEFAULT 'added'"})
        with Ledger(ledger.path) as migrated:
            assert migrated.schema_version() == NOW + 1
    with Ledger(ledger.path) as older:
        older.write_meta("key", "written by the release before")
        assert older.schema_version() == NOW + 1
    with Ledger(ledger.path, AccessMode.READ) as reader:
        assert reader.value("SELECT note FROM meta WHERE key = 'key'") == "added"
    with monkeypatch.context() as newest:
        newest.setattr(database, "SCHEMA_VERSION", NOW + 2)
        newest.setattr(database, "USABLE_SINCE", NOW + 1)
        newest.setattr(database, "MIGRATIONS", {NOW + 1: "ALTER TABLE meta ADD COLUMN more TEXT"})
        Ledger(ledger.path).close()
    with pytest.raises(LedgerUnusable, match=f"schema {NOW + 2}, this program knows {NOW}"):
        Ledger(ledger.path)


def test_migrations_are_usable_by_the_release_before() -> None:
    """No statement of a migration takes anything away, and the program one schema back is vouched for."""
    assert database.SCHEMA_VERSION - 1 <= max(database.USABLE_SINCE, 1) <= database.SCHEMA_VERSION
    assert set(database.MIGRATIONS) == set(range(1, database.SCHEMA_VERSION))
    for statements in database.MIGRATIONS.values():
        assert not re.search(r"\b(DROP|RENAME|DELETE)\b|ADD COLUMN.*NOT NULL(?!.*DEFAULT)", statements, flags=re.I)


def test_a_ledger_of_schema_one_is_read_with_its_values_as_they_were(tmp_path: Path) -> None:
    """Its real values were never restated: both columns say the same, and the release before can go on writing."""
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    old = apsw.Connection(str(path))
    for column in ("late_dividends", "restatement"):
        old.execute(f"ALTER TABLE nav DROP COLUMN {column}")
    old.execute(
        "ALTER TABLE scores DROP COLUMN probability; DROP TABLE bank_rows; DROP TABLE draws; DROP TABLE outcomes; DROP TABLE events"
    )
    score = "INSERT INTO scores (asof, sleeve, symbol, score, rank, z, source) VALUES ('2026-03-11', 'xs', 'A', 0.5, 1, 1.0, 'sha')"
    old.execute(score)
    old.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    values = "(session, paper_nav, real_nav, cash, gross, net, at) VALUES (?, '1000', '990.5', '0', '0', '0', ?)"
    old.execute(f"INSERT INTO nav {values}", ("2026-03-11", AT.isoformat()))
    old.close()
    with Ledger(path) as migrated:
        assert migrated.schema_version() == NOW
        with migrated.transaction():
            migrated.execute(f"INSERT INTO nav {values}", ("2026-03-12", AT.isoformat()))  # as the release before does
        for row in nav.history(migrated, date(2026, 3, 12), 5):
            assert (row.real_nav, row.restated_nav, row.late_dividends) == (Decimal("990.5"), Decimal("990.5"), 0)
        assert [row.probability for row in scores.load(migrated, date(2026, 3, 11), "xs")] == [None]
        assert events.newest(migrated, date.max) is None and arms.open_draws(migrated) == ()


def test_a_frozen_plan_of_another_shape_cannot_be_read(ledger: Ledger) -> None:
    plans.save(ledger, PLAN, AT)
    with ledger.transaction():
        ledger.execute("DROP TRIGGER IF EXISTS plans_are_frozen")
        ledger.execute("UPDATE plans SET body = '{}'")
    with pytest.raises(LedgerUnusable, match="the frozen plan cannot be read"):
        plans.load(ledger, D)


def test_a_backup_is_a_whole_ledger(ledger: Ledger, tmp_path: Path) -> None:
    plans.save(ledger, PLAN, AT)
    ledger.backup_to(tmp_path / "backup")
    with Ledger(tmp_path / "backup") as copy:
        assert plans.load(copy, D) == PLAN
        assert copy.integrity() == "ok"


# -- transactions ------------------------------------------------------------


def test_a_block_that_raises_leaves_no_trace(ledger: Ledger) -> None:
    with pytest.raises(KeyError), ledger.transaction():
        ledger.write_meta("key", "value")
        raise KeyError
    assert ledger.read_meta("key") is None


def test_an_inner_block_that_fails_is_undone_while_the_outer_goes_on(ledger: Ledger) -> None:
    with ledger.transaction():
        ledger.write_meta("outer", "kept")
        with pytest.raises(KeyError), ledger.transaction():
            ledger.write_meta("inner", "lost")
            raise KeyError
    assert (ledger.read_meta("outer"), ledger.read_meta("inner")) == ("kept", None)


def test_nothing_is_written_outside_a_transaction(ledger: Ledger) -> None:
    with pytest.raises(InvariantBroken):
        ledger.execute("DELETE FROM meta")
    with pytest.raises(InvariantBroken):
        ledger.insert_many("meta", [{"key": "a", "value": "b"}])


class FailingVFS(apsw.VFS):
    """A disk that is full, or failing, from a moment on."""

    name = "failing"

    def __init__(self) -> None:
        self.error: type[Exception] | None = None
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> FailingFile:
        return FailingFile(self, name, flags)


class FailingFile(apsw.VFSFile):
    def __init__(self, vfs: FailingVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.vfs = vfs
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self.vfs.error is not None:
            raise self.vfs.error
        super().xWrite(data, offset)


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError])
def test_a_disk_that_takes_no_more_is_a_halt_and_nothing_half_written(tmp_path: Path, error: type[Exception]) -> None:
    vfs = FailingVFS()
    try:
        with Ledger(tmp_path / "ledger", vfs=vfs.name) as opened:
            opened.write_meta("key", "before")
            vfs.error = error
            with pytest.raises(LedgerUnusable, match="cannot be written"):
                plans.save(opened, PLAN, AT)
            vfs.error = None
            assert plans.load(opened, D) is None
            plans.save(opened, PLAN, AT)
    finally:
        vfs.unregister()
    with Ledger(tmp_path / "ledger") as again:
        assert (plans.load(again, D), again.read_meta("key")) == (PLAN, "before")


def test_a_write_that_meets_a_damaged_page_says_that_the_ledger_is_damaged(tmp_path: Path) -> None:
    vfs = FailingVFS()
    try:
        with Ledger(tmp_path / "ledger", vfs=vfs.name) as opened:
            vfs.error = apsw.CorruptError
            with pytest.raises(LedgerDamaged, match="corrupt"):
                opened.write_meta("key", "value")
            vfs.error = None
    finally:
        vfs.unregister()


@pytest.mark.parametrize("mode", list(AccessMode))
def test_a_ledger_that_another_process_keeps_to_itself_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: AccessMode
) -> None:
    Ledger(tmp_path / "ledger").close()
    other = apsw.Connection(str(tmp_path / "ledger"))
    assert other.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall() == [("exclusive",)]
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 10)
    with pytest.raises(Locked, match="keeps the ledger to itself"):
        Ledger(tmp_path / "ledger", mode)
    other.close()


# -- rows ------------------------------------------------------------


def test_a_plan_is_frozen_with_its_intents_and_never_replaced(ledger: Ledger) -> None:
    assert plans.load(ledger, D) is None
    with pytest.raises(InvariantBroken):
        plans.require(ledger, D)
    assert plans.save(ledger, PLAN, AT) == PLAN
    other = dataclasses.replace(PLAN, equity=Decimal(5), intents=(CLOSING,))
    assert plans.save(ledger, other, AT) == PLAN
    assert plans.require(ledger, D) == PLAN
    assert plans.sessions(ledger, ASOF) == (D,)
    stored = intents.of_session(ledger, D)
    assert tuple(entry.intent for entry in stored) == (CLOSING, OPENING)
    assert {entry.state for entry in stored} == {S.PLANNED}


def test_a_plan_that_no_longer_has_its_digest_is_not_used(ledger: Ledger) -> None:
    plans.save(ledger, PLAN, AT)
    with ledger.transaction():
        ledger.execute("DROP TRIGGER plans_are_frozen")
        ledger.execute("UPDATE plans SET equity = '100000.11'")
    with pytest.raises(LedgerUnusable, match="digest"):
        plans.load(ledger, D)


def test_a_plan_of_an_earlier_release_has_one_figure_of_rounding_and_no_path(ledger: Ledger) -> None:
    plans.save(ledger, PLAN, AT)
    with ledger.transaction():
        ledger.execute("DROP TRIGGER plans_are_frozen")
        ledger.execute("UPDATE plans SET body = json_remove(body, '$.path', '$.rounding')")
    old = plans.require(ledger, D)
    assert old == dataclasses.replace(PLAN, rounding=Rounding(nearest_l1=0.01), path={})


def test_the_plan_before_a_session_is_the_newest_of_an_earlier_one(ledger: Ledger) -> None:
    assert plans.before(ledger, D) is None
    older = dataclasses.replace(PLAN, session=ASOF, asof=date(2024, 3, 8), intents=())
    for plan in (older, PLAN):
        plans.save(ledger, plan, AT)
    assert plans.before(ledger, ASOF) is None
    assert plans.before(ledger, D) == older
    assert plans.before(ledger, date(2024, 4, 1)) == PLAN


def test_every_order_row_joins_to_where_it_came_from(ledger: Ledger) -> None:
    plans.save(ledger, PLAN, AT)
    joined = ledger.read(
        tuple[str, str, str, str, str],
        "SELECT p.digest, p.bundle_sha256, p.snapshot_id, p.config_hash, p.code_version FROM intents JOIN plans p USING (session)",
    )
    assert len(joined) == 2
    assert all(all(row) for row in joined)
    with pytest.raises(apsw.ConstraintError), ledger.transaction():
        ledger.execute("UPDATE intents SET session = '1999-01-01'")


FROZEN = [
    "UPDATE plans SET equity = '1'",
    "DELETE FROM plans",
    "UPDATE intents SET quantity = '99'",
    "UPDATE intents SET side = 'buy'",
    "DELETE FROM intents",
    "UPDATE intent_events SET reason = 'x'",
    "DELETE FROM intent_events",
    "UPDATE fills SET price = '1'",
    "DELETE FROM fills",
    "UPDATE activities SET net_amount = '1'",
    "DELETE FROM activities",
    "DELETE FROM halts",
]
FILL = Fill("f1", "b1", "AAPL", Side.SELL, Decimal(2), Decimal("171.0001"), AT)
ACTIVITY = Activity("a1", "SPLIT", "AAPL", D, None, Decimal("-0.5"), None, Decimal("1.23"), "", "", "why")
HALT = halts.HaltRow("h1", AT, "MANUAL", "m", "1", "0", PLAN.digest, "halt", {"a": 1})


@pytest.mark.parametrize("statement", FROZEN)
def test_what_happened_is_never_rewritten(ledger: Ledger, statement: str) -> None:
    plans.save(ledger, PLAN, AT)
    fills.add(ledger, [BookedFill(FILL, D, CID)])
    activities.book(ledger, [ACTIVITY], AT)
    halts.add(ledger, HALT)
    with pytest.raises(apsw.ConstraintError), ledger.transaction():
        ledger.execute(statement)


def test_replaying_fills_and_activities_changes_nothing(ledger: Ledger) -> None:
    booked = BookedFill(FILL, D, CID)
    assert [fills.add(ledger, [booked]) for _ in range(2)] == [1, 0]
    assert [activities.book(ledger, [ACTIVITY, ACTIVITY], AT) for _ in range(2)] == [1, 0]
    assert fills.of_session(ledger, D) == (booked,)
    assert activities.since(ledger, D) == (ACTIVITY,)
    assert activities.booked_ids(ledger, D) == {"a1"}
    assert fills.quantity_by_order(ledger) == {"b1": Decimal(2)}
    changed = dataclasses.replace(FILL, quantity=Decimal(3))
    with pytest.raises(InvariantBroken, match="changed"):
        fills.add(ledger, [BookedFill(changed, D, CID)])


def test_a_job_ends_once(ledger: Ledger) -> None:
    report = JobReport("trade", D, JobStatus.DONE, "well", {"orders": 3})
    with pytest.raises(InvariantBroken):
        job_runs.finish(ledger, report, AT)
    assert job_runs.begin(ledger, D, "trade", AT)
    assert job_runs.begin(ledger, D, "trade", AT), "one that died may begin again"
    running = job_runs.find(ledger, D, "trade")
    assert running is not None
    assert (running.status, running.attempts) == (None, 2)
    job_runs.finish(ledger, report, AT + timedelta(minutes=1))
    assert not job_runs.begin(ledger, D, "trade", AT)
    with pytest.raises(InvariantBroken):
        job_runs.finish(ledger, dataclasses.replace(report, status=JobStatus.FAILED), AT)
    (run,) = job_runs.since(ledger, ASOF)
    assert (run.status, run.summary, run.figures) == (JobStatus.DONE, "well", {"orders": 3})
    assert job_runs.find(ledger, D, "confirm") is None


def test_a_halt_is_recorded_once_and_rearmed_once(ledger: Ledger) -> None:
    halts.add(ledger, HALT)
    halts.add(ledger, dataclasses.replace(HALT, value="2"))
    halts.add_details(ledger, "h1", {"b": 2})
    assert halts.find(ledger, "h1") == dataclasses.replace(HALT, details={"a": 1, "b": 2})
    halts.rearm(ledger, "h1", AT, "ann", "understood")
    assert halts.newest(ledger, 5)[0].rearmed_by == "ann"
    for unknown in ("h1", "h2"):
        with pytest.raises(InvariantBroken):
            halts.rearm(ledger, unknown, AT, "bob", "again")
    assert halts.find(ledger, "h2") is None
    with pytest.raises(InvariantBroken):
        halts.require(ledger, "h2")


def test_snapshots_are_read_back_as_they_were_and_the_latest_leads(ledger: Ledger) -> None:
    assert (snapshots.latest(ledger), snapshots.first(ledger)) == (None, None)
    account = Account("id", "PA1", "ACTIVE", Decimal("-1.20"), Decimal(9), Decimal(8), Decimal(7), Decimal(2), False, True)
    held = (Position("A", Decimal("-3"), Decimal("1.5"), None), Position("B", Decimal("0.25"), Decimal(2), Decimal(3)))
    snapshots.save(ledger, D, snapshots.Phase.OPEN, account, held[:1], AT)
    snapshots.save(ledger, D, snapshots.Phase.OPEN, account, held, AT)
    snapshots.save(ledger, D, snapshots.Phase.CLOSE, account, (), AT + timedelta(hours=8))
    opened = snapshots.find(ledger, D, snapshots.Phase.OPEN)
    assert opened == snapshots.first(ledger)
    assert opened is not None
    assert (opened.positions, opened.cash, opened.account_id) == (held, Decimal("-1.20"), "id")
    latest = snapshots.latest(ledger)
    assert latest is not None
    assert latest.phase is snapshots.Phase.CLOSE
    assert snapshots.find(ledger, ASOF, snapshots.Phase.OPEN) is None


def test_a_report_of_an_order_replaces_the_one_before_and_knows_its_owner(ledger: Ledger) -> None:
    plans.save(ledger, PLAN, AT)
    mine = BrokerOrder(
        "b1", CID, "AAPL", Side.SELL, OrderType.MARKET, TimeInForce.OPG, OrderStatus.NEW, "new", Decimal(12), Decimal(0), None, AT, AT
    )
    filled = dataclasses.replace(mine, filled_quantity=Decimal(12), filled_average_price=Decimal("1.5"))
    stranger = dataclasses.replace(mine, id="x", client_order_id="by-hand", submitted_at=AT - timedelta(days=1))
    for order in (mine, filled, stranger):
        broker_orders.save(ledger, order, AT)
    assert broker_orders.of_client(ledger, CID) == (filled,)
    assert broker_orders.foreign(ledger) == (stranger,)
    assert broker_orders.since(ledger, AT) == (filled,)


def test_a_file_that_cannot_be_in_wal_mode_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="memory"):
        Ledger(tmp_path / "ledger", vfs="memdb")


def test_what_people_look_at_is_read_back_as_written(ledger: Ledger) -> None:
    rows = (scores.ScoreRow(ASOF, "B", "xs", 0.5, 1, 1.2, "sha"), scores.ScoreRow(ASOF, "A", "xs", -0.5, 2, -1.2, "sha"))
    scores.save(ledger, ASOF, "xs", rows[::-1])
    assert scores.load(ledger, ASOF, "xs") == rows
    aims = (targets.TargetRow(D, "A", 0.1, 0.0, None), targets.TargetRow(D, "B", -0.1, 0.05, 1.5, "Energy"))
    targets.save(ledger, D, aims)
    assert targets.load(ledger, D) == aims
    value = nav.NavRow(D, Decimal("10.10"), Decimal("9.9"), Decimal(1), Decimal(2), Decimal("-3"), AT, fees=Decimal("-0.1"))
    nav.save(ledger, value)
    nav.save(ledger, dataclasses.replace(value, session=ASOF))
    assert [row.session for row in nav.history(ledger, D, 5)] == [ASOF, D]
    assert nav.history(ledger, ASOF, 5)[0].fees == Decimal("-0.1")
    assert (nav.find(ledger, D), nav.find(ledger, date(2020, 1, 2))) == (value, None)
    report = reports.ReportRow(D, "reports/report.md", "f" * 64, AT)
    reports.save(ledger, report)
    assert (reports.find(ledger, D), reports.newest(ledger, 3), reports.find(ledger, ASOF)) == (report, (report,), None)
    alert = Alert(Severity.PAGE, "k", "title", "body", AT)
    alerts.add(ledger, alert, delivered=False)
    assert alerts.newest(ledger, 1) == (alerts.AlertRow(alert, delivered=False),)
    assert (alerts.last_of(ledger, "k"), alerts.last_of(ledger, "other")) == (alerts.newest(ledger, 1)[0], None)


def test_a_tripwire_that_tripped_stays_tripped_for_its_session(ledger: Ledger) -> None:
    calm = tripwires.TripwireRow(D, "NET", "0.01", "0.04", "refuse", False, "", AT)
    tripped = dataclasses.replace(calm, value=None, tripped=True, detail="missing")
    for row in (calm, tripped, calm):
        tripwires.save(ledger, row)
    assert tripwires.of_session(ledger, D) == (tripped,)


def test_only_what_is_exact_goes_in_and_comes_out() -> None:
    assert values.amount(Decimal("1E+3")) == "1000"
    for wrong in (Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(InvariantBroken):
            values.amount(wrong)
    with pytest.raises(InvariantBroken):
        values.stamp(datetime(2024, 3, 12))
    with pytest.raises(InvariantBroken, match="no column"):
        values.stored({1, 2})


@pytest.mark.parametrize(
    ("kind", "held", "what"),
    [
        (str, 1, "text"),
        (str, None, "text"),
        (int, "1", "an integer"),
        (float, "1", "a number"),
        (bool, 2, "0 or 1"),
        (Decimal, "one", "a decimal number"),
        (Decimal, "NaN", "a decimal number"),
        (Decimal, 1.5, "a decimal number"),
        (date, "2024-13-01", "a date"),
        (datetime, "2024-03-12T13:00:00", "an instant"),
        (dict, "[]", "a JSON object"),
        (dict, "{", "a JSON object"),
        (Side, "hold", "one of buy, sell"),
    ],
)
def test_a_column_that_holds_something_else_is_named(ledger: Ledger, kind: type[object], held: object, what: str) -> None:
    """Nothing is guessed: a ledger that another program wrote to is not read."""
    with pytest.raises(LedgerUnusable, match=rf"column c holds .*, not {what}[.] Restore"):
        ledger.read(kind, "SELECT ? AS c", (held,))  # type: ignore[arg-type]


def test_a_query_that_lacks_a_column_is_refused(ledger: Ledger) -> None:
    nav.save(ledger, nav.NavRow(D, *[Decimal(1)] * 5, AT))
    with pytest.raises(InvariantBroken, match="paper_nav"):
        ledger.read(nav.NavRow, "SELECT session FROM nav")


# -- the machine ------------------------------------------------------------


def test_a_third_post_a_falling_fill_and_a_taken_key_are_refused(ledger: Ledger) -> None:
    plans.save(ledger, PLAN, AT)
    with pytest.raises(InvariantBroken, match="already"):
        intents.add(ledger, CLOSING, AT)
    for state in (S.JOURNALED, S.SENDING, S.UNKNOWN, S.ABSENT, S.SENDING, S.UNKNOWN, S.ABSENT):
        entry = intents.move(ledger, CID, state, AT)
    assert entry.posts == 2
    with pytest.raises(InvariantBroken, match="at most twice"):
        intents.move(ledger, CID, S.SENDING, AT)
    intents.move(ledger, CID, S.ACKED, AT, learned=intents.OrderFacts("b1", Decimal(5)))
    intents.record_filled(ledger, CID, Decimal(6), AT)
    with pytest.raises(InvariantBroken, match="fell"):
        intents.record_filled(ledger, CID, Decimal(4), AT)
    with pytest.raises(InvariantBroken, match="no such intent"):
        intents.require(ledger, "tm1-none")
    entry = intents.require(ledger, CID)
    assert (entry.residual, entry.broker_order_id, entry.client_order_id) == (Decimal(6), "b1", CID)


class IntentMachine(RuleBasedStateMachine):
    """Any walk that the table allows is recorded step by step; any other step is refused and leaves no trace."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "ledger")
        plans.save(self.ledger, PLAN, AT)
        self.walk = [S.PLANNED]
        self.posts = 0

    @precondition(lambda self: self.walk[-1] not in FINISHED or MOVES[self.walk[-1]])
    @rule(choice=st.integers(0, 10))
    def step(self, choice: int) -> None:
        allowed = sorted(MOVES[self.walk[-1]])
        to = allowed[choice % len(allowed)]
        if to is S.SENDING and self.posts == 2:
            with pytest.raises(InvariantBroken):
                intents.move(self.ledger, CID, to, AT)
            return
        self.posts += to is S.SENDING
        intents.move(self.ledger, CID, to, AT, f"step {len(self.walk)}")
        self.walk.append(to)

    @rule(to=st.sampled_from(IntentState))
    def stray(self, to: IntentState) -> None:
        if to not in MOVES[self.walk[-1]]:
            with pytest.raises(InvariantBroken):
                intents.move(self.ledger, CID, to, AT)

    @invariant()
    def the_record_is_the_walk(self) -> None:
        recorded = intents.events(self.ledger, CID)
        assert [event.to_state for event in recorded] == self.walk
        assert [event.from_state for event in recorded] == [None, *self.walk[:-1]]
        entry = intents.require(self.ledger, CID)
        assert (entry.state, entry.posts) == (self.walk[-1], self.posts)
        unfinished = {e.client_order_id for e in intents.unfinished(self.ledger)}
        assert (CID in unfinished) is (not entry.state.is_terminal)

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()


IntentMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=20)
test_the_state_machine = IntentMachine.TestCase
