"""Signed documents on the device: pulled, never older than the newest seen, and verified again whenever they count.

`state/bundles/<place>/<file>` is the file as it was delivered; the high-water next to it is kept as a bundle's is.
"""

from datetime import date
from pathlib import Path

from appliance.bundles.store import BundleStore
from appliance.storage.published_store import PublishedStore
from appliance.system.ports import Fs
from appliance.system.state_folder import StateFolder
from signals.bundle import HighWater
from signals.errors import BundleRefused
from signals.files import sha256_of
from signals.market.sessions import Calendar
from signals.scoring.signed import Content, DocumentKind, ExpiringDocument


def kept_in(kind: DocumentKind[Content], folder: StateFolder) -> Path:
    """Return the folder of a kind below `state/bundles`, named as its place in the store."""
    return folder.bundles / kind.place.split("/")[0]


def pull_document(kind: DocumentKind[Content], store: PublishedStore, folder: StateFolder, fs: Fs, asof: date, calendar: Calendar) -> str:
    """Keep the newest published one, if it passes every check; return a sentence on it, empty where there is none.

    Raises
    ------
    BundleRefused
        It is refused; the one that was kept before stays.
    StoreUnreachable
        The store could not be read.
    """
    content = store.find(kind.place)
    if content is None:
        return ""
    own = BundleStore(kept_in(kind, folder), fs, keys=folder.bundles)
    found = kind.open(content, own.keyset(), asof, kind.place)
    _require_valid(kind, found, asof, calendar)
    mark, identity = own.high_water(), sha256_of(content)
    if (found.seq, identity) == (mark.seq, mark.bundle_id):
        fs.write(kept_in(kind, folder) / kind.file, content)
        return f"{kind.noun} {found.seq}"
    if found.seq <= mark.seq:
        raise BundleRefused(f"sequence {found.seq} is not newer than {mark.seq}", where=kind.place, fix=kind.again)
    own.remember(HighWater(found.seq, identity))
    fs.write(kept_in(kind, folder) / kind.file, content)
    return f"{kind.noun} {found.seq} is new"


def load_document(kind: DocumentKind[Content], folder: StateFolder, fs: Fs, asof: date, calendar: Calendar) -> Content:
    """Return the one that was kept, verified again.

    Raises
    ------
    BundleRefused
        There is none, its keys were revoked since, it expired, or it is older than the newest seen.
    """
    content = fs.read(kept_in(kind, folder) / kind.file)
    if content is None:
        setting = kind.place.split("/")[0]
        raise BundleRefused(f"no {kind.noun} has been delivered", fix=f"{kind.again}, or set `{setting}: false`")
    own = BundleStore(kept_in(kind, folder), fs, keys=folder.bundles)
    found, mark = kind.open(content, own.keyset(), asof, kind.file), own.high_water()
    _require_valid(kind, found, asof, calendar)
    if (found.seq, sha256_of(content)) != (mark.seq, mark.bundle_id):
        raise BundleRefused(f"the kept bytes are not those of sequence {mark.seq}", where=kind.file, fix="Run `appliance pull`")
    return found


def _require_valid(kind: DocumentKind[Content], found: ExpiringDocument, asof: date, calendar: Calendar) -> None:
    if found.calendar != calendar.name:
        raise BundleRefused(f"the {kind.noun} counts sessions of {found.calendar}, not {calendar.name}", where=kind.place)
    age = len(calendar.between(found.last_training_session, asof)) - 1
    if age > found.expiry_sessions or found.last_training_session > asof:
        raise BundleRefused(
            f"the {kind.noun} is {age} sessions old and expired after {found.expiry_sessions}", where=kind.place, fix=kind.again
        )
