"""The units verify clean and are hardened to an exposure of at most 2.0 (D1)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.commands.unit_failure import MESSAGES

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
OUTLIVING = sorted(ROOT.glob("ansible/roles/*/files/*.service"))  # every release
ATTENDED = {"trainer.service"}  # a device that gets no data from it says so the same evening
TOOL = shutil.which("systemd-analyze")
MAX_EXPOSURE = 2.0

needs_systemd = pytest.mark.skipif(TOOL is None, reason="systemd-analyze absent")


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units as they are, but for the program's path: it exists on a device, not here."""
    found = []
    for source in sorted([*UNITS.iterdir(), *OUTLIVING]):
        copy = tmp_path / source.name
        copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", source.read_text(), flags=re.M))
        found.append(copy)
    return found


@needs_systemd
def test_the_units_verify_clean(units: list[Path]) -> None:
    (units[0].parent / "chrony.service").write_text("[Service]\nExecStart=/bin/true\n")
    done = subprocess.run([str(TOOL), "verify", "--man=no", *map(str, units)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_services_are_hardened(units: list[Path]) -> None:
    """Those that run before them, once, among them."""
    services = [unit for unit in units if unit.suffix == ".service"]
    assert {unit.name for unit in services} == {
        "appliance.service",
        "appliance-serve.service",
        "appliance-backup.service",
        "appliance-alert@.service",
        "appliance-settle.service",
        "appliance-time.service",
        "trainer.service",
    }
    for service in services:
        done = subprocess.run(
            [str(TOOL), "security", "--offline=true", f"--threshold={int(MAX_EXPOSURE * 10)}", str(service)],
            capture_output=True,
            text=True,
            check=False,
        )
        exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
        assert exposure is not None and float(exposure[1]) <= MAX_EXPOSURE, (service.name, done.stdout)
        assert done.returncode == 0


def test_no_memory_of_a_process_is_left_on_the_card() -> None:
    """A core dump of the daemon holds the keys of the account."""
    command = (ROOT / "ansible/roles/appliance/files/appliance").read_text()
    assert "--property=LimitCORE=0 " in command
    for unit in [*UNITS.glob("*.service"), *OUTLIVING]:
        assert "\nLimitCORE=0\n" in unit.read_text(), unit.name


def test_what_the_device_publishes_is_for_its_group() -> None:
    """The runtime folder is entered by the group alone, and the exporter's user is put into it."""
    text = (UNITS / "appliance.service").read_text()
    assert "\nGroup=appliance\n" in text and "\nRuntimeDirectoryMode=0750\n" in text
    tasks = (ROOT / "ansible/roles/monitoring/tasks/main.yml").read_text()
    assert 'name: prometheus\n    groups: ["{{ base_service_user }}"]\n    append: true\n' in tasks


def test_what_fails_while_nobody_looks_tells_a_person() -> None:
    """Every service of a device; what tells cannot tell of itself, and nothing would start it again and again."""
    services = {path.name: path.read_text() for path in (*UNITS.glob("*.service"), *OUTLIVING)}
    telling = {name for name, text in services.items() if "\nOnFailure=appliance-alert@%N.service\n" in text}
    assert set(services) - telling == {"appliance-alert@.service", *ATTENDED}
    acting = re.findall(r"^OnSuccess=appliance-alert@(\S+)\.service$", "\n".join(services.values()), flags=re.M)
    names = [*(name.removesuffix(".service") for name in telling), *acting]
    assert sorted(names) == sorted(MESSAGES)  # each in words of its own, and no instance that two could start
    alert = services["appliance-alert@.service"]
    assert "\nExecStart=/opt/appliance/bin/appliance-alert %i\n" in alert
    assert re.findall(r"LoadCredentialEncrypted=(\S+)", alert) == ["alert-urls"]
    copied = (ROOT / "ansible/roles/appliance/tasks/tools.yml").read_text()
    assert "appliance-settle.service, appliance-alert@.service" in copied
    assert "{src: appliance_alert.py, dest: appliance-alert}" in copied


def credentials(unit: str) -> list[str]:
    return re.findall(r"LoadCredentialEncrypted=(\S+)", (UNITS / f"{unit}.service").read_text())


def test_a_timer_asks_every_day_for_a_backup_that_is_needed_and_nothing_else_is_timed() -> None:
    assert [path.name for path in UNITS.glob("*.timer")] == ["appliance-backup.timer"]
    timer, service = ((UNITS / f"appliance-backup.{kind}").read_text() for kind in ("timer", "service"))
    assert "\nOnCalendar=*-*-* " in timer and "\nPersistent=yes\n" in timer
    assert "/appliance backup --if-older-than 20\n" in service and "\nType=oneshot\n" in service


def test_secrets_come_as_credentials_alone() -> None:
    for unit in UNITS.glob("*.service"):
        text = unit.read_text()
        assert not re.search(r"(SECRET|KEY_ID|TOKEN|URL)\s*=", text), unit.name
        assert not re.search(r"^LoadCredential=|^SetCredential", text, flags=re.M), unit.name
    stores = ["s3-key-id", "s3-secret-key", "backup-key-id", "backup-secret-key"]
    assert credentials("appliance") == ["alpaca-key-id", "alpaca-secret-key", "alert-urls", "heartbeat-url", *stores]
    assert credentials("appliance-backup") == [*stores[2:], *stores[:2]]  # no key of the account
    assert "LoadCredential" not in (UNITS / "appliance-serve.service").read_text()


def test_the_daemon_is_watched_and_says_itself_when_it_is_ready() -> None:
    text = (UNITS / "appliance.service").read_text()
    for line in ("Type=notify", "WatchdogSec=60", "Restart=on-failure", "RestartSec=15", "StartLimitBurst=5"):
        assert f"\n{line}\n" in text
    assert text.count("ExecStart=") == 1 and "/appliance run\n" in text
    assert not list(UNITS.glob("appliance.timer"))  # one way to run
