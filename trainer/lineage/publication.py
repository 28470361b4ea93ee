"""Publishes a run in a role as the registry allows it, and lets its lineage begin or go on with it."""

from datetime import datetime, timedelta
from pathlib import Path

from signals.bundle import Role
from signals.errors import FixInput
from signals.market.sessions import exchange
from signals.sleeves import specs
from signals.sleeves.events import EVENTS
from signals.storage.places import is_s3
from trainer.promotion import lineage_log
from trainer.promotion.champions import confirm
from trainer.publishing.publish import Publication, PublishRequest, is_retraining, last_training_session, publish
from trainer.publishing.remote import publish_remote
from trainer.publishing.stores import objects_at
from trainer.runs.artefacts import features_of
from trainer.runs.evidence import read_evidence
from trainer.runs.run_folder import exclusive
from trainer.tasks.recipes import require_traded

SELF_CHECK_DAYS = 14
XNYS = "XNYS"


def publish_as(
    request: PublishRequest, to: str, registry: Path, *, accept: str = "", endpoint: str = "", credentials: Path | None = None
) -> tuple[Publication, str]:
    """Publish to a folder or `s3://bucket/prefix`; return the publication and the place of its bundle.

    Parameters
    ----------
    accept : str
        Why an evaluation is accepted; with it its lineage begins.

    Raises
    ------
    FixInput
        The registry does not allow this run in this role, or the run or the keys cannot be used.
    BundleRefused
        A device would refuse the bundle; nothing was published.
    """
    run, role, accept = request.run, request.role, accept.strip()
    if accept and role is not Role.EVALUATION:
        raise FixInput("only an evaluation is accepted", where="--accept", fix="Leave it out")
    if role is Role.CHAMPION:
        confirm(registry, run)
    elif is_retraining(run):
        lineage_log.require_head(registry, run, role)
    if (known := read_evidence(run)).sleeve == EVENTS.name:
        require_traded(known, run)  # a blend would take what a gate or a quantile says for a score
    last = last_training_session(run)
    calendar = exchange(read_evidence(run).dataset.calendar or XNYS, last, last + timedelta(days=SELF_CHECK_DAYS))
    sleeves = specs(features_of(run).spec)
    if is_s3(to):
        done, place = publish_remote(objects_at(to, endpoint, credentials), request, calendar, sleeves)
    else:
        done = publish(request, calendar, sleeves)
        place = str(done.folder)
    if role is not Role.EVALUATION or accept or is_retraining(run):
        _remember(registry, run, role, accept, done, request.created)
    return done, place


def _remember(registry: Path, run: Path, role: Role, accept: str, done: Publication, at: datetime) -> None:
    """Let a lineage begin with what was accepted, and note the bundle of each of its models."""
    with exclusive(registry, "promotion"):
        if not is_retraining(run) and role is not Role.CHAMPION:
            lineage_log.begin(registry, run, role, accept or "a challenger", at)
        lineage_log.note_published(registry, run, role, done.sha256, at)
