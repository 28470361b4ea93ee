"""Help of one style: every command and option of the three programs says what it is, in the same words for the same thing."""

from __future__ import annotations

import re
from collections import defaultdict
from importlib import import_module
from typing import Any

import pytest
import typer

from appliance.commands.command_line import app as appliance
from execution.exchange.__main__ import app as exchange

PROGRAMS: dict[str, Any] = {"appliance": appliance, "paper-exchange": exchange}
try:  # a device has no trainer
    from trainer.__main__ import app as trainer

    PROGRAMS["trainer"] = trainer
except ModuleNotFoundError:
    pass


def commands(program: str) -> dict[str, Any]:
    command = typer.main.get_command(PROGRAMS[program])
    return dict(getattr(command, "commands", {program: command}))


OPTIONS = [
    (program, name, option)
    for program in PROGRAMS
    for name, command in commands(program).items()
    for option in command.params
    if option.param_type_name == "option"
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_begins_with_one_sentence_that_commands(program: str) -> None:
    """Its first line is a sentence: a capital, a full stop or a colon's list, no `This command ...`."""
    poor = {}
    for name, command in commands(program).items():
        first = (command.help or "").split("\n\n")[0].replace("\n", " ").strip()
        if not re.fullmatch(r"[A-Z][a-z]+ .*\.", first) or re.match(r"(This|The|A|Command|Will)\b", first):
            poor[name] = first
    assert poor == {}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_says_what_it_is_in_a_sentence(program: str) -> None:
    poor = [
        f"{name} {option.opts[0]}: {option.help!r}"
        for owner, name, option in OPTIONS
        if owner == program and not re.fullmatch(r"[A-Za-z'`0-9].*\.", (option.help or "").replace("\n", " "))
    ]
    assert poor == []


@pytest.mark.parametrize("program", [name for name in PROGRAMS if name != "paper-exchange"])
def test_a_command_is_found_where_the_table_of_its_program_says_and_in_no_second_module(program: str) -> None:
    table: dict[str, str] = PROGRAMS[program].info.cls.MODULES
    for module, names in table.items():
        import_module(module).register(app := typer.Typer())
        assert list(typer.main.get_group(app).commands) == names.split(), module
    everything = " ".join(table.values()).split()
    assert len(everything) == len(set(everything)) and list(commands(program)) == everything


def test_there_is_much_to_judge() -> None:
    assert len(OPTIONS) > 150 and {"appliance", "paper-exchange"} <= {program for program, _, _ in OPTIONS}


def test_a_date_is_written_and_shown_in_one_way() -> None:
    """A date's form is where the value stands, never in the sentence."""
    poor = [f"{p} {n} {o.opts[0]}" for p, n, o in OPTIONS if "YYYY" in (o.help or "") and "ISO" not in o.help]
    assert poor == []


@pytest.mark.parametrize("name", ["--json", "--workers", "--seed", "--sleeve", "--registry", "--keys", "--tracking", "--cluster", "--bars"])
def test_one_option_has_one_meaning_in_a_program(name: str) -> None:
    said = defaultdict(set)
    for program, command, option in OPTIONS:
        if name in option.opts and (program, command, name) not in OTHERWISE:
            said[program].add(option.help)
    assert {program: helps for program, helps in said.items() if len(helps) > 1} == {}


OTHERWISE = {
    ("trainer", "ingest", "--bars"),  # a vendor's bars; elsewhere those of a promotion
    ("trainer", "backfill", "--bars"),
    ("trainer", "outlook", "--bars"),  # minutes
    ("trainer", "history", "--sleeve"),  # filters
    ("trainer", "stack", "--seed"),
    ("trainer", "generate", "--seed"),
    ("trainer", "generate-minutes", "--seed"),
    ("trainer", "rollback", "--keys"),  # its root key is needed
}


def test_the_reference_of_commands_is_what_the_programs_say() -> None:
    reference = pytest.importorskip("docs.reference", reason="a device has no trainer")
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "a command or its help changed: run `make cli`"


def test_the_reference_holds_every_command_and_no_line_is_too_wide() -> None:
    reference = pytest.importorskip("docs.reference", reason="a device has no trainer")
    text = reference.page()
    for name, app in reference.PROGRAMS:
        assert all(f"### {name} {command}\n" in text for command in reference.commands_of(app))
    assert max(map(len, text.splitlines())) <= 160
    assert "### trainer train\n" in text and "* `--preset`: " in text
