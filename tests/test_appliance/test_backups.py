"""D13, F12: a backup counts when it was read back; cut off at any point, the one before it is whole."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.backup.copies import COPY, PREFIX, RECORD, Backup, examine, fetch, listed, retained, retire, shorter, take
from appliance.backup.restore import put_back, require_free
from appliance.backup.vault import FolderVault
from appliance.config import BackupConfig
from appliance.context import Deps
from appliance.controls.latch import Latch
from appliance.jobs.backup import backup
from appliance.ledger import AccessMode, Ledger
from appliance.ledger.database import SCHEMA_VERSION
from appliance.system.clock import VirtualClock
from appliance.system.state_folder import DurableFs, StateFolder
from signals.errors import BadBackup, FixInput, StoreUnreachable
from tests.fakes.broker import Crash, FakeBroker, Inbox, deps_of, weekdays

AT = datetime(2026, 3, 4, 21, 50, tzinfo=UTC)
HALF_A_RECORD = 4  # no place that keeps its word has one; a person looks at it
KEEP = BackupConfig(to="elsewhere")


class Fragile(FolderVault):
    """A vault under which the process dies, or which spoils what it is given, at its n-th call from now."""

    dies_at = 0
    spoil: Callable[[bytes], bytes] | None = None

    def _count(self) -> None:
        self.dies_at -= 1
        if self.dies_at == 0:
            raise Crash

    def names(self, prefix: str) -> tuple[str, ...]:
        self._count()
        return super().names(prefix)

    def read(self, name: str) -> bytes:
        self._count()
        return super().read(name)

    def fetch(self, name: str, to: Path) -> str:
        self._count()
        return super().fetch(name, to)

    def pieces(self, name: str, start: int = 0) -> Iterator[bytes]:
        self._count()
        return super().pieces(name, start)

    def remove(self, name: str) -> None:
        self._count()
        super().remove(name)

    def put(self, name: str, path: Path) -> None:
        self.dies_at -= 1
        content = path.read_bytes()
        if self.dies_at == 0:  # the worst place there is: half an object under its own name
            self._path(name).parent.mkdir(parents=True, exist_ok=True)
            self._path(name).write_bytes(content[: len(content) // 2])
            raise Crash
        super().put(name, path)
        if self.spoil is not None:
            self._path(name).write_bytes(self.spoil(content))


@pytest.fixture
def vault(tmp_path: Path) -> Fragile:
    (tmp_path / "elsewhere").mkdir()
    return Fragile(tmp_path / "elsewhere")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as found:
        found.write_meta("said", "first")
        yield found


def taken(ledger: Ledger, vault: FolderVault, tmp_path: Path, at: datetime = AT) -> Backup:
    return take(ledger, vault, tmp_path / "copies", at=at, code_version="test")


def said(vault: FolderVault, one: Backup, tmp_path: Path) -> str:
    with fetch(vault, one, tmp_path / "copies") as plain, Ledger(plain) as copy:
        return copy.read_meta("said") or ""


def test_a_backup_is_the_ledger_of_its_moment_with_what_its_journal_still_held(ledger: Ledger, vault: Fragile, tmp_path: Path) -> None:
    one = taken(ledger, vault, tmp_path)
    ledger.write_meta("said", "second")
    two = taken(ledger, vault, tmp_path, AT + timedelta(days=1))
    assert listed(vault) == (one, two)
    assert (said(vault, one, tmp_path), said(vault, two, tmp_path)) == ("first", "second")
    assert one.rows["meta"] == ledger.value("SELECT count(*) FROM meta") and one.name == "20260304T215000Z"
    assert one.schema == SCHEMA_VERSION
    assert not any((tmp_path / "copies").iterdir())
    unpacked = gzip.decompress((tmp_path / "elsewhere" / two.copy).read_bytes())  # no program of ours is needed
    (tmp_path / "by-hand.sqlite").write_bytes(unpacked)
    assert examine(tmp_path / "by-hand.sqlite").rows == two.rows


def test_a_backup_is_taken_while_another_process_writes(ledger: Ledger, vault: Fragile, tmp_path: Path) -> None:
    with Ledger(ledger.path) as other, other.transaction():
        other.write_meta("said", "not committed")
        assert said(vault, taken(ledger, vault, tmp_path), tmp_path) == "first"


@pytest.mark.parametrize("call", range(1, 12))
def test_killed_in_mid_backup_the_earlier_one_is_whole_and_the_next_run_tidies_up(
    ledger: Ledger, vault: Fragile, tmp_path: Path, call: int
) -> None:
    """F12: at every call of the vault, a half-written object under its own name included."""
    earlier = taken(ledger, vault, tmp_path)
    ledger.write_meta("said", "second")
    keep = BackupConfig(to="elsewhere", daily=1, monthly=0)
    vault.dies_at = call
    try:
        retire(vault, taken(ledger, vault, tmp_path, AT + timedelta(days=1)), keep)
        died = False
    except Crash:
        died = True
    vault.dies_at = 0
    whole = listed(vault)
    assert whole and {said(vault, one, tmp_path) for one in whole} <= {"first", "second"}
    assert earlier in whole or whole[-1].at > AT  # it went only after a newer one was read back
    assert died == (call <= 10)  # the last row shows that the sweep went past the end
    third = taken(ledger, vault, tmp_path, AT + timedelta(days=2))
    retire(vault, third, keep)
    unread = [f"{PREFIX}/20260305T215000Z/{name}" for name in (RECORD, COPY)] if call == HALF_A_RECORD else []
    assert vault.names(PREFIX) == (*unread, *(f"{PREFIX}/{third.name}/{name}" for name in (RECORD, COPY)))
    assert said(vault, third, tmp_path) == "second"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda content: content[:9] + b"x" + content[10:], "not what its record says"),  # the header's system
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "cannot be unpacked"),
        (lambda content: content[: len(content) // 2], "cannot be unpacked"),
        (lambda content: b"", "cannot be unpacked"),
        (lambda content: gzip.compress(b"another"), "not what its record says"),
    ],
)
def test_a_place_that_spoils_what_it_keeps_holds_no_backup(
    ledger: Ledger, vault: Fragile, tmp_path: Path, spoil: Callable[[bytes], bytes], words: str
) -> None:
    earlier = taken(ledger, vault, tmp_path)
    vault.spoil = spoil
    with pytest.raises(BadBackup, match=words):
        taken(ledger, vault, tmp_path, AT + timedelta(days=1))
    vault.spoil = None
    assert listed(vault) == (earlier,) and len(vault.names(PREFIX)) == 2


def test_a_backup_that_decays_later_is_refused_and_named(ledger: Ledger, vault: Fragile, tmp_path: Path) -> None:
    one = taken(ledger, vault, tmp_path)
    packed = tmp_path / "elsewhere" / one.copy
    good = packed.read_bytes()
    packed.write_bytes(good[:-9] + b"x" + good[-8:])
    with pytest.raises(BadBackup, match="not what its record says"), fetch(vault, one, tmp_path / "copies"):
        pass
    for rows, words in (({**one.rows, "meta": 99}, "other rows"), (one.rows, "unpacks to something else")):
        digest = one.ledger_sha256 if words == "other rows" else "0" * 64
        lie = Backup(**{**vars(one), "rows": rows, "ledger_sha256": digest})
        packed.write_bytes(good)
        with pytest.raises(BadBackup, match=words), fetch(vault, lie, tmp_path / "copies"):
            pass
    record = tmp_path / "elsewhere" / PREFIX / one.name / RECORD
    record.write_text("not json")
    assert listed(vault) == ()
    two = taken(ledger, vault, tmp_path, AT + timedelta(days=400))
    assert retire(vault, two, BackupConfig(to="x", daily=1, monthly=0)) == ()  # a person looks at what cannot be read


def test_a_copy_that_is_no_whole_ledger_is_refused(tmp_path: Path, ledger: Ledger) -> None:
    copy = tmp_path / "copy"
    for content in (b"", b"no database at all, but long enough to be looked at" * 40):
        copy.write_bytes(content)
        with pytest.raises(BadBackup, match="no ledger"):
            examine(copy)
    connection = apsw.Connection(str(copy.with_name("other")))
    connection.execute("CREATE TABLE meta (key TEXT, value TEXT)")
    connection.close()
    with pytest.raises(BadBackup, match="no ledger"):
        examine(copy.with_name("other"))


def test_a_disk_that_is_not_mounted_is_no_empty_place(ledger: Ledger, tmp_path: Path) -> None:
    vault = FolderVault(tmp_path / "not-mounted")
    with pytest.raises(StoreUnreachable, match="not there"):
        taken(ledger, vault, tmp_path)
    assert not (tmp_path / "not-mounted").exists() and not (tmp_path / "copies").exists()


def test_backups_that_this_user_may_not_read_are_not_taken_for_none(
    ledger: Ledger, vault: Fragile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new card may give the service another number, and the copies belong to the old one."""
    one = taken(ledger, vault, tmp_path)
    place, look = tmp_path / "elsewhere/ledger", os.scandir

    def scandir(path: str) -> object:
        if Path(path) == place:
            raise PermissionError(13, "Permission denied", str(place))
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(StoreUnreachable, match="whose files these are") as refused:
        listed(vault)
    assert str(place) in str(refused.value)
    monkeypatch.undo()
    assert listed(vault) == (one,)


def test_a_place_below_a_folder_of_another_user_is_unreachable_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is there cannot even be asked: neither an empty place nor a fault of this program."""
    place = tmp_path / "theirs" / "backups"

    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refused)
    vault = FolderVault(place)
    for ask in (lambda: vault.names("ledger"), lambda: vault.put("ledger/one", tmp_path / "file")):
        with pytest.raises(StoreUnreachable, match="Permission denied"):
            ask()


def record_of(day: date) -> Backup:
    at = datetime.combine(day, time(21, 50), UTC)
    return Backup(f"{at:%Y%m%dT%H%M%SZ}", at, "", 1, "", "", {}, 1, "")


def test_retention_keeps_days_and_the_last_of_each_month_worked_by_hand() -> None:
    days = [date(2026, 1, 30), date(2026, 1, 31), date(2026, 2, 2), date(2026, 2, 27), date(2026, 3, 2), date(2026, 3, 3)]
    found = retained([record_of(day) for day in days], BackupConfig(to="x", daily=1, monthly=2))
    assert [one.at.date() for one in found] == [date(2026, 2, 27), date(2026, 3, 3)]
    assert [one.at.date() for one in retained([record_of(d) for d in days], BackupConfig(to="x", daily=2, monthly=0))] == days[-2:]


@given(
    days=st.lists(st.dates(date(2024, 1, 1), date(2027, 1, 1)), min_size=1, unique=True),
    daily=st.integers(1, 20),
    monthly=st.integers(0, 15),
)
def test_the_newest_always_stays_and_what_stays_is_bounded(days: list[date], daily: int, monthly: int) -> None:
    found = retained([record_of(day) for day in days], BackupConfig(to="x", daily=daily, monthly=monthly))
    assert found[-1].at.date() == max(days) and len(found) <= daily + monthly
    assert retained(found, BackupConfig(to="x", daily=daily, monthly=monthly)) == found


def test_a_ledger_that_lost_its_past_retires_nothing(vault: Fragile, tmp_path: Path, ledger: Ledger) -> None:
    keep = BackupConfig(to="x", daily=1, monthly=0)
    with ledger.transaction():
        ledger.execute("INSERT INTO activities VALUES ('a', 'DIV', 'AAA', '2026-03-03', NULL, NULL, NULL, '1', '', '', '', '')")
    full = taken(ledger, vault, tmp_path)
    with Ledger(tmp_path / "begun-again.sqlite") as empty:
        bare = taken(empty, vault, tmp_path, AT + timedelta(days=1))
        assert shorter(bare, listed(vault)) == full and shorter(full, listed(vault)) is None
        assert retire(vault, bare, keep) == () and listed(vault) == (full, bare)
    again = taken(ledger, vault, tmp_path, AT + timedelta(days=2))
    assert retire(vault, again, keep) == (full.name, bare.name)


# -- the job -------------------------------------------------------------------------------------------------------

CALENDAR = weekdays(date(2026, 3, 2), 15)
D = date(2026, 3, 4)


@pytest.fixture
def deps(tmp_path: Path, ledger: Ledger) -> Deps:
    clock = VirtualClock(CALENDAR.session(D).at(time(16, 50)))
    found = deps_of(tmp_path, FakeBroker(clock, CALENDAR, {}), clock, CALENDAR, DurableFs(), ledger, Inbox())  # type: ignore[arg-type]
    return Deps(**{**vars(found), "config": found.config.model_copy(update={"backup": KEEP})})


def test_the_job_says_what_it_kept_and_lets_old_ones_go(deps: Deps, vault: Fragile, tmp_path: Path) -> None:
    for back in (45, 40, *range(16, 0, -1)):  # 18 January, 23 January, 16 February to 3 March
        taken(deps.ledger, vault, tmp_path, deps.clock.now() - timedelta(days=back))
    done = backup(D, deps)
    left = listed(vault)
    assert left[-1].name == done.figures["name"] and left[-1].at == deps.clock.now()
    assert len(left) == 15 and "4 old ones deleted" in done.summary  # fourteen nights, and the last of January
    assert left[0].at.date() == date(2026, 1, 23)


def test_without_a_place_the_job_says_so_and_ends_well(deps: Deps, tmp_path: Path) -> None:
    bare = Deps(**{**vars(deps), "config": deps.config.model_copy(update={"backup": BackupConfig()})})
    assert "no place for backups is set" in backup(D, bare).summary


def test_a_place_that_is_gone_leaves_the_job_open_for_another_attempt(deps: Deps) -> None:
    with pytest.raises(StoreUnreachable, match="not there"):
        backup(D, deps)


# -- the way back --------------------------------------------------------------------------------------------------


def test_a_restored_ledger_replaces_nothing_unasked_and_ends_halted(ledger: Ledger, vault: Fragile, tmp_path: Path) -> None:
    one, folder, latch = taken(ledger, vault, tmp_path), StateFolder(tmp_path), Latch(tmp_path, DurableFs())
    latch.arm(by="ana", at=AT)
    ledger.write_meta("said", "after the backup")  # in the journal alone, as after a power cut
    with pytest.raises(FixInput, match="never put over it unasked"):
        require_free(folder, replace=False)
    with fetch(vault, one, folder.copies) as plain:
        record = put_back(folder, plain, one, latch, AT + timedelta(hours=1))
    assert not latch.read().is_armed and record.name == "RESTORED"
    with Ledger(folder.ledger, AccessMode.READ) as back:
        assert back.read_meta("said") == "first" and (back.read_meta("restored_from") or "").startswith(one.name)
    (aside,) = [path for path in tmp_path.glob("ledger.sqlite.replaced-*") if not path.name.endswith(("-wal", "-shm"))]
    with Ledger(aside) as old:
        assert old.read_meta("said") == "after the backup"


@pytest.mark.parametrize("damage", ["gone", "torn", "no journal"])
def test_a_lost_or_damaged_ledger_is_restored_and_no_stale_journal_meets_the_new_one(
    ledger: Ledger, vault: Fragile, tmp_path: Path, damage: str
) -> None:
    one, folder = taken(ledger, vault, tmp_path), StateFolder(tmp_path)
    ledger.write_meta("said", "after the backup")
    wal = tmp_path / "ledger.sqlite-wal"
    journal = wal.read_bytes()
    ledger.close()
    if damage == "gone":
        folder.ledger.unlink()
        wal.write_bytes(journal)
    elif damage == "torn":
        folder.ledger.write_bytes(folder.ledger.read_bytes()[:5_000])
        wal.write_bytes(journal)
    with fetch(vault, one, folder.copies) as plain:
        put_back(folder, plain, one, Latch(tmp_path, DurableFs()), AT)
    with Ledger(folder.ledger) as back:
        assert back.read_meta("said") == "first" and back.integrity() == "ok"
