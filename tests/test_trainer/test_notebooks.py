"""The notebooks are current: cells compile, names and commands exist; `make notebooks` executes them."""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import re
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from appliance.commands.command_line import app as appliance
from trainer.__main__ import app as trainer

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PROGRAMS = {"appliance": appliance, "trainer": trainer}
COMMAND = re.compile(r'\brun\(f?"((?:trainer|appliance) [^"]+)"')


def cells(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def test_there_are_four_without_stored_output() -> None:
    assert len(NOTEBOOKS) == 4
    for path in NOTEBOOKS:
        found = json.loads(path.read_text())
        assert found["nbformat"] == 4 and found["cells"][0]["cell_type"] == "markdown"
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in found["cells"] if cell["cell_type"] == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_compiles_and_uses_names_that_exist(path: Path) -> None:
    """Imports are resolved down to the attribute; a name is defined by a cell before, an import or Python itself."""
    known = set(dir(builtins))
    for source in cells(path):
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.module and all(hasattr(importlib.import_module(node.module), alias.name) for alias in node.names), node.module
                known |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, ast.Import):
                known |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.FunctionDef):
                known |= {node.name, *(argument.arg for argument in node.args.args)}
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                known.add(node.id)
        assert {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} <= known


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_command_of_a_notebook_and_its_options_exist(path: Path) -> None:
    lines = [line for source in cells(path) for line in COMMAND.findall(source)]
    assert lines
    for line in lines:
        program, name, *rest = line.split()
        group = typer.main.get_command(PROGRAMS[program])
        assert isinstance(group, TyperGroup) and name in group.commands, line
        options = {option for item in group.commands[name].params for option in (*item.opts, *item.secondary_opts)}
        assert {word for word in rest if word.startswith("--")} <= options, line
