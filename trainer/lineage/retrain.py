"""Retrains a lineage: the accepted recipe on newer data, checked against its predecessor, never promoted.

What cannot be published is refused before anything is fitted where that is known: a second time in a week, over RED
sessions, after the lineage's end. A refused retraining leaves a record and a run folder that nothing publishes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from signals.bundle import Role
from signals.bundle.verification import first_difference
from signals.config import parse
from signals.errors import FixInput
from signals.features.panel import FeaturePanel
from signals.files import write_atomic
from signals.market.dataset import read_manifest
from signals.market.manifest import Manifest
from signals.market.sessions import Calendar, SessionStatus, exchange
from signals.sleeves import specs
from signals.sleeves.events import EVENTS
from signals.sleeves.patterns import PATTERNS
from signals.storage.places import is_s3
from signals.text import strict_json
from signals.text.documents import to_json
from trainer.learners.base import FitDevice
from trainer.lineage.rules import Facts, JudgedFacts, LineageConfig, RecipeUsed, due, judge
from trainer.promotion import history, lineage_log
from trainer.promotion.champions import confirm
from trainer.promotion.lineage_log import Lineage, LineageEvent
from trainer.promotion.measure import FOLDER
from trainer.publishing.publish import Publication, PublishRequest, is_retraining, last_training_session, publish, sleeve_of
from trainer.publishing.remote import publish_remote
from trainer.publishing.stores import objects_at
from trainer.runs.artefacts import features_of
from trainer.runs.chain import Record
from trainer.runs.evidence import BarResult, Retraining, read_evidence
from trainer.runs.run_folder import TRAINING, TrainingSettings, canonical_json, exclusive, parsed, refuse_existing
from trainer.tasks.recipes import config_of, recipe_named, require_traded
from trainer.training import train as training
from trainer.validation.likeness import Likeness, SeedNull, likeness_to_predecessor
from trainer.validation.splits.oof import Step

VERDICT = "lineage.json"
WEEK_SESSIONS = 5


@dataclass(frozen=True)
class RetrainRequest:
    """Model to retrain, and the data.

    Attributes
    ----------
    role : Role
        Whose lineage: the champion's, or that of the accepted evaluation or of the published shadow.
    end : date or None
        Last session that a label may end at; the dataset's own where it is None.
    at : datetime
        UTC; is kept in the record.
    """

    sleeve: str
    role: Role
    data: Path
    run: Path
    registry: Path
    end: date | None
    rules: LineageConfig
    workers: int
    code_version: str
    at: datetime


@dataclass(frozen=True)
class RetrainOutcome:
    """The record, and every row of the verdict; a refusal without a training has the first rows only."""

    record: Record
    rows: tuple[BarResult, ...]

    @property
    def is_kept(self) -> bool:
        """Whether it is the lineage's newest model now."""
        return bool(self.record["event"] == LineageEvent.RETRAINED)


Compare = Callable[[FeaturePanel, bytes], Retraining]
Make = Callable[[RetrainRequest, TrainingSettings, Compare], None]


def train_again(request: RetrainRequest, accepted: TrainingSettings, compare: Compare, step: Step = lambda _: None) -> None:
    """Run the accepted model's own training on the newest data: its recipe, seed, device and names."""
    if (asked := accepted.range) is None:
        raise FixInput("the accepted training does not say what range it read", fix="Promote a run of this version")
    training.train(
        recipe_named(accepted.sleeve),
        config_of(accepted.config, where="the accepted recipe"),
        training.TrainingRequest(
            data=request.data,
            run=request.run,
            start=asked.start,
            end=request.end,
            symbols=asked.symbols,
            seed=accepted.seed,
            workers=request.workers,
            code_version=request.code_version,
            device=FitDevice(accepted.device),
            compare=compare,
            lineage=accepted.trial or "",
        ),
        step,
    )


def steps(request: RetrainRequest) -> int:
    """How often a real training calls its step at most."""
    found = lineage_log.newest(request.registry, request.sleeve, request.role)
    return training.steps(config_of(_accepted(request, found).config, where="the accepted recipe"))


def retrain(request: RetrainRequest, make: Make = train_again) -> RetrainOutcome:
    """Train a lineage again and record what came of it.

    `make` writes the run folder, by the accepted training's configuration, and compares the new model.

    Raises
    ------
    FixInput
        The sleeve has no such lineage, or its files, the dataset or the run folder cannot be used.
    Locked
        A promotion is at work in the registry.
    """
    refuse_existing(request.run)
    found = lineage_log.newest(request.registry, request.sleeve, request.role)
    manifest = read_manifest(request.data)
    end = request.end or manifest.last
    calendar, (trained, labelled) = manifest.calendar, lineage_log.days(found.head)
    until = calendar.offset(end, calendar.index(trained) - calendar.index(labelled))  # as far before `end` as the predecessor's
    facts = _facts(found, calendar, until, _red(manifest, labelled, end))
    rows = due(facts, request.rules)
    if not all(row.passed for row in rows):
        return _recorded(request, found, facts, rows, {})
    accepted = _accepted(request, found)
    older = [lineage_log.kept(request.registry, one["model_sha256"][0]) for one in (found.head, found.root)]
    seen: list[Likeness] = []

    def compare(panel: FeaturePanel, model: bytes) -> Retraining:
        seen[:] = likeness_to_predecessor(model, panel, *older)
        return Retraining(found.id, len(found.retrained) + 1, str(request.role), *seen)

    make(request, accepted, compare)
    made = lineage_log.described(request.run, read_evidence(request.run))
    judged = JudgedFacts(
        **vars(_facts(found, manifest.calendar, lineage_log.days(made)[0], facts.red)),
        predecessor=seen[0],
        ancestor=seen[1],
        null=parsed(SeedNull, null, lineage_log.LINEAGES) if (null := found.root["null"]) else None,
        recipe=_recipe(made),
        accepted=_recipe(found.root),
    )
    rows = judge(judged, request.rules)
    write_atomic(request.run / FOLDER / VERDICT, canonical_json({"rows": rows, **to_json(judged)}))
    return _recorded(request, found, judged, rows, made)


def _accepted(request: RetrainRequest, found: Lineage) -> TrainingSettings:
    """The configuration that the accepted model was trained with."""
    content = lineage_log.kept(request.registry, str(found.root["training_sha256"]))
    return parsed(TrainingSettings, strict_json.loads(content, decimals=float), "the accepted recipe")


def _recorded(request: RetrainRequest, found: Lineage, facts: Facts, rows: tuple[BarResult, ...], made: Record) -> RetrainOutcome:
    """Record the verdict, unless the lineage went on meanwhile."""
    failed = [row for row in rows if not row.passed]
    with exclusive(request.registry, "promotion"):
        if lineage_log.newest(request.registry, request.sleeve, request.role).head != found.head:
            raise FixInput("the lineage went on while this was trained", where=str(request.registry), fix="Train it again")
        if made and not failed:
            for name in (lineage_log.MODEL, TRAINING):
                lineage_log.keep(request.registry, (request.run / name).read_bytes())
        record = lineage_log.append(
            request.registry,
            {
                "sleeve": request.sleeve,
                "run": request.run.name,
                **made,
                "event": str(LineageEvent.REFUSED if failed else LineageEvent.RETRAINED),
                "lineage": found.id,
                "of": len(found.retrained) + 1,
                "role": str(request.role),
                "at": request.at.isoformat(),
                "facts": to_json(facts),
                "rules": request.rules.model_dump(mode="json"),
                "rows": to_json(rows),
                "why": "; ".join(f"{row.bar}: {row.why}" for row in failed) or "inside every bound",
            },
        )
    return RetrainOutcome(record, rows)


def audit(registry: Path) -> int:
    """Judge every recorded retraining again and return how many records there are.

    Raises
    ------
    FixInput
        A verdict does not follow from its figures, or a kept file was changed.
    """
    records = history.read(registry / lineage_log.LINEAGES).records
    for record in records:
        if record["event"] not in (LineageEvent.RETRAINED, LineageEvent.REFUSED):
            continue
        rules = parse(record["rules"], LineageConfig, where=lineage_log.LINEAGES)
        where, facts = lineage_log.LINEAGES, record["facts"]
        is_made = "recipe" in facts
        again = judge(parsed(JudgedFacts, facts, where), rules) if is_made else due(parsed(Facts, facts, where), rules)
        if to_json(again) != list(record["rows"]):
            raise FixInput(
                f"the verdict of record {record['number']} does not follow from its figures",
                where=str(registry / lineage_log.LINEAGES),
                fix=history.FIX,
            )
        if record["event"] == LineageEvent.RETRAINED:
            for sha256 in (*record["model_sha256"], record["training_sha256"]):
                lineage_log.kept(registry, str(sha256))
    return len(records)


def replaced(record: Record) -> float | None:
    """Share of a decile book that the retraining alone replaces; None where it was not compared."""
    found = record["facts"].get("predecessor") or {}
    return found.get("turnover")


def _facts(found: Lineage, calendar: Calendar, last: date, red: tuple[str, ...]) -> Facts:
    index = calendar.index(last)
    return Facts(
        apart=index - calendar.index(lineage_log.days(found.head)[0]), age=index - calendar.index(lineage_log.days(found.root)[0]), red=red
    )


def _recipe(record: Record) -> RecipeUsed:
    return RecipeUsed(str(record["config_hash"]), str(record["spec_hash"]), int(record["horizon"]))


def _red(manifest: Manifest, since: date, end: date) -> tuple[str, ...]:
    """RED sessions since the predecessor's last label, and of the last week in any case."""
    days = manifest.calendar.days
    last = manifest.calendar.index(end)
    first = min(manifest.calendar.index(since) + 1, last - WEEK_SESSIONS + 1)
    return tuple(str(day) for day in days[first : last + 1] if manifest.status(day).status is SessionStatus.RED)


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
    known = read_evidence(run)
    is_shown = sleeve_of(run) != known.sleeve
    if is_shown and accept:
        raise FixInput("what a device only shows has no lineage", where="--accept", fix="Leave it out")
    if known.sleeve == EVENTS.name and not is_shown:
        require_traded(known, run)
    last = last_training_session(run)
    calendar = exchange(read_evidence(run).dataset.calendar or XNYS, last, last + timedelta(days=SELF_CHECK_DAYS))
    sleeves = specs(features_of(run).spec)
    if (is_shown or known.sleeve == PATTERNS.name) and (other := first_difference(features_of(run).spec, sleeves[sleeve_of(run)])):
        fix = "Train on daily bars"
        raise FixInput(f"a device does not compute what this run reads: {other}", where=str(run), fix=fix)
    if is_s3(to):
        done, place = publish_remote(objects_at(to, endpoint, credentials), request, calendar, sleeves)
    else:
        done = publish(request, calendar, sleeves)
        place = str(done.folder)
    if not is_shown and (role is not Role.EVALUATION or accept or is_retraining(run)):
        _remember(registry, run, role, accept, done, request.created)
    return done, place


def _remember(registry: Path, run: Path, role: Role, accept: str, done: Publication, at: datetime) -> None:
    """Let a lineage begin with what was accepted, and note the bundle of each of its models."""
    with exclusive(registry, "promotion"):
        if not is_retraining(run) and role is not Role.CHAMPION:
            lineage_log.begin(registry, run, role, accept or "a challenger", at)
        lineage_log.note_published(registry, run, role, done.sha256, at)
