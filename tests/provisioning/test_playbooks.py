"""What can be told of playbooks and roles without a machine; `make provision-test` runs them on one."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from appliance.backup.copies import take
from appliance.backup.vault import vault_at
from appliance.commands.command_line import app as device
from appliance.config import BackupConfig
from appliance.ledger import Ledger
from appliance.schedule.timetable import TIMETABLE
from signals.market.sessions import NEW_YORK, xnys
from signals.schedule.job_windows import windows

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = ROOT / "ansible"
ROLES = sorted(path for path in (ANSIBLE / "roles").iterdir() if path.is_dir())
PLAYBOOKS = {path.stem: path for path in (ANSIBLE / "playbooks").glob("*.yml")}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def options(role: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return found


def tasks(path: Path) -> list[dict[str, Any]]:
    """Every task of a file, those inside blocks too."""

    def flat(item: dict[str, Any]) -> list[dict[str, Any]]:
        parts = [task for part in ("block", "rescue", "always") for task in item.get(part, [])]
        return [found for task in parts for found in flat(task)] if parts else [item]

    return [task for item in read(path) for task in flat(item)]


def test_the_site_is_every_role_and_nothing_else() -> None:
    """One contents page; each role is there."""
    (play,), (training,) = read(ANSIBLE / "site.yml"), read(ANSIBLE / "training.yml")
    assert sorted(item["role"] for one in (play, training) for item in one["roles"]) == [role.name for role in ROLES]
    assert [item["role"] for item in training["roles"]] == ["trainer"] and training["hosts"] == "trainers"
    assert set(PLAYBOOKS) == {"provision", "update", "rollback", "rotate-keys", "halt-fleet", "collect-status", "restore", "uninstall"}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_documents_each_of_its_variables_and_its_default(role: Path) -> None:
    """The specification is the interface: name, meaning, default; what is used is documented."""
    documented = options(role)
    defaults = read(role / "defaults/main.yml") if (role / "defaults/main.yml").exists() else {}
    assert {name: spec["default"] for name, spec in documented.items() if "default" in spec} == defaults
    assert all(spec["description"].strip().endswith(".") for spec in documented.values())
    assert all(name.startswith(f"{role.name}_") for name in documented)
    used = {
        word
        for path in role.rglob("*")
        if path.is_file() and path.parent.name in ("tasks", "templates", "handlers")
        for word in re.findall(rf"(?<![\w.])({role.name}_\w+)\b(?!\.py)", path.read_text(encoding="utf-8"))
    }
    assert used <= set(documented)
    assert set(documented) <= used


def test_variables_that_no_role_knows_are_refused_by_the_first_task() -> None:
    """The check reads the specifications of all roles."""
    (play,) = read(ANSIBLE / "site.yml")
    assert "known_variables.yml" in str(play["pre_tasks"][0])
    gather, refuse, *_ = tasks(ANSIBLE / "playbooks/tasks/known_variables.yml")
    assert sorted(gather["loop"]) == [role.name for role in ROLES]
    assert all(role.name in refuse["vars"]["__ours"] for role in ROLES)


def test_the_examples_devices_have_an_account_each_and_its_vault_is_refused_as_it_stands() -> None:
    """Keys are host variables of their own; the shared vault has none, and two equal keys or the marker are refused."""
    example = ANSIBLE / "inventories/example"
    hosts = sorted(read(example / "hosts.yml")["devices"]["hosts"])
    assert sorted(path.parent.name for path in example.glob("host_vars/*/vault.yml")) == hosts
    for vault in (*example.glob("host_vars/*/vault.yml"), example / "group_vars/devices/vault.yml"):
        assert vault.read_text(encoding="utf-8").startswith("$ANSIBLE_VAULT;1.1;AES256")
    *_, marker, account = tasks(ANSIBLE / "playbooks/tasks/known_variables.yml")
    assert marker["ansible.builtin.assert"]["that"] == "vault_of_the_example is not defined"
    assert "__holders | length == 1" in account["ansible.builtin.assert"]["that"] and account["no_log"]


def test_a_device_is_made_and_restored_with_its_credentials() -> None:
    """A bucket asks for keys: both commands go through the device's own command line, on the release to come."""
    made = {task["name"]: task for task in tasks(ANSIBLE / "roles/appliance/tasks/commission.yml")}
    for name in ("Write its settings, its ledger and the key that it trusts", "Put the newest backup in the place of the empty ledger"):
        assert "APPLIANCE_RELEASE" in made[name]["environment"]
        assert "__appliance_as_user" in made[name]["ansible.builtin.command"]["argv"]
    program = (ANSIBLE / "roles/appliance/files/appliance").read_text(encoding="utf-8")
    assert "LoadCredentialEncrypted=s3-key-id" in program and "${APPLIANCE_RELEASE:-/opt/appliance/current}" in program


def test_each_answer_of_the_wizard_has_its_place_in_the_inventory() -> None:
    """A new flag of `setup` must be said where: as a variable that a role takes, or as a person's word."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page[page.index("| flag of `setup` |") :].partition("\n\n")[0]
    shown = CliRunner().invoke(device, ["setup", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}, terminal_width=200).output
    flags = {f"--{name}" for name in re.findall(r"--([a-z][a-z-]+)", shown)} - {"--state", "--credentials", "--configs", "--json", "--help"}
    flags = {flag for flag in flags if not flag.startswith("--no-")}
    assert len(flags) > 15 and set(re.findall(r"`(--[a-z-]+)`", table)) == flags
    variables = {name for role in ROLES for name in options(role)}
    assert set(re.findall(r"`((?:appliance|backups)_[a-z_]+)`", table)) <= variables


def test_secrets_are_neither_shown_nor_arguments() -> None:
    """The one task that sees them says nothing, and hands them over on standard input."""
    (sealing,) = tasks(ANSIBLE / "roles/appliance/tasks/credentials.yml")
    assert sealing["no_log"] is True
    assert sealing["ansible.builtin.command"]["stdin"] == "{{ item.value }}"
    assert "value" not in str(sealing["ansible.builtin.command"]["argv"])
    assert options(ANSIBLE / "roles/appliance")["appliance_credentials"]["no_log"] is True
    seen = [path for path in ANSIBLE.rglob("*.yml") if "appliance_credentials" in path.read_text(encoding="utf-8")]
    allowed = {"credentials.yml", "argument_specs.yml", "known_variables.yml"}  # the last one under no_log, too
    assert {path.name for path in seen if "inventories" not in path.parts and path.parent.name != "defaults"} == allowed
    vault = (ANSIBLE / "inventories/example/group_vars/devices/vault.yml").read_text(encoding="utf-8")
    assert vault.startswith("$ANSIBLE_VAULT;1.1;AES256")


def test_an_update_goes_to_the_canary_first_and_stops_at_the_first_that_goes_back() -> None:
    first, others = read(PLAYBOOKS["update"])
    assert (first["hosts"], others["hosts"]) == ("canary", "devices:!canary")
    for play in (first, others):
        assert (play["serial"], play["any_errors_fatal"]) == (1, True)


def test_a_switch_is_held_to_a_gate_of_two_minutes_and_gone_back_from() -> None:
    """Also when the connection to the controller broke in the middle of it."""
    assert options(ANSIBLE / "roles/appliance")["appliance_gate_seconds"]["default"] == 120
    (block,) = read(ANSIBLE / "roles/appliance/tasks/activate.yml")
    assert "settle" in str(block["rescue"][0])
    assert "fail" in str(block["rescue"][-1])


def test_upgrades_reboot_outside_every_order_window() -> None:
    """The device's zone is New York's; the nearest job of an ordinary day and of an early close is hours away."""
    assert options(ANSIBLE / "roles/time")["time_zone"]["default"] == "America/New_York"
    clock = time.fromisoformat(options(ANSIBLE / "roles/base")["base_reboot_time"]["default"])
    calendar = xnys(date(2025, 11, 20), date(2025, 12, 2))
    for day in (date(2025, 11, 25), date(2025, 11, 28)):
        for row in windows(day, calendar, TIMETABLE):
            if row.job in ("reconcile_morning", "plan", "trade", "confirm"):
                assert row.at.astimezone(NEW_YORK).replace(tzinfo=None) - timedelta(hours=2) > datetime.combine(day, clock)


def test_nothing_comes_in_but_what_is_named() -> None:
    rules = (ANSIBLE / "roles/firewall/templates/nftables.conf.j2").read_text(encoding="utf-8")
    assert rules.count("policy drop") == 2
    assert re.findall(r"tcp dport .*accept", rules) == [
        "tcp dport {{ firewall_ssh_port }} ct state new limit rate 6/minute burst 6 packets accept",
        "tcp dport {{ firewall_metrics_port }} ct state new limit rate 60/minute accept",
    ]
    assert options(ANSIBLE / "roles/firewall")["firewall_metrics_from"]["default"] == []
    ssh = (ANSIBLE / "roles/ssh/templates/appliance.conf.j2").read_text(encoding="utf-8")
    for line in ("PermitRootLogin no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "AllowUsers"):
        assert line in ssh
    assert options(ANSIBLE / "roles/monitoring")["monitoring_listen"]["default"].startswith("127.0.0.1:")


def uninstalling() -> list[dict[str, Any]]:
    """Every task of the playbook, those of its two parts too."""
    (play,) = read(PLAYBOOKS["uninstall"])
    parts = [ANSIBLE / "playbooks/tasks" / f"remove_{name}.yml" for name in ("program", "settings")]
    return [*play["tasks"], *(task for path in parts for task in tasks(path))]


def test_removing_the_ledger_has_to_be_said_twice() -> None:
    """By a word and by the device's name; nothing else of the playbook removes the state folder or its owner."""
    (play,) = read(PLAYBOOKS["uninstall"])
    assert play["vars"]["purge"] is False
    assert play["tasks"][0]["ansible.builtin.assert"]["that"] == ("not (purge | bool) or confirm_purge == inventory_hostname")
    removing = ("ansible.builtin.file", "ansible.builtin.user", "ansible.builtin.group")
    touching = [task for task in uninstalling() if re.search("state_dir|service_user", str([task.get(m) for m in removing]))]
    assert [task["when"] for task in touching] == ["purge | bool"] * 3
    assert touching[0]["ansible.builtin.file"] == {"path": "{{ state_dir }}", "state": "absent"}
    assert play["vars"]["state_dir"] not in str(uninstalling())


def test_a_backup_below_a_folder_that_goes_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    """`backup.to` may be relative, which is below the state folder: found by the names that a backup really has."""
    (play,) = read(PLAYBOOKS["uninstall"])
    assert play["tasks"][1]["ansible.builtin.import_tasks"] == "tasks/spare_backups.yml"
    looking, refusing = tasks(ANSIBLE / "playbooks/tasks/spare_backups.yml")
    assert "state_dir" in looking["ansible.builtin.find"]["paths"] and "when" not in looking | refusing
    state = tmp_path / "state"
    (state / "kept").mkdir(parents=True)
    with Ledger(state / "ledger.sqlite") as ledger:
        at = datetime(2026, 1, 2, tzinfo=UTC)
        take(ledger, vault_at(BackupConfig(to="kept"), state), state / "copies", at=at, code_version="test")
    found = [str(path) for path in state.rglob(looking["ansible.builtin.find"]["patterns"])]
    pattern = re.search(r"'search', '(.+?)'", refusing["vars"]["__inside"])
    assert pattern is not None and len([path for path in found if re.search(pattern[1], path)]) == 1


def test_working_orders_are_cancelled_before_the_program_goes_or_it_stays() -> None:
    """In the words of `appliance halt`, whose exit code speaks of the latch."""
    (halting,) = (task for task in uninstalling() if task.get("register") == "__halted")
    words = re.search(r"search\('(.+)'\)", halting["failed_when"])
    assert words is not None and "cancelled | bool" in halting["failed_when"]
    source = (ROOT / "appliance/commands/halt_and_rearm.py").read_text(encoding="utf-8")
    done = (
        "Working orders were cancelled and the halt is recorded.",
        "Another process is at work: it was asked to cancel its orders, and can send no new ones.",
        "Cancel-all was sent from here too.",
    )
    assert all(text in source for text in done), "the command has other words now"
    not_done = (
        "The halt is recorded. Working orders: the broker did not take the cancellation.",
        f"{done[1]} Cancel-all from here: not cancelled: the broker does not answer.",
        "Another process is at work, and can send no new orders.",
        "The latch is closed. The halt is not recorded yet: disk full. Cancel-all from here: not cancelled: no answer.",
        "",
    )
    cancelled = re.compile(words[1].replace("\\\\", "\\"))
    latched = "HALTED by MANUAL\n"
    assert [bool(cancelled.search(latched + text)) for text in done] == [True] * len(done)
    assert [bool(cancelled.search(latched + text)) for text in not_done] == [False] * len(not_done)


def test_what_provisioning_set_on_the_machine_goes_when_it_is_said_and_else_stays_protected() -> None:
    """A machine that is only uninstalled keeps ssh by key, its firewall and its upgrades."""
    (play,) = read(PLAYBOOKS["uninstall"])
    assert play["vars"]["machine"] is False
    (settings,) = (task for task in play["tasks"] if "remove_settings" in str(task))
    assert settings["when"] == "machine | bool"
    program = (ANSIBLE / "playbooks/tasks/remove_program.yml").read_text(encoding="utf-8")
    assert not re.search("nftables|sshd|apt|chrony", program)
    written = {
        task[module]["dest"]
        for role in ROLES
        for task in tasks(role / "tasks/main.yml")
        for module in ("ansible.builtin.template", "ansible.builtin.copy")
        if module in task and role.name not in ("appliance", "backups", "trainer")
    }
    removed = (ANSIBLE / "playbooks/tasks/remove_settings.yml").read_text(encoding="utf-8")
    of_packages = {"/etc/default/zramswap", "/etc/default/prometheus-node-exporter"}
    ours = {"/etc/systemd/system/appliance-time.service"}  # goes with the program
    assert {path for path in written if path not in removed} == of_packages | ours


def test_times_of_reading_are_not_written_to_the_card() -> None:
    """The rule changes the root's line alone, once, whatever stands there."""
    (rule,) = (t for t in tasks(ANSIBLE / "roles/storage/tasks/main.yml") if "ansible.builtin.replace" in t)
    found = rule["ansible.builtin.replace"]
    for before, after in (
        ("PARTUUID=1-02  /  ext4  defaults  0  1", "PARTUUID=1-02  /  ext4  defaults,noatime  0  1"),
        ("PARTUUID=1-02 / ext4 defaults,noatime 0 1", None),
        ("/dev/sda2 / ext4 noatime,errors=remount-ro 0 1", None),
        ("PARTUUID=1-01 /boot/firmware vfat defaults 0 2", None),
        ("# / was on /dev/sda2", None),
        ("tmpfs /tmp tmpfs defaults 0 0", None),
    ):
        assert re.sub(found["regexp"], found["replace"], before, flags=re.M) == (after or before)


def test_the_units_of_a_release_are_linked_through_the_name_that_is_switched() -> None:
    """So that a unit goes back with its release; every service of this repository is among them."""
    link, _ = tasks(ANSIBLE / "roles/appliance/tasks/units.yml")
    assert link["ansible.builtin.file"]["src"].startswith("/opt/appliance/current/systemd/")
    assert sorted(link["loop"]) == sorted(path.name for path in (ROOT / "systemd").iterdir())


def test_every_credential_of_the_units_is_known_to_the_command_line_and_removed_at_the_end() -> None:
    """A person's `appliance` has what the daemon has; uninstalling leaves no sealed secret behind."""
    units = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "systemd").glob("*.service"))
    named = set(re.findall(r"^LoadCredentialEncrypted=(\S+)", units, flags=re.M))
    command = (ANSIBLE / "roles/appliance/files/appliance").read_text(encoding="utf-8")
    assert set(re.findall(r"LoadCredentialEncrypted=(\S+)", command)) == named
    (removing,) = (task for task in uninstalling() if "__secrets" in task.get("vars", {}))
    assert set(removing["vars"]["__secrets"]) == named
    meaning = options(ANSIBLE / "roles/appliance")["appliance_credentials"]["description"]
    assert all(name in meaning for name in named)
