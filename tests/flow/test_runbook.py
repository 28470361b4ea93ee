"""What a person reads at 06:00 can be typed: every command of the runbook exists, with every option that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from appliance.backup.restore import HALT_NAME as RESTORED
from appliance.commands.command_line import app
from appliance.controls.tripwires import TRIPWIRES, TripwireAction
from appliance.daemon.clock_guard import CLOCK
from appliance.jobs.prune import DISK
from appliance.orders.reconciliation import HALT_NAME as REBUILT
from appliance.safety.halt import NAMES
from appliance.schedule.timetable import ABSENT

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
COMMANDS = {name: command for name, command in typer.main.get_command(app).commands.items()}  # type: ignore[attr-defined]
INDENTED = re.compile(r"^    (?![ *])(?:.* )?appliance ([^#\n]+)", flags=re.M)
QUOTED = re.compile(r"`appliance ([^`]+)`")


def typed() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every `appliance ...` of the page: the command and its options; `a | b` names two."""
    for line in [*INDENTED.findall(RUNBOOK), *QUOTED.findall(RUNBOOK)]:
        options = tuple(re.findall(r"(?<!\S)--[a-z-]+", line))
        names = re.match(r"[a-z-]+(?: \| [a-z-]+)*", line.strip())
        assert names is not None, line
        yield from ((name, options) for name in names[0].split(" | "))


@pytest.mark.parametrize(("name", "options"), sorted(set(typed())))
def test_a_command_of_the_runbook_can_be_typed(name: str, options: tuple[str, ...]) -> None:
    assert name in COMMANDS
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert set(options) <= known


def test_the_runbook_names_more_than_a_few_commands() -> None:
    """So that the rule above cannot pass by reading nothing."""
    read = {name for name, _ in typed()}
    assert {"status", "doctor", "rearm", "accept", "halts", "restore", "reconciliation"} <= read


def test_every_halt_has_its_item() -> None:
    """By its name, with what must be true before somebody re-arms."""
    halted = RUNBOOK[RUNBOOK.index("## When the device is halted") :]
    items = re.findall(r"^\* \*\*(.+?)\*\*\n((?:    .*\n)+)", halted, flags=re.M)
    named = {name for title, text in items if "\n    * before you re-arm: " in f"\n{text}" for name in re.findall(r"[A-Z][A-Z_]+", title)}
    halts = {row.name for row in TRIPWIRES if row.action is TripwireAction.HALT} | set(NAMES.values())
    halts |= {"MANUAL", "SKIPS_IN_A_ROW", ABSENT, CLOCK, DISK, REBUILT, RESTORED}
    assert sorted(halts - named) == []


def test_every_playbook_of_the_runbook_is_there_and_every_one_is_in_it() -> None:
    named = set(re.findall(r"\b([a-z-]+)\.yml`", RUNBOOK)) | set(re.findall(r"playbooks/([a-z-]+)\.yml", RUNBOOK))
    there = {path.stem for path in (ROOT / "ansible/playbooks").glob("*.yml")}
    assert there <= named
    for stem in there:
        assert isinstance(yaml.safe_load((ROOT / f"ansible/playbooks/{stem}.yml").read_text(encoding="utf-8")), list)
