"""What a person is told to type exists: commands in the doctor's advice run as written, those elsewhere are known."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.testing import CliRunner

from appliance.commands.command_line import app as appliance
from execution.exchange.__main__ import app as exchange
from signals.code_version import code_version
from trainer.__main__ import app as trainer

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"appliance": appliance, "trainer": trainer, "paper-exchange": exchange}
MENTION = re.compile(rf"(?:{'|'.join(PROGRAMS)})[ '\"]")
LINES = re.compile(rf"`((?:{'|'.join(PROGRAMS)}) [^`|]+)`")


def texts(path: Path) -> Iterator[str]:
    """Every text of a module that is shown; a value that is filled in reads as a word. Docstrings are not shown."""
    source = path.read_text(encoding="utf-8")
    if not MENTION.search(source):
        return
    tree = ast.parse(source)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "WORD" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.value


def advised(folder: str) -> list[str]:
    found = {line for path in (ROOT / folder).rglob("*.py") for text in texts(path) for line in LINES.findall(text)}
    return sorted(line for line in found if "WORD " not in line[: line.find("--")] and line.split()[1] != "WORD")


def known(line: str) -> tuple[TyperCommand, list[str]]:
    program, name, *rest = line.split()
    group = typer.main.get_command(PROGRAMS[program])
    assert isinstance(group, TyperGroup)
    assert name in group.commands, f"`{line}`: there is no such command"
    command = group.commands[name]
    if isinstance(command, TyperGroup):
        assert rest and rest[0] in command.commands, f"`{line}`: there is no such command"
        command, rest = command.commands[rest[0]], rest[1:]
    assert isinstance(command, TyperCommand)
    return command, rest


def refusal(line: str) -> str:
    """Why the command line would be refused; empty when it would be taken."""
    command, rest = known(line)
    try:
        given, left, _ = command.make_parser(typer.Context(command)).parse_args(rest)
    except TyperException as error:
        return str(error)
    missing = [item.name for item in command.params if item.required and item.name not in given]
    return f"left over: {left}" if left else f"missing: {missing}" if missing else ""


@pytest.mark.parametrize("line", advised("appliance/doctor"))
def test_what_the_doctor_advises_would_be_taken_as_it_is_written(line: str) -> None:
    assert refusal(line) == ""


def test_a_command_without_what_it_requires_is_noticed() -> None:
    assert "session" in refusal("appliance pull")
    assert "no such option" in refusal("appliance status --nothing").lower()
    with pytest.raises(AssertionError, match="no such command"):
        refusal("appliance heal")


@pytest.mark.parametrize("line", [*advised("appliance"), *advised("execution"), *advised("signals"), *advised("trainer")])
def test_every_command_and_option_that_a_message_names_exists(line: str) -> None:
    command, rest = known(line)
    options = {name for item in command.params for name in (*item.opts, *item.secondary_opts)}
    assert {word for word in rest if word.startswith("--")} <= options


@pytest.mark.parametrize(("program", "package"), [("appliance", "appliance"), ("trainer", "trainer"), ("paper-exchange", "execution")])
def test_each_program_names_its_release_and_sources(program: str, package: str) -> None:
    said = CliRunner().invoke(PROGRAMS[program], ["--version"])
    assert (said.exit_code, said.output) == (0, f"{program} {code_version(package)}\n")
