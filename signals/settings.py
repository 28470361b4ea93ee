"""Addresses and paths of a host: a flag beats a `TRADEML_` variable, a variable beats the file.

A variable that names nothing is refused, so that a misspelt one does not silently leave what it was meant to change.
This is the one module that reads the environment outside the programs' own; pydantic-settings does it.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from signals.errors import BadConfig

PREFIX, NESTED = "TRADEML_", "__"
HOME = f"{PREFIX}HOME"  # the folder of the training host's workspace, which no file can say
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]  # of the log
DEFAULT_LEVEL: Level = "WARNING"
M = TypeVar("M", bound=BaseModel)


def settle(model: type[M], file: Mapping[str, Any], *, where: str, decided_by: Mapping[str, str] | None = None) -> M:
    """Return the settings of a host from its environment and, below it, its file.

    Parameters
    ----------
    model : type
        Every key may be given as a variable, one of a section as `TRADEML_STORES__DATA`.
    file : mapping
        Parsed content of the file.
    where : str
        Path of the file, for messages.
    decided_by : mapping of str to str
        Sections that no variable may name, each with what decides instead.

    Raises
    ------
    BadConfig
        A `TRADEML_` variable or a key of the file names nothing, or has a value that is not accepted.
    """
    given = sorted(name.upper() for name in os.environ if name.upper().startswith(PREFIX))
    _require_known(given, names(model), decided_by or {})
    try:
        return (_with_environment(model) if given else model)(**file)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadConfig(f"{key}: {first['msg']}", where=f"{where} or {_variable(key)}", fix=f"Known: {', '.join(names(model))}") from None


def names(model: type[BaseModel], prefix: str = PREFIX) -> list[str]:
    """Return the variables that a model knows, sorted."""
    found = []
    for name, field in model.model_fields.items():
        inner = [part for part in (field.annotation, *get_args(field.annotation)) if isinstance(part, type) and issubclass(part, BaseModel)]
        found += names(inner[0], f"{prefix}{name.upper()}{NESTED}") if inner else [f"{prefix}{name.upper()}"]
    return sorted(found)


def _with_environment(model: type[M]) -> type[M]:
    # here rather than above: 15 MB, which a job of a device without variables does without
    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

    class FromEnvironment(BaseSettings, model):  # type: ignore[valid-type, misc]
        model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=NESTED, extra="forbid", frozen=True)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return env_settings, init_settings  # what was passed is the file's; no `.env` file, no folder of secrets

    return FromEnvironment


def _require_known(given: Sequence[str], known: Sequence[str], decided_by: Mapping[str, str]) -> None:
    for variable in given:
        if variable in known or variable == HOME:
            continue
        section = variable.removeprefix(PREFIX).split(NESTED)[0].lower()
        if section in decided_by:
            raise BadConfig(
                f"the variable {variable} is refused: {decided_by[section]} alone decides {section}",
                where="environment",
                fix=f"Unset it; variables may name {', '.join(known)}",
            )
        raise BadConfig(f"unknown setting {variable}", where="environment", fix=f"Unset it; known: {', '.join(known)}")


def _variable(key: str) -> str:
    return PREFIX + key.upper().replace(".", NESTED)
