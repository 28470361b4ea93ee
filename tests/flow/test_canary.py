"""D9: every secret among the credentials is a canary, and nothing that leaves a device or stays on it holds one."""

from __future__ import annotations

import gzip
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from appliance.schedule.timetable import JOBS
from appliance.system import clock
from tests.fakes.device import Done, Workbench
from tests.fakes.store import Published

CANARIES = {
    "alpaca-key-id": "CANARY1KEYID",
    "alpaca-secret-key": "canary-2-secret",
    "alert-urls": "canary-3-topic",
    "heartbeat-url": "canary-4-check",
    "s3-key-id": "canary-5-store-key",
    "s3-secret-key": "canary-6-store-secret",
    "backup-key-id": "canary-7-backup-key",
    "backup-secret-key": "canary-8-backup-secret",
}
ADDRESSES = ("alert-urls", "heartbeat-url")


@dataclass
class Outside:
    """Somebody who takes messages and beats, and keeps what came; the path is the secret itself and is kept apart."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@pytest.fixture
def outside() -> Iterator[Outside]:
    found = Outside()

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not body and "chunked" in (self.headers.get("Transfer-Encoding") or ""):
                body = self.rfile.readline() + self.rfile.readline()
            found.paths.append(self.path)
            found.said.append(f"{self.headers}\n{body.decode(errors='replace')}")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as server:
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture
def credentials(tmp_path: Path, outside: Outside) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    for name, canary in CANARIES.items():
        text = f"{outside.url}/{canary}" if name in ADDRESSES else canary
        (folder / name).write_text(text + "\n")
        (folder / name).chmod(0o600)
    return folder


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was printed; log lines are kept beside it, one level deeper than any process of the device says them."""
    caplog.set_level(logging.INFO)
    return []


def canaries_in(text: str) -> list[str]:
    return [canary for canary in CANARIES.values() if canary.lower() in text.lower()]


def kept(folder: Path) -> dict[str, str]:
    """Every file below the folder, copies of the ledger unpacked."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            found[str(path)] = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("latin-1")
    return found


def spoken(done: Done) -> str:
    return done.out + done.err


def settle(bench: Workbench, **sections: object) -> None:
    path = bench.state / "config.yml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections))


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "copy.gz").write_bytes(gzip.compress(b"..Canary-2-Secret.."))
    assert [name for text in kept(tmp_path).values() for name in canaries_in(text)] == ["canary-2-secret"]


def test_a_session_a_halt_and_every_question_leave_no_secret_anywhere(
    published: Published, credentials: Path, outside: Outside, said: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Journal lines, reports, status, doctor, ledger, backups, metrics, messages to a person and to the watcher."""
    bench, day = Workbench(tmp_path / "device"), published.sessions(1)[0]
    given = ("--credentials", str(credentials))
    asked = ("init", "--venue", "exchange", "--store", str(published.root), "--trust", str(published.trust))
    (tmp_path / "elsewhere").mkdir()
    said += [spoken(bench(*asked, "--fixed-ic", "0.05"))]
    settle(bench, backup={"to": str(tmp_path / "elsewhere")})
    said += [spoken(bench("arm", "--yes", *given))]
    for job in JOBS:
        done = bench("job", job, "--session", str(day), *given, "--json")
        assert done.code == 0, done.err
        said.append(spoken(done))
    for command in (
        ("doctor", *given),
        ("doctor", *given, "--json"),
        ("status", "--json"),
        ("halt", *given),
        ("status",),
        ("attend", *given),
        ("halts",),
        ("alerts",),
        ("backups", *given),
        ("jobs",),
        ("restore", "--replace", "--yes", *given),
    ):
        said.append(spoken(bench(*command)))
    from appliance.daemon.publisher import own_facts, publish
    from appliance.ledger import AccessMode, Ledger
    from appliance.status.vitals import ProcessFacts, vitals
    from appliance.system.state_folder import StateFolder
    from tests.flow.test_doctor import NOW

    with Ledger(bench.state / "ledger.sqlite", AccessMode.READ) as ledger:
        folder = StateFolder(bench.state)
        publish(tmp_path / "run", folder, vitals(ledger, folder, NOW, own_facts((), (), NOW)), ProcessFacts(), NOW)
    assert {CANARIES[name] in path for name in ADDRESSES for path in outside.paths} == {True, False}
    assert any(CANARIES["alert-urls"] in path for path in outside.paths)
    assert any(CANARIES["heartbeat-url"] in path for path in outside.paths)  # both were really told
    texts = {"printed": "\n".join(said), "logged": caplog.text, "told outside": "\n".join(outside.said)}
    texts |= kept(bench.state) | kept(tmp_path / "elsewhere") | kept(tmp_path / "run")
    assert {name: found for name, text in texts.items() if (found := canaries_in(text))} == {}
    assert any(name.endswith("metrics.prom") for name in texts) and any(name.endswith(".gz") for name in texts)


def test_what_goes_wrong_is_told_without_the_secret_that_it_went_wrong_with(
    published: Published,
    credentials: Path,
    said: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Errors of a paper account that does not answer, of stores that are not there, of addresses that are none.

    Nobody waits between the requests to a broker that never answers: seven seconds of which nothing is said.
    """
    monkeypatch.setattr(clock.SystemClock, "sleep", lambda self, seconds: None)
    bench = Workbench(tmp_path / "device")
    asked = ("init", "--venue", "alpaca-paper", "--url", "http://127.0.0.1:9", "--store", str(published.root))
    assert bench(*asked, "--trust", str(published.trust)).code == 0
    given, day = ("--credentials", str(credentials)), str(published.sessions(1)[0])
    commands = [("doctor", *given), ("job", "reconcile_morning", "--session", day, *given), ("halt", *given)]
    codes = set()
    for command in commands:
        done = bench(*command)
        codes.add(done.code)
        said.append(spoken(done))
    assert 5 in codes  # the broker was really asked for
    s3 = {"endpoint": "http://127.0.0.1:9", "attempts": 1, "connect_seconds": 0.2}
    folders = yaml.safe_load((bench.state / "config.yml").read_text())["stores"]
    settle(
        bench,
        backup={"to": "s3://bucket/device", "s3": s3},
        stores={"data": "s3://bucket/data", "bundles": "s3://bucket/bundles", "s3": s3},
    )
    for command in (("doctor", *given), ("backup", *given)):
        said.append(spoken(bench(*command)))
    settle(bench, stores=folders)
    for name in reversed(ADDRESSES):
        (credentials / name).write_text(f"no address {CANARIES[name]}\n")
        refused = bench("attend", *given)
        assert refused.code == 2 and name in refused.err
        said.append(spoken(refused))
    texts = {"printed": "\n".join(said), "logged": caplog.text} | kept(bench.state)
    assert {name: found for name, text in texts.items() if (found := canaries_in(text))} == {}


def test_a_crash_prints_no_secret_and_no_process_is_given_one(published: Published, credentials: Path, tmp_path: Path) -> None:
    """The trace of a fault of the program itself, and what a process shows of itself to others."""
    bench = Workbench(tmp_path / "device")
    asked = ("init", "--venue", "alpaca-paper", "--url", "http://127.0.0.1:9", "--store", str(published.root))
    assert bench(*asked, "--trust", str(published.trust)).code == 0
    program = (
        "import sys\nfrom pathlib import Path\nfrom appliance.runtime import venue\n"
        "from appliance.runtime.device import opened\n"
        "with opened(Path(sys.argv[1]), credentials=Path(sys.argv[2])) as device:\n"
        "    print(device, device.counterparty, device.notifier, device.heartbeat)\n"
        "    print(Path('/proc/self/environ').read_text(), Path('/proc/self/cmdline').read_text())\n"
        "    broker = device.counterparty.broker()\n    print(repr(broker), vars(broker).keys())\n"
        "    raise RuntimeError(device, device.counterparty)\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", program, str(bench.state), str(credentials)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CREDENTIALS_DIRECTORY": str(credentials)},
    )
    assert "RuntimeError" in done.stderr and "Device(" in done.stdout, done.stderr
    assert canaries_in(done.stdout + done.stderr) == []
    assert json.dumps(sorted(CANARIES)) == json.dumps(sorted(p.name for p in credentials.iterdir()))
