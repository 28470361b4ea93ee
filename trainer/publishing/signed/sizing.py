"""Publishes a sizing policy that its replay accepted, signed, for devices with `sizing: true`."""

from datetime import date, datetime
from pathlib import Path

from portfolio.policy.sizing import GRID, SizingPolicy
from signals.errors import FixInput
from signals.scoring.signed.sizing import SIZING_DOCUMENT, SizingDocument
from trainer.curation.store import ObjectStore
from trainer.off_policy.sizing import SizingVerdict
from trainer.publishing.signed.documents import publish_document


def publish_sizing(
    policy: SizingPolicy, verdict: SizingVerdict, last: date, keys: Path, to: ObjectStore, created: datetime, *, calendar: str = "XNYS"
) -> SizingDocument:
    """Sign the policy and put it in force; `last` is the last session that it learned from.

    Raises
    ------
    FixInput
        The verdict refuses it, or the keys cannot sign.
    """
    if not verdict.is_accepted:
        raise FixInput(f"the policy was {verdict.sentence}", fix="Devices go on with the whole book")

    def payload(seq: int, keyset_version: int) -> SizingDocument:
        return SizingDocument(
            seq=seq,
            created=created,
            calendar=calendar,
            last_training_session=last,
            keyset_version=keyset_version,
            grid=GRID,
            names=policy.names,
            centre=tuple(policy.centre.tolist()),
            scale=tuple(policy.scale.tolist()),
            coefficients=tuple(tuple(tuple(row) for row in after) for after in policy.coefficients.tolist()),
            gain=verdict.gain,
            bound=verdict.bound,
            margin=verdict.margin,
            sessions=verdict.sessions,
        )

    return publish_document(SIZING_DOCUMENT, payload, keys, to, created)
