"""Base class of configuration models: frozen, validated, refusing unknown keys, read from YAML sections.

Each configured module declares its own small `Config` next to its code; a composition root reads the YAML once and
passes the value on.
"""

import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signals.errors import BadConfig
from signals.files import sha256_of
from signals.text import strict_yaml
from signals.text.wording import clean, reason_of


class Config(BaseModel):
    """Base of every configuration value."""

    # A validator is built when the first value is read, so that importing a module costs none that a process does not use.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def fingerprint(self) -> str:
        """SHA-256 over the canonical JSON of every value, defaults included."""
        return self.hash_of(self.model_dump(mode="json"))

    @staticmethod
    def hash_of(document: Mapping[str, object]) -> str:
        """SHA-256 over the canonical JSON of a configuration's values."""
        return sha256_of(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def section() -> Any:
    """Return the default of a section: an empty one, read by the validator of the whole, so that the section's own is not built."""
    return Field(default={}, validate_default=True)


C = TypeVar("C", bound=Config)


def load(path: Path, model: type[C]) -> C:
    """Read the YAML file at `path` as `model`.

    Raises
    ------
    BadConfig
        The file is absent, is not YAML, or has a key or value that `model` does not accept.
    """
    content = _read(path)
    return parse(content if content is not None else {}, model, where=str(path))


SECTIONS = ("curation", "promotion", "lineage", "options_backtest", "vega_caps")


def load_section(path: Path | None, section: str, model: type[C]) -> C:
    """Read one section of the YAML file at `path` as `model`; no file or no such section means the defaults.

    Raises
    ------
    BadConfig
        The file is absent, is not YAML or no mapping, has a section that no program reads, or the section has a key or value that
        `model` does not accept.
    """
    content = read_mapping(path) if path is not None else {}
    if unknown := sorted(str(name) for name in content if name not in SECTIONS):
        raise BadConfig(f"no section {clean(unknown[0])!r}", where=str(path), fix=f"Sections: {', '.join(SECTIONS)}")
    found = content.get(section)
    return parse(found if found is not None else {}, model, where=f"{path}: {section}")


def read_mapping(path: Path) -> dict[str, object]:
    """Read the YAML file at `path` as a mapping; an empty file is an empty one.

    Raises
    ------
    BadConfig
        The file is absent, is not YAML, or no mapping.
    """
    content = _read(path)
    if not isinstance(content, Mapping | None):
        raise BadConfig("a configuration is a mapping of keys to values", where=str(path), fix="Correct the file")
    return dict(content or {})


def _read(path: Path) -> object:
    try:
        content: object = strict_yaml.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadConfig("no such configuration file", where=str(path), fix="Name an existing YAML file") from None
    except OSError as error:
        raise BadConfig(f"the configuration cannot be read: {reason_of(error)}", where=str(path), fix="Name a YAML file") from None
    except ValueError as error:  # no UTF-8, or no YAML
        raise BadConfig("not valid YAML", where=f"{path}: {reason_of(error)}", fix="Correct the file") from None
    return content


def parse(content: object, model: type[C], *, where: str) -> C:
    """Check `content` (parsed YAML or JSON) against `model`; raise `BadConfig` naming the first wrong key."""
    if not isinstance(content, Mapping):
        raise BadConfig("a configuration is a mapping of keys to values", where=where, fix="Correct the file")
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):  # of a model, of a dataclass
            raise BadConfig(f"unknown key {key}", where=where, fix=_known_keys(model, first["loc"][:-1])) from None
        raise BadConfig(f"{key}: {first['msg']}", where=where, fix="Correct the value") from None


def _known_keys(model: type[Any], path: tuple[str | int, ...]) -> str:
    """Name the keys of the section at `path`, as far as one section is there."""
    at = model
    for part in path:
        inner = _sections(_fields(at).get(str(part)))
        at = inner[0] if inner else at  # the place of a list or the word that chose a kind is no key
    return f"Known keys: {', '.join(sorted(_fields(at)))}"


def _fields(section: type[Any]) -> dict[str, object]:
    """Type of each key of a section: a model, or a dataclass where readers without pydantic share it."""
    if is_dataclass(section):
        return get_type_hints(section)
    return {name: field.annotation for name, field in section.model_fields.items()}


def _sections(annotation: Any) -> list[type[Any]]:
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _sections(inner)]
