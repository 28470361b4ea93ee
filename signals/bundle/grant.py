"""Signed rollback grants, which allow a device to return to an older bundle or dataset.

It is signed by the offline root, names one older bundle, and holds only while the device's high-water is the one it
was written for: once a newer bundle has been activated the grant is spent. The high-water itself never goes down.
"""

from collections.abc import Iterable
from datetime import date
from typing import Literal

from pydantic import Field

from signals.bundle.keyset import open_sealed
from signals.bundle.seal import DATA_GRANT_KIND, GRANT_KIND, Document, PublicKey, canonical_json, parse, parse_json
from signals.errors import BundleRefused

MAX_GRANT_BYTES = 16 * 1024


class RollbackGrant(Document):
    """Permission to put the older `bundle_id` in force.

    Attributes
    ----------
    bundle_id, seq : str, int
        The older bundle.
    high_water_seq : int
        The device's high-water for which it was written; any other device state refuses it.
    valid_until : date
        Last session on which it may be used; the bundle then stays in force until a newer one is activated.
    reason : str
        For the record.
    """

    format: Literal["trademl-rollback/1"] = "trademl-rollback/1"
    bundle_id: str
    seq: int = Field(ge=1)
    high_water_seq: int = Field(ge=1)
    valid_until: date
    reason: str = Field(min_length=1)

    def allows(self, bundle_id: str, seq: int, high_water_seq: int, today: date) -> bool:
        """Whether it is for exactly this bundle, this device state and this session."""
        same = (self.bundle_id, self.seq, self.high_water_seq) == (bundle_id, seq, high_water_seq)
        return same and today <= self.valid_until


class DataGrant(Document):
    """Permission for devices to go on from an older version of a dataset than one that they have seen.

    Attributes
    ----------
    name : str
        Of the dataset.
    version : int
        Oldest version that is accepted from then on.
    high_water : int
        Newest version that the device has seen, for which it was written; any other device state refuses it.
    valid_until : date
        Last session on which it may be used.
    reason : str
        For the record.
    """

    format: Literal["trademl-data-rollback/1"] = "trademl-data-rollback/1"
    name: str = Field(min_length=1)
    version: int = Field(ge=1)
    high_water: int = Field(ge=1)
    valid_until: date
    reason: str = Field(min_length=1)


def seal_grant(grant: RollbackGrant | DataGrant, signatures: bytes) -> bytes:
    """Return the grant's file: the payload as a string (the signed bytes) next to the root's signatures."""
    rows = parse_json(signatures, "grant signatures")["signatures"]
    return canonical_json({"payload": grant.to_bytes().decode(), "signatures": rows})


def read_grant(content: bytes, roots: Iterable[PublicKey]) -> RollbackGrant:
    """Check the bytes of a grant against the trusted roots; raise `BundleRefused`."""
    grant = parse(open_sealed(content, GRANT_KIND, roots, "rollback grant", MAX_GRANT_BYTES), RollbackGrant, "grant")
    if grant.seq >= grant.high_water_seq:
        raise BundleRefused("a rollback grant names an older bundle", where=f"seq {grant.seq}")
    return grant


def read_data_grant(content: bytes, roots: Iterable[PublicKey]) -> DataGrant:
    """Check the bytes of a dataset's grant against the trusted roots; raise `BundleRefused`."""
    payload = open_sealed(content, DATA_GRANT_KIND, roots, "data grant", MAX_GRANT_BYTES)
    grant = parse(payload, DataGrant, "data grant")
    if grant.version > grant.high_water:
        raise BundleRefused("a data grant names an older version", where=f"version {grant.version}")
    return grant
