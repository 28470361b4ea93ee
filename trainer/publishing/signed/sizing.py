"""Publishes a sizing policy that every verdict accepted, signed, for devices with `sizing: true`."""

from datetime import datetime
from pathlib import Path

from portfolio.policy.sizing import GRID
from signals.errors import FixInput
from signals.scoring.signed import SIZING_DOCUMENT, SizingDocument
from trainer.curation.store import ObjectStore
from trainer.off_policy.judged import POLICY_FILE, JudgedPolicy
from trainer.publishing.signed.documents import publish_document, recorded
from trainer.runs import looks


def publish_sizing(folder: Path, data: Path, keys: Path, to: ObjectStore, created: datetime) -> SizingDocument:
    """Sign the policy in `folder`, made by `trainer policy` with the dataset `data`, and put it in force for devices.

    Raises
    ------
    FixInput
        It is no such folder, its document is not the one on the dataset's record, a verdict refuses it, or the keys cannot
        sign.
    """
    judged, sha256 = recorded(folder / POLICY_FILE, JudgedPolicy, data, looks.POLICY)
    if judged.refusals:
        raise FixInput(
            f"the policy is not accepted: {'; '.join(judged.refusals)}", where=str(folder), fix="Devices go on with the whole book"
        )
    weakest = min(judged.verdicts.values(), key=lambda one: one.bound - one.margin)

    def payload(seq: int, keyset_version: int) -> SizingDocument:
        return SizingDocument(
            seq=seq,
            created=created,
            calendar=judged.calendar,
            last_training_session=judged.last,
            keyset_version=keyset_version,
            sleeve=judged.sleeve,
            grid=GRID,
            **vars(judged.values),
            **{name: getattr(weakest, name) for name in ("gain", "bound", "margin", "sessions")},
            verdict_sha256=sha256,
        )

    return publish_document(SIZING_DOCUMENT, payload, keys, to, created)
