"""Making a device: settings, trusted root key and an empty ledger in a folder that had none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from appliance.bundles import BundleStore
from appliance.config import ApplianceConfig, Venue
from appliance.folder import StateFolder, exclusive
from appliance.fs import DurableFs
from appliance.ledger import Ledger, Mode
from appliance.stores import FolderStore
from appliance.sync import published
from signals.bundle import PublicKey
from signals.config import parse
from signals.errors import BadConfig, FixInput
from signals.manifest import Manifest

HEADER = (
    "# Settings of this device. Unknown keys are errors; every order row carries a hash of what can change an order.\n"
)
ROOT_KEY = "root.pub"
SECTIONS = ("portfolio", "execution", "router")


def commission(folder: StateFolder, config: ApplianceConfig, root_key: PublicKey) -> Manifest:
    """Write a new device into `folder`; the settings come last, so that a half-made one is none.

    Returns
    -------
    Manifest
        Of the dataset that it will read.

    Raises
    ------
    FixInput
        The folder holds a device already, or something that is none of one's.
    StoreUnreachable, BadDataset
        The dataset cannot be read; nothing was written.
    """
    if folder.config.exists() or folder.ledger.exists():
        raise FixInput("this folder already holds a device", where=str(folder.root), mend="Choose another --state")
    manifest = published(FolderStore(config.stores.data))
    fs = DurableFs()
    with exclusive(folder):
        BundleStore(folder.bundles, fs).trust(root_key)
        with Ledger(folder.ledger, Mode.WRITE):
            pass  # opening creates the schema
        settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        fs.write(folder.config, (HEADER + settings).encode())
    return manifest


def settings(
    *, store: Path, venue: Venue, equity: float, url: str = "", configs: Path | None = None,
    fixed_ic: float | None = None,
) -> ApplianceConfig:  # fmt: skip
    """Compose a device's settings from a folder of YAML files and what a person gave on the command line.

    Parameters
    ----------
    store : Path
        Holds data/, bundles/ and keyset.json.
    equity : float
        USD in the account of a hosted exchange.
    configs : Path or None
        Folder with appliance.yml (top-level settings) and portfolio.yml, execution.yml, router.yml (one section each).
    fixed_ic : float or None
        Rehearsals: replaces the bundle's IC.
    """
    content: dict[str, Any] = _sections(configs) if configs else {}
    exchange = {**content.get("venue", {}).get("exchange", {}), "cash": f"{equity:.2f}"}
    content["venue"] = {**content.get("venue", {}), "broker": venue.value, "url": url, "exchange": exchange}
    content["stores"] = {"data": str((store / "data").resolve()), "bundles": str(store.resolve())}
    if fixed_ic is not None:
        content["portfolio"] = {**content.get("portfolio", {}), "fixed_ic": fixed_ic}
    return parse(content, ApplianceConfig, where=str(configs or "the options"))


def root_key(path: Path) -> PublicKey:
    """Read the trainer's public root key."""
    try:
        return PublicKey.from_text(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FixInput(
            "the trainer's root key cannot be read", where=f"{path}: {error.strerror}",
            mend="Give the root.pub that `trainer keys` wrote with --trust",
        ) from None  # fmt: skip


def _sections(configs: Path) -> dict[str, Any]:
    if not configs.is_dir():
        raise BadConfig("no such folder of settings", where=str(configs), mend="Name a folder with appliance.yml")
    content = _yaml(configs / "appliance.yml")
    for section in SECTIONS:
        if found := _yaml(configs / f"{section}.yml"):
            content[section] = found
    return content


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadConfig("not valid YAML", where=f"{path}: {error}", mend="Correct the file") from None
    if content is not None and not isinstance(content, dict):
        raise BadConfig("a configuration is a mapping of keys to values", where=str(path), mend="Correct the file")
    return dict(content or {})
