"""D13: the restore drill. A device loses its ledger and goes on from last night's copy, after a person looked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]


def keeps_backups(bench: Workbench, place: Path) -> None:
    place.mkdir()
    path = bench.state / "config.yml"
    settings = yaml.safe_load(path.read_text()) | {"backup": {"to": str(place)}}
    path.write_text(yaml.safe_dump(settings))


def test_a_lost_ledger_comes_back_from_last_night_and_the_device_waits_for_a_person(
    make: Make, published: Published, tmp_path: Path
) -> None:
    bench, (first, second) = make(published), published.sessions(2)
    assert bench("backups").code == 2  # no place is set
    keeps_backups(bench, tmp_path / "elsewhere")
    assert bench("arm", "--yes").code == 0
    assert bench("run-day", "--session", str(first)).code == 0
    before = bench.tables()
    ((summary,),) = bench.rows("SELECT summary FROM job_runs WHERE job = 'backup'")
    assert "read back" in summary
    assert bench("restore", "--yes").code == 2  # there is a ledger
    assert bench("restore", "--name", "20010101T000000Z", "--replace", "--yes").code == 2
    assert bench.tables() == before
    held = [row[0] for row in bench.rows("SELECT DISTINCT symbol FROM positions WHERE phase = 'close' ORDER BY symbol")]
    for path in bench.state.glob("ledger.sqlite*"):
        path.unlink()
    assert bench("run-day", "--session", str(second)).code == 4
    assert not (bench.state / "ledger.sqlite").exists()  # an armed device halts, and begins no new one
    codes = [bench("job", job, "--session", str(second)).code for job in ("pull", "score", "reconcile_morning", "backup")]
    assert (codes[2], codes[3]) == (4, 0)  # a halted device begins an empty one, beside an account that is not
    refused = bench("adopt", "--symbols", "NOBODY", "--yes")
    assert refused.code == 2 and "the account holds" in refused.err
    kept = bench("keep", "--symbols", held[0], "--yes", "--json")
    assert [row["symbol"] for row in kept.json["positions"]] == held[:1] and float(kept.json["value"]) != 0
    listed = bench("adopt", "--yes")
    assert listed.code == 0 and f"{len(held) - 1} positions, " in listed.out and held[1] in listed.out
    assert bench("adopt", "--yes").code == bench("keep", "--yes").code == 2  # nothing is left to decide about

    assert ("the ledger holds less than an earlier backup",) in bench.rows("SELECT title FROM alerts")
    unsure = bench("restore", "--replace", "--yes")
    assert unsure.code == 2 and "the newest backup holds less than an earlier one" in unsure.err

    good = bench("backups", "--json").json["backups"][0]["name"]
    done = bench("restore", "--name", good, "--replace", "--yes", "--json")
    assert done.code == 0, done.err
    assert bench("status").code == 2
    latch = json.loads((bench.state / "latch.json").read_text())
    assert latch["name"] == "LEDGER_DAMAGED" and "RESTORED" in latch["later"][-1]  # the first halt goes on standing
    assert any("OTHER_DEVICE" in later for later in latch["later"])
    assert ("HALTED by RESTORED",) in bench.rows("SELECT title FROM alerts")
    after = bench.tables()
    for table in ("plans", "intents", "intent_events", "fills", "activities", "positions", "accounts", "nav", "scores"):
        assert after[table] == before[table], table
    assert ("backup", "running") in [row[1:3] for row in after["job_runs"]]  # the copy was made while the job ran
    halt = latch["halt_id"]
    assert bench("run-day", "--session", str(second)).code == 4
    assert bench("arm", "--yes").code == 2  # what halted is not cleared by a first arming
    again = bench("rearm", "--halt-id", halt, "--reason", "the books agree", "--yes")
    assert again.code == 0, again.err
    assert bench("status", "--json").json["armed"]
    listed = bench("backups", "--json").json["backups"]
    assert [row["session"] for row in listed] == [str(first), str(second)]


def test_a_backup_of_before_a_traded_day_meets_the_brokers_books_and_ends_only_by_a_persons_word(
    make: Make, published: Published, tmp_path: Path
) -> None:
    """A day lies between the backup and the loss: its orders count as not ours, and nothing is sent a second time."""
    bench, (first, second, third) = make(published), published.sessions(3)
    keeps_backups(bench, tmp_path / "elsewhere")
    assert bench("arm", "--yes").code == 0
    assert bench("run-day", "--session", str(first)).code == 0
    name = bench("backups", "--json").json["backups"][0]["name"]
    assert bench("run-day", "--session", str(second)).code == 0
    held = bench.rows("SELECT symbol, quantity FROM positions WHERE session = ? AND phase = 'close'", str(second))
    done = bench("restore", "--name", name, "--replace", "--yes", "--json")
    assert done.code == 0, done.err
    halt = done.json["halt_id"]
    refused = bench("rearm", "--halt-id", halt, "--reason", "a day is missing", "--yes")
    if refused.code:  # orders that nothing of ours explains
        assert refused.code == 4 and "another device" in refused.err
        assert bench("accept", "--session", str(third), "--reason", "the lost day", "--yes").code == 0
        assert bench("rearm", "--halt-id", halt, "--reason", "the lost day", "--yes").code == 0
    assert bench.rows("SELECT count(*) FROM broker_orders WHERE is_foreign = 1") != [(0,)]
    opened = dict(bench.rows("SELECT symbol, quantity FROM positions WHERE session = ?", str(third)))
    assert opened == dict(held)
    assert bench("run-day", "--session", str(second)).code == 2  # the past is never traded again


def test_a_timer_takes_a_backup_only_where_the_night_has_none(make: Make, published: Published, tmp_path: Path) -> None:
    bench = make(published)
    assert bench("backup").code == 2
    unwanted = bench("backup", "--if-older-than", "20")
    assert unwanted.code == 0 and "No place for backups is set" in unwanted.out  # the default: no failure every night
    keeps_backups(bench, tmp_path / "elsewhere")
    taken = bench("backup", "--if-older-than", "20", "--json")
    assert taken.code == 0 and taken.json["taken"]["rows"] > 0
    assert bench("backup", "--if-older-than", "20", "--json").json["taken"] is None
    (tmp_path / "elsewhere").rename(tmp_path / "unplugged")
    gone = bench("backup")
    assert gone.code == 5 and "not there" in gone.err
