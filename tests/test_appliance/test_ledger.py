"""The ledger: what it promises about files, transactions and the walk of an order."""

from __future__ import annotations

import re
import tempfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import apsw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.ledger import AccessMode, Ledger, alerts, arms, database, events, intents, nav, plans, scores
from appliance.ledger.intents import FINISHED, MOVES, IntentState
from appliance.system.ports import Alert, Severity
from signals.errors import InvariantBroken, LedgerDamaged, LedgerUnusable, Locked
from tests.fakes.frozen_plan import AT, CID, CLOSING, PLAN, D
from tests.fakes.full_disk import LimitedDisk, Refusal

NOW = database.SCHEMA_VERSION
S = IntentState


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


def test_a_file_that_cannot_be_in_wal_mode_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="memory"):
        Ledger(tmp_path / "ledger", vfs="memdb")


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
