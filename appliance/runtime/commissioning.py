"""Creates a new device: settings, trusted root key and an empty ledger in an empty folder."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml

from appliance.bundles.store import KEYSET_FILE, BundleStore
from appliance.config import ApplianceConfig, BarsFrom, Venue
from appliance.ledger import AccessMode, Ledger
from appliance.storage.published_sources import PublishedSources, verified_manifest
from appliance.storage.published_store import PublishedStore
from appliance.system.state_folder import DurableFs, StateFolder, exclusive
from signals.bundle import PublicKey, read_keyset
from signals.bundle.seal import FINGERPRINT_DIGITS
from signals.config import parse, read_mapping
from signals.errors import BadConfig, FixInput
from signals.market.manifest import Manifest
from signals.storage.places import Place, is_s3
from signals.text.wording import reason_of

FINGERPRINT = re.compile(f"[0-9a-f]{{{FINGERPRINT_DIGITS}}}")
HEADER = "# Settings of this device. Unknown keys are errors; every order row carries a hash of what can change an order.\n"
ROOT_KEY = "root.pub"
SECTIONS = ("portfolio", "execution", "sleeves", "router")  # the last one is what the release before called sleeves


def commission(folder: StateFolder, config: ApplianceConfig, root_key: PublicKey, *, credentials: Path | None = None) -> Manifest:
    """Write a new device into `folder`; the settings come last, so that a half-made one is none.

    Parameters
    ----------
    credentials : Path or None
        Folder with the key files of an object store.

    Returns
    -------
    Manifest
        Of the dataset that it will read.

    Raises
    ------
    FixInput
        The folder holds a device already, or something that is none of one's.
    StoreUnreachable, BadDataset, BundleRefused
        The dataset or the key set cannot be read, or is signed by others; nothing was written. (Whether the signers'
        time is over is judged by the first pull, by the device's own clock.)
    BadConfig
        The settings name a store that cannot be opened.
    """
    if folder.config.exists() or folder.ledger.exists():
        raise FixInput("this folder already holds a device", where=str(folder.root), fix="Choose another --state")
    sources = PublishedSources(config.stores, credentials)
    if config.venue.is_hosted:
        sources.require_folder()  # refused now rather than by the first command
    keyset = sources.bundles().read(KEYSET_FILE)
    manifest = verified_manifest(sources.data(), read_keyset(keyset, [root_key]), date.min, config.stores.data)
    fs = DurableFs()
    with exclusive(folder):
        bundles = BundleStore(folder.bundles, fs)
        bundles.trust(root_key)
        bundles.install_keyset(keyset)
        with Ledger(folder.ledger, AccessMode.WRITE):
            pass  # opening creates the schema
        sources.remember(manifest, folder)
        _write(folder, config, fs)
    return manifest


def rewrite(folder: StateFolder, config: ApplianceConfig) -> None:
    """Replace the settings of a device; raise `Locked` while another process works in its folder."""
    with exclusive(folder):
        _write(folder, config, DurableFs())


def _write(folder: StateFolder, config: ApplianceConfig, fs: DurableFs) -> None:
    settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    fs.write(folder.config, (HEADER + settings).encode())


@dataclass(frozen=True)
class DeviceOptions:
    """Options of the command line for a new device.

    Attributes
    ----------
    store : Path or str
        Holds data/, published bundles and keyset.json: a folder, or `s3://bucket/prefix`.
    equity : float
        USD in the account of a hosted exchange.
    configs : Path or None
        Folder with appliance.yml (top-level settings) and portfolio.yml, execution.yml, sleeves.yml (one section each).
    fixed_ic : float or None
        Rehearsals: replaces the bundle's IC.
    endpoint : str
        Address of an object store that is not Amazon's.
    bars : BarsFrom
        Source of the sessions that the published dataset does not hold yet.
    """

    store: Path | str
    venue: Venue
    equity: float
    url: str = ""
    configs: Path | None = None
    fixed_ic: float | None = None
    endpoint: str = ""
    bars: BarsFrom = BarsFrom.PUBLISHED


def settings(given: DeviceOptions) -> ApplianceConfig:
    """Compose a device's settings from a folder of YAML files and what a person gave on the command line."""
    content = _sections(given.configs) if given.configs else {}
    where = str(given.configs or "the options")
    venue, stores, portfolio = (_section(content, name, where) for name in ("venue", "stores", "portfolio"))
    exchange = {**_section(venue, "exchange", where), "cash": f"{given.equity:.2f}"}
    content["venue"] = {**venue, "broker": given.venue.value, "url": given.url, "exchange": exchange}
    content["stores"] = stores = {**stores, **_places(str(given.store))}
    if given.endpoint:
        stores["s3"] = {**_section(stores, "s3", where), "endpoint": given.endpoint}
    if given.bars is not BarsFrom.PUBLISHED:
        stores["bars"] = given.bars.value
    if given.fixed_ic is not None:
        content["portfolio"] = {**portfolio, "fixed_ic": given.fixed_ic}
    return parse(content, ApplianceConfig, where=where)


def root_key(path: Path) -> PublicKey:
    """Read the trainer's public root key."""
    try:
        return PublicKey.from_text(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FixInput(
            "the trainer's root key cannot be read",
            where=f"{path}: {reason_of(error)}",
            fix="Give the root.pub that `trainer keys` wrote with --trust",
        ) from None


def _places(store: str) -> dict[str, str]:
    if is_s3(store):
        place = Place.parse(store)
        return {"data": str(place.below("data")), "bundles": str(place)}
    return {"data": str((Path(store) / "data").resolve()), "bundles": str(Path(store).resolve())}


def trusted(trust: Path | None, store: str) -> PublicKey:
    """Read the root key from the file that was given, else from a store that is a folder."""
    if trust is None and is_s3(store):
        raise FixInput(
            "the root key decides what this device believes and does not come over the network",
            where="--trust",
            fix="Give the root.pub that `trainer keys` wrote with --trust",
        )
    return root_key(trust or Path(store) / ROOT_KEY)


def trusted_by(word: str, store: str, published: PublishedStore) -> PublicKey:
    """Return the root key of a file, or the store's own where `word` is the fingerprint that `trainer pair` printed.

    The key itself may come over the network, because its fingerprint came by a person.
    """
    digits = re.sub(r"[-\s]", "", word).lower()
    if re.fullmatch("[0-9a-f]+", digits) and len(digits) != FINGERPRINT_DIGITS and not Path(word).exists():
        raise FixInput(
            f"a fingerprint has {FINGERPRINT_DIGITS} digits, this one {len(digits)}", where=word, fix="Copy all that `trainer pair` printed"
        )
    if not FINGERPRINT.fullmatch(digits):
        return trusted(Path(word), store)
    key = PublicKey.from_text(published.read(ROOT_KEY).decode(errors="replace"))
    if key.fingerprint.replace("-", "") != digits:
        raise FixInput(
            f"the store's root key has the fingerprint {key.fingerprint}, not the one that was given",
            where=f"{store}/{ROOT_KEY}",
            fix="Give the one that `trainer pair` prints on the training machine; if it is, somebody changed the store",
        )
    return key


def _section(content: Mapping[str, object], name: str, where: str) -> dict[str, object]:
    found = content.get(name, {})
    if not isinstance(found, Mapping):
        raise BadConfig(f"{name} is a mapping of keys to values", where=where, fix="Correct the file")
    return dict(found)


def _sections(configs: Path) -> dict[str, object]:
    if not configs.is_dir():
        raise BadConfig("no such folder of settings", where=str(configs), fix="Name a folder with appliance.yml")
    files = {name: configs / f"{name}.yml" for name in ("appliance", *SECTIONS)}
    found = {name: read_mapping(file) for name, file in files.items() if file.is_file()}
    content = found.pop("appliance", {})
    content |= {section: values for section, values in found.items() if values}
    return content
