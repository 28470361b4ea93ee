"""`appliance doctor`: each check says nothing about a well device, and names what is wrong with how to fix it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path

import pytest
import yaml

from appliance.config import Venue
from appliance.controls.machine import MachineReading
from appliance.controls.tripwires import NO_SENSOR, Figure
from appliance.doctor import CHECKS, DeviceProbe, Finding, FindingState, examine, try_addresses, worst
from appliance.doctor.examination import Check
from appliance.ledger import Ledger, alerts
from appliance.system.ports import Alert, Severity
from appliance.system.state_folder import StateFolder, exclusive, only_daemon
from execution.brokers.base import Account
from signals.errors import BrokerUnreachable
from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_store
from tests.fakes.wire import Say, wire

NOW = datetime(2026, 3, 4, 15, tzinfo=UTC)
WELL = MachineReading(0.5, NO_SENSOR, 0.0)
ACTIVE = Account("id", "PA1", "ACTIVE", Decimal(1), Decimal(1), Decimal(1), Decimal(1), Decimal(2), False, True)


class Still:
    """A machine that always answers the same."""

    source = "a test"

    def __init__(self, free: Figure = 0.5, heat: Figure = NO_SENSOR, power: Figure = 0.0) -> None:
        self._reading = MachineReading(free, heat, power)

    def read(self, state: Path) -> MachineReading:
        return self._reading


class OnPaper(DeviceProbe):
    """The same device at a broker that others run; what that broker answers is given."""

    answer: Account | Exception = ACTIVE

    @property
    def is_paper(self) -> bool:
        return True

    @cached_property
    def addresses(self) -> tuple[str, str]:
        return "", "https://paper"

    def account(self) -> Account:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(scope="module")
def well(published_once: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A device that has lived one session, with everything that it needs."""
    root = tmp_path_factory.mktemp("well")
    bench, store = Workbench(root / "device"), published_once
    asked = ("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust))
    assert bench(*asked, "--fixed-ic", "0.05").code == 0
    (root / "elsewhere").mkdir()
    path = bench.state / "config.yml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"backup": {"to": str(root / "elsewhere")}}))
    credentials = root / "credentials"
    credentials.mkdir()
    for name, text in (
        ("alert-urls", "https://a.example/x\nhttps://b.example/y\n"),
        ("heartbeat-url", "https://c.example/z"),
        ("alpaca-key-id", "key"),
        ("alpaca-secret-key", "secret"),
    ):
        (credentials / name).write_text(text)
        (credentials / name).chmod(0o600)
    assert bench("arm", "--yes").code == 0
    assert bench("run-day", "--session", str(store.sessions(1)[0])).code == 0
    return root


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish_store(tmp_path_factory.mktemp("published"))


@pytest.fixture
def patient(well: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeviceProbe:
    """A copy that a test may spoil."""
    shutil.copytree(well, tmp_path / "well")
    path = tmp_path / "well/device/config.yml"
    path.write_text(path.read_text().replace(str(well), str(tmp_path / "well")))
    monkeypatch.setattr("appliance.doctor.state_checks._disk", lambda folder: hash(folder.name))
    found = DeviceProbe(StateFolder(tmp_path / "well/device"), tmp_path / "well/credentials", NOW, lambda: NOW)
    return replace(found, machine=Still(), unsynchronised=lambda: "", skew=lambda *_: 0.0)


def on_paper(patient: DeviceProbe, answer: Account | Exception = ACTIVE, **changes: object) -> OnPaper:
    found = OnPaper(**{**{name: getattr(patient, name) for name in patient.__dataclass_fields__}, **changes})  # type: ignore[arg-type]
    object.__setattr__(found, "answer", answer)
    object.__setattr__(
        found, "config", patient.config.model_copy(update={"venue": patient.config.venue.model_copy(update={"broker": Venue.ALPACA_PAPER})})
    )
    return found


def look(name: str, patient: DeviceProbe) -> tuple[FindingState, str]:
    """Run one check alone, as the examination does."""
    check: Check = CHECKS[name][0]
    found = [one for one in examine(patient) if one.check == name] if name == "config" else list(check(patient))
    text = "\n".join(f"{one.says} -> {one.fix}" for one in found)
    assert all(bool(one.fix) == (one.state is not FindingState.OK) for one in found), text
    return worst(found), text


def edit(patient: DeviceProbe, **sections: object) -> DeviceProbe:
    """The same device with other settings."""
    path = patient.folder.config
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections))
    return replace(patient)


def test_a_well_device_passes_every_check(patient: DeviceProbe) -> None:
    found = examine(patient)
    assert {one.state for one in found} == {FindingState.OK}, found
    assert {one.check for one in found} == set(CHECKS)
    assert examine(replace(patient)) == found  # looking changes nothing


def test_settings(patient: DeviceProbe, tmp_path: Path) -> None:
    assert look("config", patient)[0] is FindingState.OK
    patient.folder.root.chmod(0o755)
    assert look("config", patient) == (FindingState.WARN, look("config", patient)[1])
    assert "chmod 700" in look("config", patient)[1]
    wrong = edit(patient, surprise=1)
    state, text = look("config", wrong)
    assert state is FindingState.BAD and "surprise" in text
    assert [one.check for one in examine(wrong)] == ["config"]  # nothing else can be said
    assert "appliance init" in look("config", replace(patient, folder=StateFolder(tmp_path / "nowhere")))[1]


@pytest.mark.parametrize(
    ("machine", "state", "words"),
    [
        (Still(0.10), FindingState.OK, "10% is free"),
        (Still(0.0999), FindingState.WARN, "10.0% is free -> Free space"),
        (Still(0.0299), FindingState.BAD, "halts under 3%"),
        (Still(None), FindingState.BAD, "cannot be measured"),
        (Still(heat=80.0), FindingState.OK, "50% is free"),
        (Still(heat=81.0), FindingState.WARN, "81 degrees"),
        (Still(heat=None), FindingState.WARN, "a sensor"),
        (Still(power=1.0), FindingState.WARN, "power supply sags"),
    ],
)
def test_the_machine(patient: DeviceProbe, machine: Still, state: FindingState, words: str) -> None:
    found, text = look("disk", replace(patient, machine=machine))
    assert found is state and words in text


def test_credentials(patient: DeviceProbe) -> None:
    assert patient.credentials is not None
    paper = on_paper(patient)
    assert look("credentials", paper)[0] is FindingState.OK
    (patient.credentials / "alpaca-secret-key").chmod(0o644)
    assert look("credentials", paper)[0] is FindingState.WARN
    (patient.credentials / "alpaca-secret-key").write_text("  \n")
    assert look("credentials", paper)[0] is FindingState.BAD
    assert look("credentials", patient)[0] is FindingState.OK  # the embedded exchange needs none
    assert look("credentials", replace(paper, credentials=None))[0] is FindingState.BAD
    (patient.credentials / "alert-urls").write_text("https://a.example/x\n")
    assert "1 addresses are notified" in look("credentials", patient)[1]
    (patient.credentials / "heartbeat-url").unlink()
    assert "dead-man" in look("credentials", patient)[1]
    (patient.credentials / "alert-urls").write_text("not an address, and secret\n")
    found = [one for one in examine(patient) if one.check == "credentials"]
    assert [one.state for one in found] == [FindingState.BAD] and "secret" not in str(found)


@pytest.mark.parametrize(
    ("reason", "skew", "state"),
    [("", 2.0, FindingState.OK), ("", 2.1, FindingState.BAD), ("the clock is not synchronised", 0.0, FindingState.BAD)],
)
def test_the_clock(patient: DeviceProbe, reason: str, skew: float, state: FindingState) -> None:
    paper = on_paper(patient, unsynchronised=lambda: reason, skew=lambda *_: skew)
    assert look("clock", paper)[0] is state
    assert look("clock", replace(patient, unsynchronised=lambda: "never asked"))[0] is FindingState.OK


def test_the_network(patient: DeviceProbe) -> None:
    assert look("network", on_paper(patient))[0] is FindingState.OK
    blocked = replace(ACTIVE, is_blocked=True)
    assert look("network", on_paper(patient, blocked))[0] is FindingState.BAD
    assert look("network", on_paper(patient, replace(ACTIVE, status="CLOSED")))[0] is FindingState.BAD
    silent = on_paper(patient, BrokerUnreachable("the broker does not answer", where="https://paper"))
    assert by_name(silent)["network"].state is FindingState.BAD
    gone = edit(patient, stores={"data": "/nowhere", "bundles": "/nowhere"})
    found = by_name(gone)
    assert found["network"].state is FindingState.BAD and found["calendar"].state is FindingState.OK  # by what the last pull left


def by_name(patient: DeviceProbe) -> dict[str, Finding]:
    """The worst finding of each check."""
    return {one.check: one for one in sorted(examine(patient), key=lambda one: one.state)}


@pytest.mark.parametrize(("left", "state"), [(60, FindingState.OK), (59, FindingState.WARN), (6, FindingState.WARN), (5, FindingState.BAD)])
def test_the_calendar(patient: DeviceProbe, left: int, state: FindingState) -> None:
    sessions = patient.manifest.calendar.sessions
    at = sessions[-left].open - timedelta(seconds=1)
    object.__setattr__(patient, "now", at)
    assert look("calendar", patient)[0] is state


def test_the_bundle(patient: DeviceProbe) -> None:
    assert "signature and golden vectors hold" in look("bundle", patient)[1]
    limits = patient.config.tripwires.model_dump()
    for changed, state in (({"warn_bundle_age": 0.01}, FindingState.WARN), ({"max_bundle_age": 0.01}, FindingState.BAD)):
        assert look("bundle", edit(patient, tripwires=limits | changed))[0] is state
    (model,) = patient.folder.bundles.glob("equities_xs/1-*/*.onnx")
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    spoilt = by_name(patient)["bundle"]
    assert spoilt.state is FindingState.BAD and spoilt.fix


def test_the_data(patient: DeviceProbe, published_once: Published) -> None:
    assert "is GREEN" in look("data", patient)[1]
    for status, state in (("RED", FindingState.BAD), ("absent", FindingState.BAD), ("AMBER", FindingState.WARN)):
        figures = json.dumps({"asof": "2025-06-02", "status": status, "reasons": ["a gap"]})
        with Ledger(patient.folder.ledger) as ledger, ledger.transaction():
            ledger.execute("DELETE FROM job_runs WHERE job = 'pull'")
            ledger.execute(
                "INSERT INTO job_runs (session, job, status, started_at, figures) VALUES ('2025-06-03', 'pull', 'done',"
                " '2025-06-02T22:30:00+00:00', ?)",
                (figures,),
            )
        assert look("data", patient)[0] is state
    late, calendar = replace(patient), patient.manifest.calendar
    object.__setattr__(late, "now", calendar.session(calendar.next(published_once.manifest.last)).close)
    assert "1 sessions ago" in look("data", late)[1]
    with Ledger(patient.folder.ledger) as ledger, ledger.transaction():
        ledger.execute("DELETE FROM job_runs WHERE job = 'pull'")
    assert "nothing has been pulled" in look("data", patient)[1]


def test_the_ledger(patient: DeviceProbe) -> None:
    assert look("ledger", patient)[0] is FindingState.OK
    with Ledger(patient.folder.ledger) as ledger:
        alerts.add(ledger, Alert(Severity.WARN, "key", "title", "body", NOW), delivered=False)
    assert look("ledger", patient)[0] is FindingState.WARN
    content = bytearray(patient.folder.ledger.read_bytes())
    content[4096 * 3 : 4096 * 9] = bytes(4096 * 6)
    patient.folder.ledger.write_bytes(content)
    found = by_name(patient)["ledger"]
    assert found.state is FindingState.BAD and "restore" in found.fix
    patient.folder.ledger.unlink()
    assert by_name(patient)["ledger"].state is FindingState.BAD


def test_the_latch(patient: DeviceProbe) -> None:
    assert look("latch", patient)[0] is FindingState.OK
    Workbench(patient.folder.root)("halt", "--reason", "a test")
    state, text = look("latch", patient)
    assert state is FindingState.BAD and "rearm --halt-id" in text
    (patient.folder.root / "latch.json").unlink()
    assert look("latch", patient)[0] is FindingState.BAD, "the ledger still holds the halt"


def test_the_backups(patient: DeviceProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look("backup", patient)[0] is FindingState.OK
    assert look("backup", edit(patient, backup={"to": ""}))[0] is FindingState.WARN
    place = patient.folder.root.parent / "elsewhere"
    good = edit(patient, backup={"to": str(place)})
    monkeypatch.setattr("appliance.doctor.state_checks._disk", lambda folder: 1)
    assert "on the disk that holds the ledger" in look("backup", good)[1]
    monkeypatch.setattr("appliance.doctor.state_checks._disk", lambda folder: hash(folder.name))
    paper = on_paper(good, real=NOW)
    object.__setattr__(paper, "config", paper.config.model_copy(update={"backup": good.config.backup}))
    assert look("backup", paper)[0] is FindingState.WARN  # months old, by the machine's clock
    (record,) = place.glob("ledger/*/backup.json")
    row = json.loads(record.read_text())
    (record.parent.parent / "20990101T000000Z").mkdir()
    fewer = row | {"name": "20990101T000000Z", "rows": {**row["rows"], "fills": 0}}
    (record.parent.parent / "20990101T000000Z/backup.json").write_text(json.dumps(fewer))
    assert "holds less" in look("backup", good)[1]
    shutil.rmtree(place / "ledger")
    assert "none yet" in look("backup", good)[1]
    place.rmdir()
    assert by_name(good)["backup"].state is FindingState.BAD


def test_the_daemon(patient: DeviceProbe) -> None:
    assert "by hand" in look("daemon", patient)[1]
    with only_daemon(patient.folder):
        assert look("daemon", patient)[0] is FindingState.WARN  # it has never said anything
        said = {"at": NOW.isoformat(), "waits_for": [], "tries_again": []}
        patient.folder.health.write_text(json.dumps(said))
        assert look("daemon", patient)[0] is FindingState.OK
        patient.folder.health.write_text(json.dumps({**said, "waits_for": ["the briefing"]}))
        assert "the briefing" in look("daemon", patient)[1]
    assert look("daemon", patient)[0] is FindingState.BAD


def test_a_job_at_work_and_a_locked_folder_are_no_fault_and_no_wait(patient: DeviceProbe) -> None:
    with exclusive(patient.folder):
        assert worst(examine(patient)) is FindingState.OK


def test_the_command_prints_a_line_a_finding_and_ends_with_the_worst(patient: DeviceProbe) -> None:
    bench = Workbench(patient.folder.root)
    done = bench("doctor", "--credentials", str(patient.credentials), "--json")
    states = {row["state"] for row in done.json["findings"]}
    assert done.code == {"ok": 0, "warn": 1, "bad": 2}[done.json["verdict"]] and "bad" not in states
    Workbench(patient.folder.root)("halt", "--reason", "a test")
    text = bench("doctor", "--credentials", str(patient.credentials))
    assert text.code == 2 and "bad   latch" in text.out and "-> Find the cause, then run" in text.out
    assert bench("doctor").out.count("\n") >= len(CHECKS)
    empty: Callable[..., object] = Workbench(patient.folder.root / "nowhere")
    assert empty("doctor").code == 2  # type: ignore[attr-defined]


def told(patient: DeviceProbe, *addresses: str) -> list[Finding]:
    assert patient.credentials is not None
    (patient.credentials / "alert-urls").write_text("\n".join(addresses) + "\n")
    return list(try_addresses(patient.credentials, NOW))


def test_a_message_is_sent_to_every_address_when_a_person_asks_for_it(patient: DeviceProbe) -> None:
    """As loud as a halt; an address is named by its line, and never shown."""
    with wire(Say()) as heard, wire(Say(410)) as deaf:
        well = told(patient, heard.url, f"{heard.url}/second")
        half = told(patient, heard.url, f"{deaf.url}/secret")
        lost = told(patient, f"{deaf.url}/secret")
    assert [one.state for one in well] == [FindingState.OK, FindingState.OK]
    assert [(one.state, one.says[:14]) for one in half] == [(FindingState.OK, "address 1 of 2"), (FindingState.WARN, "address 2 of 2")]
    assert [one.state for one in lost] == [FindingState.BAD]
    assert all(bool(one.fix) == (one.state is not FindingState.OK) for one in (*well, *half, *lost))
    assert "secret" not in f"{half}{lost}" and "127.0.0.1" not in f"{half}{lost}"
    assert [seen.path for seen in heard.seen] == ["/", "/second", "/"] and len(deaf.seen) == 2
    assert {seen.headers["Priority"] for seen in heard.seen} == {"urgent"}
    assert all(seen.headers["Title"].startswith("TEST: nothing is wrong") for seen in heard.seen)


def test_a_device_that_could_tell_nobody_says_so(patient: DeviceProbe) -> None:
    assert [one.state for one in try_addresses(None, NOW)] == [FindingState.BAD]
    (found,) = told(patient, "not an address, and secret")
    assert found.state is FindingState.BAD and "secret" not in str(found)


def test_the_command_sends_nothing_unless_it_is_asked_to(patient: DeviceProbe) -> None:
    """And changes nothing on the device when it is."""
    bench = Workbench(patient.folder.root)
    assert patient.credentials is not None
    with wire(Say()) as heard:
        (patient.credentials / "alert-urls").write_text(f"{heard.url}/a\n{heard.url}/b\n")
        before = bench.tables()
        asked = ("doctor", "--credentials", str(patient.credentials), "--json")
        quiet = bench(*asked)
        assert heard.seen == []
        loud = bench(*asked, "--alert")
    assert [seen.path for seen in heard.seen] == ["/a", "/b"]
    assert loud.code == quiet.code and bench.tables() == before
    rows = [row for row in loud.json["findings"] if row["check"] == "alert"]
    assert [row["state"] for row in rows] == ["ok", "ok"]
    passing = ("alert", "disk")  # what is free on a disk that others write to is another number the next moment
    found = [[row for row in done.json["findings"] if row["check"] not in passing] for done in (loud, quiet)]
    assert found[0] == found[1] and len(found[0]) > 5
