"""Accepts RED sessions as missing: a recorded decision of a person, used only by training."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from signals.errors import DataNotUsable, FixInput
from signals.market.dataset import read_manifest
from signals.market.manifest import Manifest, Waiver
from signals.market.sessions import SessionStatus
from trainer.curation.writer import waive

MOST_SHARE = 0.01  # of a dataset's sessions: scars can be accepted, a hole is a reason to find other data


def accept(folder: Path, sessions: Sequence[date], reason: str) -> Manifest:
    """Record that training may treat these RED sessions as missing; return the manifest now in force.

    Raises
    ------
    FixInput
        No reason is given, or a session is not RED.
    NotASession
        A date is no session of the dataset.
    DataNotUsable
        More than 1 % of the sessions would be accepted.
    """
    manifest = read_manifest(folder)
    if not reason.strip():
        raise FixInput("no reason is given", where="--reason", fix="Say why the bars may be missing")
    audits = [manifest.status(day) for day in sessions]
    for audit in audits:
        if audit.status is not SessionStatus.RED:
            raise FixInput(f"{audit.session} is {audit.status}", where=manifest.name, fix="Name RED sessions only")
    accepted = {waiver.session for waiver in manifest.waivers} | {audit.session for audit in audits}
    if len(accepted) > MOST_SHARE * len(manifest.audits):
        raise DataNotUsable(
            f"{len(accepted)} of {len(manifest.audits)} sessions are too many to accept as missing",
            where=f"at most {MOST_SHARE:.0%}",
            fix="Fetch what is missing with trainer backfill, or use other bars",
        )
    return waive(folder, [Waiver(audit.session, reason.strip(), audit.reasons) for audit in audits])
