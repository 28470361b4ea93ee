"""Addresses and paths of the training host, from flags, the environment and `trainer.yml` in the working directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signals.config import Config, read_mapping
from signals.settings import Level, settle

FILE = Path("trainer.yml")


class TrainerSettings(Config):
    """Each is the default of the option of its name, in every command that has one; None leaves the command's own.

    Attributes
    ----------
    data, keys, registry : Path or None
    storage : str or None
        Of the sampler's memory, a SQLAlchemy URL.
    tracking : str or None
        Of an MLflow server.
    cluster : str or None
        Of a Dask scheduler.
    log_level : str
    """

    data: Path | None = None
    keys: Path | None = None
    registry: Path | None = None
    storage: str | None = None
    tracking: str | None = None
    cluster: str | None = None
    log_level: Level = "WARNING"


def settings(file: Path = FILE) -> TrainerSettings:
    """Return the settings; raise `BadConfig` for a key or variable that names nothing."""
    return settle(TrainerSettings, read_mapping(file) if file.is_file() else {}, where=str(file))


def defaults(found: TrainerSettings, commands: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings as defaults of the options of each of typer's commands, by name."""
    given = {name: str(value) for name, value in found.model_dump(exclude={"log_level"}, exclude_none=True).items()}
    return {
        name: {option.name: given[option.name] for option in command.params if option.name in given} for name, command in commands.items()
    }
