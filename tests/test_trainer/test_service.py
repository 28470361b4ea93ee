"""The training host by itself: what is asked for when, what is recorded, what is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from appliance.schedule.timetable import TIMETABLE as DEVICE
from signals.alerts.alert import LINES_KEPT, Alert, Severity
from signals.errors import BadBars, BadConfig, FixInput, LearnerFailed, Locked, StoreUnreachable
from signals.market.dataset import read_manifest
from signals.market.manifest import PriceBasis
from signals.market.sessions import xnys
from signals.schedule.job_windows import windows
from tests.fakes.lineages import publish_six
from trainer.__main__ import app
from trainer.curation.config import CurationConfig
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.store import FolderObjectStore
from trainer.curation.vendors.mapping import Mapping
from trainer.runs.run_folder import exclusive
from trainer.service import rows, service
from trainer.service.host import ALERTS, Host, Night
from trainer.service.settings import FILE, ServiceSettings, folder_source, no_source, read_settings
from trainer.service.timetable import CADENCE, ROWS, TIMETABLE, Cadence, RowEnd, RowStatus, RunLog, unasked
from trainer.service.timetable import FILE as FILE_OF_RUNS
from trainer.workspace import Workspace, make, read

DAYS = xnys(date(2025, 5, 1), date(2025, 7, 31))
MONDAY, TUESDAY, FRIDAY = date(2025, 6, 9), date(2025, 6, 10), date(2025, 6, 13)


@dataclass
class Inbox:
    alerts: list[Alert] = field(default_factory=list)

    def notify(self, alert: Alert) -> bool:
        self.alerts.append(alert)
        return True


def host_in(tmp_path: Path, **settings: object) -> Host:
    make(tmp_path / "ws")
    (tmp_path / "ws" / "registry").mkdir()
    return Host(read(tmp_path / "ws"), ServiceSettings.model_validate(settings), no_source, Inbox(), "0.1.0")


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return DAYS.session(day).close.replace(hour=hour, minute=minute)


def names(found: Iterable[tuple[date, str]], day: date) -> set[str]:
    return {row for one, row in found if one == day}


def test_a_weekly_row_is_asked_for_from_the_first_night_of_a_week_until_it_ended_well() -> None:
    week = DAYS.between(MONDAY, FRIDAY)
    fresh = unasked(week, set(), DAYS, CADENCE)
    assert all(names(fresh, day) == {"challenge"} for day in week), "manual rows alone are not asked for"
    done = unasked(week, {(MONDAY, "retrain")}, DAYS, CADENCE)
    assert names(done, MONDAY) == {"challenge"} and all("retrain" in names(done, day) for day in week[1:])
    late = unasked(week, {(TUESDAY, "retrain")}, DAYS, CADENCE)
    assert "retrain" not in names(late, MONDAY) | names(late, TUESDAY) and "retrain" in names(late, FRIDAY)
    assert "retrain" not in names(unasked([date(2025, 6, 16)], {(FRIDAY, "retrain")}, DAYS, CADENCE), date(2025, 6, 16))


def test_rows_follow_one_another_at_their_hours_and_end_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, ran, clock = host_in(tmp_path), [], [at(FRIDAY, 20, 44)]
    done = {name: lambda evening, host, name=name: ran.append((name, evening.asof)) or RowEnd(RowStatus.DONE, "well") for name in ROWS}
    monkeypatch.setattr(service, "ENTRIES", done)

    def look() -> None:
        service.look(host, lambda: clock[0], lambda row, session: service.perform(row, session, host, lambda: clock[0]) is not None)

    look()
    assert ran == [], "16:44 in New York: nothing is due"
    clock[0] = at(FRIDAY, 20, 50)
    look()
    assert ran == [(name, FRIDAY) for name in ("update", "audit", "publish", "score", "evaluate")]
    clock[0] += timedelta(hours=4)
    look()
    look()
    assert [name for name, _ in ran[5:]] == ["retrain", "prune"]
    assert [alert.title for alert in host.notifier.alerts] == ["retrain of 2025-06-16"]  # type: ignore[attr-defined]


def test_no_training_begins_near_the_orders_of_a_device_on_the_same_machine() -> None:
    """From an hour before the device plans to its evening's first job, before an early close too."""
    for day in (MONDAY, date(2025, 7, 3)):
        device = {window.job: window for window in windows(day, DAYS, DEVICE)}
        quiet = device["plan"].at - timedelta(hours=1), DAYS.session(day).close
        for window in windows(day, DAYS, TIMETABLE):
            if window.job in ("retrain", "challenge"):
                assert window.deadline <= quiet[0] and window.at > DAYS.session(DAYS.previous(day)).close


def test_what_failed_says_what_to_do_and_what_cannot_be_done_now_is_tried_again_until_it_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, clock, monday = host_in(tmp_path), [at(FRIDAY, 21)], date(2025, 6, 16)
    monkeypatch.setattr(rows, "ENTRIES", {})

    def away(evening: Night, host: Host) -> RowEnd:
        raise StoreUnreachable("the vendor is silent")

    def broken(evening: Night, host: Host) -> RowEnd:
        raise LearnerFailed("no convergence", fix="Lower the rate")

    monkeypatch.setattr(service, "ENTRIES", {"update": away, "retrain": broken})
    with pytest.raises(StoreUnreachable):
        service.perform("update", monday, host, lambda: clock[0])
    assert host.log.records() == ()
    end = service.perform("retrain", monday, host, lambda: clock[0])
    assert (end.status, end.fix) == (RowStatus.FAILED, "Lower the rate")
    clock[0] = at(monday, 14)  # 10:00 in New York: every deadline has passed
    service.look(host, lambda: clock[0], lambda row, session: False)
    assert {str(one["status"]) for one in host.log.records() if one["row"] == "update"} == {"missed"}
    told = [(alert.severity, alert.title) for alert in host.notifier.alerts]  # type: ignore[attr-defined]
    assert (Severity.WARN, "retrain of 2025-06-16 failed") in told and (Severity.WARN, "update of 2025-06-16 missed") in told
    listed = CliRunner().invoke(app, ["runs", "--registry", str(host.registry), "--failed"])
    assert "no convergence" in listed.output and "what to do: Lower the rate" in listed.output


def test_a_record_that_was_changed_is_refused(tmp_path: Path) -> None:
    log, now = RunLog(tmp_path), datetime(2025, 6, 13, tzinfo=UTC)
    for name in ("update", "audit"):
        log.append(FRIDAY, name, now, now, RowEnd(RowStatus.FAILED, "not well"))
    path = tmp_path / "service.jsonl"
    path.write_bytes(path.read_bytes().replace(b"failed", b"done", 1))
    with pytest.raises(FixInput, match="removed, changed or put in"):
        log.records()


def test_settings_name_rows_that_there_are(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("cadence: {retrian: weekly}\n")
    with pytest.raises(BadConfig, match="no row retrian"):
        read_settings(tmp_path)
    (tmp_path / FILE).write_text("cadence: {challenge: weekly}\nsource: {kind: folder, path: in}\n")
    found = read_settings(tmp_path)
    assert found.cadence == {"challenge": Cadence.WEEKLY} and found.source.path == tmp_path / "in"
    (tmp_path / FILE).write_text("news: [update, retrian]\n")
    with pytest.raises(BadConfig, match="no row retrian"):
        read_settings(tmp_path)


@pytest.mark.parametrize("row", ROWS)
def test_a_person_is_notified_of_every_row_that_was_asked_for_and_of_a_fault_always(tmp_path: Path, row: str) -> None:
    ends = [RowEnd(status, "as it was", "Do it") for status in RowStatus]
    told = {}
    for name, news in (("none", ()), ("all", tuple(ROWS))):
        host = host_in(tmp_path / name, news=news)
        for end in ends:
            service.record(row, FRIDAY, end, host, at(FRIDAY, 21), at(FRIDAY, 22))
        told[name] = [(alert.severity, alert.body) for alert in host.notifier.alerts]  # type: ignore[attr-defined]
    faults = [(Severity.WARN, "as it was. Do it")] * 2
    assert told["none"] == faults
    assert told["all"] == [(Severity.INFO, "done: as it was"), (Severity.INFO, "refused: as it was"), *faults]


def test_a_recipe_of_the_workspace_says_how_often_its_lineage_is_trained_again(tmp_path: Path) -> None:
    host = host_in(tmp_path)
    assert host.cadence["retrain"] is Cadence.WEEKLY
    (tmp_path / "ws" / "recipes" / "equities_xs.yml").write_text("cadence: manual\n")
    assert host.cadence["retrain"] is Cadence.MANUAL


def test_a_folder_of_deliveries_is_refused_where_it_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FixInput, match="folder of deliveries"):
        folder_source(tmp_path / "away")(tmp_path, FRIDAY, FRIDAY, set())


def test_only_what_a_training_makes_again_is_removed_and_nothing_that_is_cited(tmp_path: Path) -> None:
    for name in ("2025-01-01-a", "2025-01-02-b", "2025-01-03-c", "2025-01-04-d"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("evidence.json", "model.onnx", "report.html", "training_cfg.json", "oof.parquet", "model.pkl"):
            (folder / file).write_bytes(b"x" * 100)
    (tmp_path / ".2025-01-05-e.unfinished").mkdir()
    (tmp_path / ".2025-01-05-e.unfinished" / "oof.parquet").write_bytes(b"x" * 50)
    (tmp_path / ".2025-01-06-f.unfinished").mkdir()
    for left, touched in ((".2025-01-05-e.unfinished", 25), (".2025-01-06-f.unfinished", 23)):
        os.utime(tmp_path / left, ((at(FRIDAY, 21) - timedelta(hours=touched)).timestamp(),) * 2)
    assert rows.thin(tmp_path, 2, {"2025-01-01-a"}, at(FRIDAY, 21)) == 250
    assert [path.name for path in tmp_path.glob(".*")] == [".2025-01-06-f.unfinished"], "somebody may be writing it"
    assert (tmp_path / "2025-01-01-a" / "oof.parquet").exists(), "a published bundle stands on it"
    assert sorted(path.name for path in (tmp_path / "2025-01-02-b").iterdir()) == [
        "evidence.json",
        "model.onnx",
        "report.html",
        "training_cfg.json",
    ]
    assert all((tmp_path / name / "oof.parquet").exists() for name in ("2025-01-03-c", "2025-01-04-d"))


def test_the_file_of_alerts_keeps_its_newest_lines(tmp_path: Path) -> None:
    host = host_in(tmp_path)
    alerts = host.registry / ALERTS
    for lines, kept in ((2 * LINES_KEPT, 2 * LINES_KEPT), (2 * LINES_KEPT + 1, LINES_KEPT)):
        alerts.write_text("".join(f"{n}\n" for n in range(lines)))
        assert rows.prune(Night(FRIDAY, FRIDAY, at(FRIDAY, 21)), host).status is RowStatus.DONE
        assert alerts.read_text().splitlines() == [str(n) for n in range(lines - kept, lines)]


def test_one_row_runs_at_a_time_whoever_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    with exclusive(tmp_path / "registry" / "service" / "row", "row"):
        done = CliRunner().invoke(app, ["run", "--row", "prune"])
    assert isinstance(done.exception, Locked) and not (tmp_path / "registry" / FILE_OF_RUNS).exists()
    assert CliRunner().invoke(app, ["run", "--row", "prune"]).exit_code == 0 and (tmp_path / "registry" / FILE_OF_RUNS).exists()


def delivery(folder: Path, name: str, day: str, close: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "bars.csv").write_text(f"date,symbol,open,high,low,close,volume\n{day},AAA,{close},{close},{close},{close},1000\n")


def test_a_delivery_that_fails_stops_those_after_it_and_those_before_it_count_once(tmp_path: Path) -> None:
    """What came before the bad one is in the dataset though nobody noted it: taken again, it changes nothing."""
    data, inbox, today = tmp_path / "data", tmp_path / "in", date(2025, 6, 16)
    first = tmp_path / "first.csv"
    first.write_text("date,symbol,open,high,low,close,volume\n2025-06-09,AAA,10,10,10,10,1000\n2025-06-10,AAA,11,11,11,11,1000\n")
    terms = DeliveryTerms(Mapping(), PriceBasis.RAW, CurationConfig(min_history=1), today=today)
    ingest(DeliveryFiles(first), data, terms)
    delivery(inbox, "1", "2025-06-11", "12")
    delivery(inbox, "2", "2025-06-12", "twelve")
    delivery(inbox, "3", "2025-06-13", "14")
    source = folder_source(inbox)
    for version in (2, 2):
        with pytest.raises(BadBars, match=r"bars\.csv"):
            source(data, FRIDAY, today, set())
        assert (read_manifest(data).version, read_manifest(data).last) == (version, date(2025, 6, 11))
    (inbox / "2" / "bars.csv").write_text((inbox / "2" / "bars.csv").read_text().replace("twelve", "13"))
    assert source(data, FRIDAY, today + timedelta(days=1), set()) == ("1", "2", "3")
    assert (read_manifest(data).version, read_manifest(data).last) == (4, FRIDAY)


def test_nothing_is_trained_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_in(tmp_path)
    monkeypatch.setattr(rows, "free_share", lambda folder: 0.02)
    for row in ("retrain", "challenge"):
        end = service.perform(row, date(2025, 6, 16), host, lambda: at(FRIDAY, 21))
        assert end.status is RowStatus.FAILED and "2% of the disk is free, 3% must be" in end.summary
    end = service.perform("prune", date(2025, 6, 16), host, lambda: at(FRIDAY, 21))
    assert end.status is RowStatus.FAILED and "Free space" in end.fix


def test_a_workspace_is_needed_and_an_unknown_row_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run", "--row", "update"])
    assert isinstance(done.exception, FixInput) and "no workspace" in done.exception.what
    make(tmp_path)
    done = CliRunner().invoke(app, ["run", "--row", "updaet"])
    assert isinstance(done.exception, FixInput) and "no row 'updaet'" in done.exception.what
    done = CliRunner().invoke(app, ["run", "--row", "retrain"])
    assert done.exit_code == 0 and "no lineage has begun" in done.output
    [record] = json.loads(CliRunner().invoke(app, ["runs", "--registry", "registry", "--json"]).stdout)["runs"]
    assert (record["row"], record["status"]) == ("retrain", "refused")
    assert isinstance(read(tmp_path), Workspace)


def test_the_calendar_reaches_beyond_the_end_of_any_month() -> None:
    for day in (date(2025, 1, 31), date(2025, 2, 28), date(2025, 12, 31), date(2026, 8, 31)):
        now = datetime(day.year, day.month, day.day, 23, tzinfo=UTC)
        calendar = service.calendar_at(now)
        assert calendar.next(calendar.next(calendar.last_closed(now))) > day


def test_superseded_bundles_leave_the_store_and_nothing_that_a_pointer_or_a_rollback_needs(tmp_path: Path) -> None:
    """Of six: the accepted one, the newest of its lineage, and what the pointer names stay, and the newest by number."""
    store, registry = FolderObjectStore(tmp_path / "store"), tmp_path / "registry"
    publish_six(store, registry)
    before = store.names("")
    assert rows.thin_store(store, registry, 6) == () and store.names("") == before
    removed = rows.thin_store(store, registry, 1)
    assert removed == (f"equities_xs/champion/2-{2:016x}", f"equities_xs/champion/4-{4:016x}")
    kept = {name.split("/")[2][0] for name in store.names("equities_xs/champion/") if name.count("/") == 3}
    assert kept == {"1", "3", "5", "6"} and rows.thin_store(store, registry, 1) == ()
