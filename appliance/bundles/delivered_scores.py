"""Scores computed by the trainer: fetched, verified, and never older than the last accepted ones.

The bundle in force is verified all the same: sizing, age and role come from it, and only scores that name it count.
"""

import json
from dataclasses import dataclass
from datetime import date

from appliance.bundles.store import KEYSET_FILE, BundleStore
from appliance.ledger import Ledger
from appliance.storage.published_store import PublishedStore
from signals.bundle import Keyset
from signals.errors import BundleRefused, ScoresRefused, StoreUnreachable
from signals.files import sha256_of
from signals.scoring.evening_scores import ExpectedScores, NewestDocument, open_scores, require_match, require_news, scores_name
from signals.scoring.scores import Scores

ACCEPTED = "accepted_scores"


@dataclass(frozen=True)
class Delivery:
    """Scores that were accepted, the name under which they were delivered, and which document they came in."""

    name: str
    scores: Scores
    revision: int
    sha256: str


def fetch(store: PublishedStore, bundles: BundleStore, ledger: Ledger, wanted: ExpectedScores, name: str = "") -> Delivery:
    """Fetch the delivered scores of an evening and check them; nothing is recorded yet.

    Parameters
    ----------
    store : PublishedStore
        Of published bundles.
    bundles : BundleStore
        Whose key set counts.
    wanted : ExpectedScores
        Of the bundle in force and of the data that the device holds.
    name : str
        Under which they are delivered; their sleeve unless given.

    Raises
    ------
    StoreUnreachable
        They are not delivered yet, or the store cannot be read.
    ScoresRefused
        Signature, session, sleeve, feature spec, bundle or snapshot are wrong, or it is an older document.
    """
    asof, given = wanted.asof, name or wanted.sleeve
    place = scores_name(given, asof)
    content = store.find(place)
    if content is None:
        raise StoreUnreachable(
            f"the scores of {asof} are not delivered yet",
            where=place,
            fix="Run `trainer score-daily`; the job tries again until its deadline",
        )
    digest = sha256_of(content)
    found = open_scores(content, newest_keyset(store, bundles), asof, place)
    require_match(found, wanted, place)
    require_news(found, digest, accepted(ledger, given), place)
    return Delivery(given, found.scored(), found.revision, digest)


def newest_keyset(store: PublishedStore, bundles: BundleStore) -> Keyset:
    """Return the store's newest key set: a key that was revoked since the last pull counts no more.

    Raises
    ------
    ScoresRefused
        The device refuses it.
    StoreUnreachable
        It cannot be read.
    """
    try:
        return bundles.install_keyset(store.read(KEYSET_FILE))
    except BundleRefused as error:
        raise ScoresRefused(error.what, where=error.where or KEYSET_FILE, fix=error.fix) from None


def record_accepted(ledger: Ledger, delivery: Delivery) -> None:
    """Record that this document was accepted: nothing older ever is again."""
    row = {"asof": delivery.scores.asof.isoformat(), "revision": delivery.revision, "sha256": delivery.sha256}
    ledger.write_meta(f"{ACCEPTED} {delivery.name}", json.dumps(row, sort_keys=True))


def accepted(ledger: Ledger, name: str) -> NewestDocument | None:
    """Return the newest document accepted under a name, or None."""
    text = ledger.read_meta(f"{ACCEPTED} {name}")
    if text is None:
        return None
    row = json.loads(text)
    return NewestDocument(date.fromisoformat(row["asof"]), row["revision"], row["sha256"])
