"""A unit that fails tells a person once each time, whatever else is broken; what nobody took stays visible."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.device import Done, Workbench
from tests.fakes.store import Published
from tests.fakes.wire import Say, Wire, wire

Make = Callable[..., Workbench]
LAST_RESORT = Path(__file__).resolve().parents[2] / "ansible/roles/appliance/files/appliance_alert.py"
RUN = {"MONITOR_SERVICE_RESULT": "exit-code", "MONITOR_EXIT_STATUS": "5", "MONITOR_INVOCATION_ID": "4f" * 16}


def credentials(folder: Path, *addresses: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "alert-urls").write_text("\n".join(addresses) + "\n")
    return folder


def tell(bench: Workbench, place: Path, unit: str, run: str = "4f" * 16) -> Done:
    return bench("tell-unit", "--unit", unit, "--result", "exit-code", "--status", "5", "--invocation", run, "--credentials", str(place))


def titles(heard: Wire) -> list[tuple[str, str]]:
    """What was heard, without the name of this machine, which every title ends with."""
    named = f" on {socket.gethostname()}"
    assert all(seen.headers["Title"].endswith(named) for seen in heard.seen)
    return [(seen.headers["Title"].removesuffix(named), seen.headers["Priority"]) for seen in heard.seen]


def test_each_failure_is_one_message_even_within_the_hour(make: Make, published: Published, tmp_path: Path) -> None:
    bench = make(published)
    with wire(Say()) as heard:
        place = credentials(tmp_path / "credentials", f"{heard.url}/topic")
        for run in ("1a" * 16, "2b" * 16):
            assert tell(bench, place, "appliance-backup", run).code == 0
        assert tell(bench, place, "appliance").code == 0
    backup = ("appliance-backup: no backup could be taken", "default")
    gone = ("appliance: the daemon was started in vain, and is no longer", "urgent")
    assert titles(heard) == [backup, backup, gone]
    rows = bench.rows("SELECT key, delivered, body FROM alerts ORDER BY id")
    assert [(key, taken) for key, taken, _ in rows] == [
        ("unit-appliance-backup-1a1a1a1a1a1a", 1),
        ("unit-appliance-backup-2b2b2b2b2b2b", 1),
        ("unit-appliance-4f4f4f4f4f4f", 1),
    ]
    assert all("exit-code 5" in body and "journalctl -u 'appliance" in body for *_, body in rows)


def test_an_update_that_was_gone_back_from_at_boot_is_told_though_nothing_failed(make: Make, published: Published, tmp_path: Path) -> None:
    bench = make(published)
    with wire(Say()) as heard:
        place = credentials(tmp_path / "credentials", heard.url)
        assert tell(bench, place, "appliance-settled").code == 0
        assert tell(bench, place, "appliance-settle").code == 0
        assert tell(bench, place, "appliance-of-tomorrow").code == 0
    assert titles(heard) == [
        ("appliance-settled: an interrupted update was gone back from", "default"),
        ("appliance-settle: an interrupted update could not be gone back from", "urgent"),
        ("appliance-of-tomorrow: it has failed", "default"),
    ]


def test_a_message_that_nobody_took_is_visible_and_waits_to_be_sent_again(make: Make, published: Published, tmp_path: Path) -> None:
    """The alert unit itself fails (exit code 5), and the device is degraded until somebody was reached."""
    bench = make(published)
    assert bench("arm", "--session", str(published.sessions(1)[0]), "--yes").code == 0
    with wire(Say(503)) as heard:
        assert tell(bench, credentials(tmp_path / "credentials", heard.url), "appliance-backup").code == 5
    assert len(heard.seen) == 1
    assert bench.rows("SELECT delivered FROM alerts") == [(0,)]
    status = bench("status")
    assert status.code == 1 and "1 alerts reached nobody" in status.out


@pytest.mark.parametrize("harm", ["absent", "damaged"])
def test_it_is_told_without_a_ledger_too(make: Make, published: Published, tmp_path: Path, harm: str) -> None:
    """Its damage may be why the daemon is gone; nothing puts an empty ledger in its place."""
    bench = make(published)
    ledger = bench.state / "ledger.sqlite"
    for path in bench.state.glob("ledger.sqlite*"):
        path.unlink()
    if harm == "damaged":
        ledger.write_bytes(b"no ledger" * 1_000)
    with wire(Say()) as heard:
        assert tell(bench, credentials(tmp_path / "credentials", heard.url), "appliance").code == 0
    assert len(heard.seen) == 1
    assert ledger.exists() is (harm == "damaged")


# -- the tool that systemd runs: by the release's program, and without it ---------------------------------------------


def last_resort(program: Path, place: Path, unit: str = "appliance") -> subprocess.CompletedProcess[str]:
    given = {**os.environ, **RUN, "CREDENTIALS_DIRECTORY": str(place)}
    command = [sys.executable, str(LAST_RESORT), unit, "--program", str(program)]
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


def script(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("code", [0, 5])
def test_the_releases_program_has_the_word(tmp_path: Path, code: int) -> None:
    """Also when it reached nobody: what it recorded is sent again by the daemon, and would come twice."""
    program = script(tmp_path / "program", f'echo "$@" > {tmp_path}/said', f"exit {code}")
    with wire(Say()) as heard:
        done = last_resort(program, credentials(tmp_path / "credentials", heard.url), "appliance-backup")
    assert (done.returncode, heard.seen) == (code, [])
    assert (tmp_path / "said").read_text() == "tell-unit --unit appliance-backup\n"


@pytest.mark.parametrize("broken", ["absent", "crashes"])
def test_a_release_that_does_not_run_is_told_of_without_it(tmp_path: Path, broken: str) -> None:
    """To every address, and one that does not answer keeps none of the others from it."""
    program = tmp_path / "absent" if broken == "absent" else script(tmp_path / "program", "exit 1")
    with wire(Say()) as heard, wire(Say(reset=True)) as deaf:
        place = credentials(tmp_path / "credentials", deaf.url, f"{heard.url}/topic?a=b", "no address")
        done = last_resort(program, place)
    assert done.returncode == 0, done.stderr
    (seen,) = heard.seen
    assert (seen.method, seen.path, seen.query) == ("POST", "/topic", {"a": "b"})
    assert seen.headers["Title"] == f"appliance needs a person on {socket.gethostname()}"
    assert seen.headers["Priority"] == "urgent"
    assert heard.url not in done.stdout + done.stderr and "/topic" not in done.stdout + done.stderr


def test_without_a_release_an_address_of_another_service_is_left_alone(tmp_path: Path) -> None:
    """Its parts are tokens: posted to, they would be looked up as the name of a host."""
    with wire(Say()) as heard, wire(Say()) as other:
        place = credentials(tmp_path / "credentials", other.url.replace("http://", "slack://") + "/a/b/c", f"{heard.url}/topic")
        assert last_resort(tmp_path / "no-release", place).returncode == 0
    assert (len(heard.seen), other.seen) == (1, [])


def test_an_address_with_a_name_and_a_password_takes_both_messages(make: Make, published: Published, tmp_path: Path) -> None:
    """The release's program and the last resort read one credential: what one of them can use, the other can."""
    with wire(Say()) as heard:
        place = credentials(tmp_path / "credentials", heard.url.replace("://", "://me:p%40ss@") + "/topic")
        assert tell(make(published), place, "appliance").code == 0
        assert last_resort(tmp_path / "no-release", place).returncode == 0
    assert {seen.headers["Authorization"] for seen in heard.seen} == {"Basic bWU6cEBzcw=="}
    assert [seen.path for seen in heard.seen] == ["/topic"] * 2


def test_nobody_reached_without_a_release_is_a_failure_in_the_journal(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with wire(Say(500)) as deaf:
        for place in (tmp_path / "none", credentials(tmp_path / "credentials", deaf.url)):
            done = last_resort(tmp_path / "absent", place)
            assert done.returncode == 1 and "nobody was reached" in done.stderr
