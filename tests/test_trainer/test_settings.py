"""Settings of the training host: a flag beats the environment, the environment beats `trainer.yml`."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from signals.errors import BadConfig
from trainer.__main__ import app
from trainer.settings import defaults, settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "trainer.yml"
    path.write_text("data: /file/data\nregistry: /file/registry\n")
    return path


def test_the_environment_beats_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEML_DATA", "/variable/data")
    found = settings(file)
    assert (found.data, found.registry, found.cluster) == (Path("/variable/data"), Path("/file/registry"), None)


def test_a_flag_beats_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of a real command: which dataset it says something of."""
    monkeypatch.chdir(file.parent)

    def asked(*words: str) -> str:
        return CliRunner().invoke(app, ["deliveries", *words]).output

    assert "/file/data" in asked()
    monkeypatch.setenv("TRADEML_DATA", "/variable/data")
    assert "/variable/data" in asked()
    assert "/flag/data" in asked("--data", "/flag/data")


def test_every_setting_is_the_default_of_an_option(file: Path) -> None:
    """A setting that no command knows would be taken and ignored."""
    group = typer.main.get_command(app)
    commands = dict(group.commands)  # type: ignore[attr-defined]
    taken = {name for options in (_options(command) for command in commands.values()) for name in options}
    assert {name for name in type(settings(file)).model_fields if name != "log_level"} <= taken
    found = defaults(settings(file), commands)
    assert found["train"]["data"] == "/file/data" and "registry" not in found["train"]
    assert found["promote"]["registry"] == "/file/registry"


def _options(command: object) -> set[str]:
    return {option.name for option in command.params}  # type: ignore[attr-defined]


@pytest.mark.parametrize("content", ["dta: x\n", "- a\n", "log_level: LOUD\n", "data: [1]\n"])
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "trainer.yml").write_text(content)
    with pytest.raises(BadConfig):
        settings(tmp_path / "trainer.yml")


def test_a_variable_that_names_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEML_DATTA", "x")
    with pytest.raises(BadConfig, match=r"unknown setting TRADEML_DATTA.*TRADEML_DATA"):
        settings(tmp_path / "absent.yml")
