"""Addresses and paths of the device: a flag beats a `TRADEML_` variable, a variable beats `config.yml`.

Limits, venue, roles, portfolio, execution and whatever else can change an order come from `config.yml` alone, whose
hash every order row carries; secrets come from the credentials folder alone. A variable that names one is refused.
"""

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path

from appliance.config import ApplianceConfig
from signals.config import Config, parse, read_mapping
from signals.settings import DEFAULT_LEVEL, Level, settle

_given_level: ContextVar[Level | None] = ContextVar("log level of a flag or a variable", default=None)
SECRETS = ("alpaca_key_id", "alpaca_secret_key", "alert_urls", "heartbeat_url", "s3", "backup", "key", "secret", "token", "password")


class ObjectStorePlace(Config):
    """Where an object store is."""

    endpoint: str | None = None


class StorePlaces(Config):
    """Where published things are read from."""

    data: str | None = None
    bundles: str | None = None
    s3: ObjectStorePlace = ObjectStorePlace()


class BackupPlace(Config):
    """Where copies of the ledger go."""

    to: str | None = None
    s3: ObjectStorePlace = ObjectStorePlace()


class DeviceSettings(Config):
    """Settings of a device that a variable may give; None leaves the file's.

    Attributes
    ----------
    state, credentials, runtime : Path or None
        Defaults of the options of these names.
    stores, backup : StorePlaces, BackupPlace
    """

    state: Path | None = None
    credentials: Path | None = None
    runtime: Path | None = None
    stores: StorePlaces = StorePlaces()
    backup: BackupPlace = BackupPlace()
    log_level: Level | None = None


def device_settings() -> DeviceSettings:
    """Return what the environment says; raise `BadConfig` for a variable that names nothing, or what it may not decide."""
    by_file = {name: "config.yml" for name in ApplianceConfig.model_fields if name not in DeviceSettings.model_fields}
    by_credentials = {name: "the credentials folder" for name in SECRETS if name not in DeviceSettings.model_fields}
    return settle(DeviceSettings, {}, where="environment", decided_by=by_credentials | by_file)


def set_log_level(flag: Level | None) -> None:
    """Set the level of this program's log: the flag's, else the environment's, else, once it is read, that of `config.yml`."""
    given = flag or device_settings().log_level
    _given_level.set(given)
    logging.getLogger().setLevel(given or DEFAULT_LEVEL)


def load_config(path: Path) -> ApplianceConfig:
    """Read `config.yml`, with the addresses that the environment gives in place of its own, and log as it says.

    Raises
    ------
    BadConfig
        The file or a variable has a key or value that is not accepted.
    """
    places = device_settings().model_dump(include={"stores", "backup"}, exclude_none=True)
    config = parse(_over(read_mapping(path), places), ApplianceConfig, where=str(path))
    if _given_level.get() is None:
        logging.getLogger().setLevel(config.log_level)
    return config


def _over(file: Mapping[str, object], places: Mapping[str, object]) -> dict[str, object]:
    merged = dict(file)
    for name, value in places.items():
        own = merged.get(name)
        if not isinstance(value, dict):
            merged[name] = value
        elif value and isinstance(own, dict | None):
            merged[name] = _over(own or {}, value)
    return merged
