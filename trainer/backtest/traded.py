"""Chooses the scores that a backtest trades: a run folder's, a signed bundle's, or those of several published sleeves.

Several published sleeves are blended as a device blends them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from portfolio.policy.blend import MOST_MISSING, SizedScores, blended
from portfolio.risk.kelly import SizingCoefficient
from signals.bundle import Bundle, Part
from signals.errors import DataNotUsable, InvariantBroken
from signals.files import sha256_of
from signals.market.dataset import read_manifest
from signals.market.manifest import Manifest
from signals.monitoring.expectation import policy_book_of
from signals.scoring.scores import Scores
from signals.text import strict_json
from trainer.backtest.archive import Archive, open_archive
from trainer.backtest.document import ScoreSource, TradedBundle
from trainer.backtest.engine import BacktestPolicy
from trainer.backtest.scored import BundleScored, Evenings, Origin, name_of, open_bundle, scored
from trainer.backtest.subject import BacktestSubject, BookSettings, subject_of
from trainer.runs.evidence import Evidence
from trainer.runs.run_folder import file_hash, parsed
from trainer.runs.trials import Trials


@dataclass(frozen=True, eq=False)
class SleeveInBook:
    """One sleeve's bundle on the evenings of an archive, what sizes it, and its weight."""

    evenings: BundleScored
    ic: SizingCoefficient
    weight: float

    @property
    def name(self) -> str:
        """The sleeve."""
        return self.evenings.bundle.manifest.sleeve


@dataclass(frozen=True, eq=False)
class BlendedEvenings:
    """Blended scores of several sleeves; an evening on which more than half of the weight has none has no scores.

    Attributes
    ----------
    sleeves : tuple of SleeveInBook
        In the configured order.
    fixed_ic : float or None
        Of the portfolio's settings.
    """

    archive: Archive
    sleeves: tuple[SleeveInBook, ...]
    fixed_ic: float | None

    def origin(self, asof: date) -> Origin:
        """Say who scores the evening of `asof`: in-sample where any sleeve with scores had learned from it."""
        origins = {sleeve.name: sleeve.evenings.origin(asof) for sleeve in self.sleeves}
        lost = sum(sleeve.weight for sleeve in self.sleeves if origins[sleeve.name] is Origin.NONE)
        if lost > MOST_MISSING * sum(sleeve.weight for sleeve in self.sleeves):
            return Origin.NONE
        return Origin.IN_SAMPLE if Origin.IN_SAMPLE in origins.values() else Origin.MODEL

    def on(self, asof: date) -> Scores | None:
        """Return the blend of `asof`; None where a device would have none."""
        said = {sleeve.name: sleeve.evenings.on(asof) for sleeve in self.sleeves}
        parts, missing = [], dict[str, float]()
        for sleeve in self.sleeves:
            scores = said[sleeve.name]
            if scores is None:
                missing[sleeve.name] = sleeve.weight
            else:
                parts.append(SizedScores(scores, sleeve.ic, sleeve.evenings.bundle.manifest.horizon_sessions, sleeve.weight))
        try:
            return blended(parts, missing, self.fixed_ic)
        except DataNotUsable:
            return None

    def where(self) -> str:
        """Which sessions are scored, in a few words."""
        return "; ".join(f"{sleeve.name}: {sleeve.evenings.where()}" for sleeve in self.sleeves)

    def sources(self) -> Mapping[str, str]:
        """SHA-256 of each sleeve's bundle."""
        return {sleeve.name: sleeve.evenings.bundle.sha256 for sleeve in self.sleeves}


@dataclass(frozen=True, eq=False)
class Traded:
    """Scores, how the book on them is sized, and where they come from.

    Attributes
    ----------
    horizon : int
        k, sessions.
    trials : Trials
        What the evidence counts.
    model : str
        SHA-256 of the published model's first file.
    """

    archive: Archive
    evenings: Evenings
    ic: SizingCoefficient
    horizon: int
    trials: Trials
    source: ScoreSource
    model: str

    def policy(self, settings: BookSettings, code_version: str) -> BacktestPolicy:
        """Return the policy that trades these scores."""
        return BacktestPolicy(settings.portfolio, settings.execution, self.ic, self.horizon, code_version)


def of_run(run: Path, data: Path, last: date) -> Traded:
    """Return a run folder's unseen scores, on the newest version of its data where `last` is after the first ones."""
    subject = _reaching(subject_of(run, data), data, last)
    evidence = subject.evidence
    return Traded(
        subject.archive,
        scored(subject),
        subject.ic,
        evidence.horizon,
        evidence.trials,
        ScoreSource(
            run=run.name,
            sleeve=evidence.sleeve,
            last_training_session=evidence.last_training_session,
            is_trained_on=True,
            horizon=evidence.horizon,
            trained_by=evidence.code_version,
        ),
        file_hash(run / "model.onnx"),
    )


def of_bundle(place: Path, trust: Path | None, data: Path, *, in_sample: bool) -> Traded:
    """Return a bundle's scores, after what it learned from, or, if asked to, of every session."""
    archive = open_archive(data)
    return _of(archive, open_bundle(place, trust, archive.manifest.calendar), data, in_sample=in_sample)


def of_sleeves(
    store: Path, weights: Mapping[str, float], trust: Path | None, data: Path, *, fixed_ic: float | None, in_sample: bool
) -> Traded:
    """Return what several sleeves of a store say together, each by its newest bundle, as a device blends them."""
    archive = open_archive(data)
    calendar = archive.manifest.calendar
    each = {name: _of(archive, open_bundle(store, trust, calendar, sleeves=(name,)), data, in_sample=in_sample) for name in weights}
    members = tuple(SleeveInBook(_bundled(one.evenings), one.ic, weights[name]) for name, one in each.items())
    first = next(iter(each.values()))
    evenings = BlendedEvenings(archive, members, fixed_ic)
    return Traded(
        archive,
        evenings,
        first.ic,
        max(one.horizon for one in each.values()),
        max((one.trials for one in each.values()), key=lambda trials: trials.n_trials or 0),
        replace(
            first.source,
            run=f"{len(each)} sleeves of {store.name}",
            sleeve=", ".join(weights),
            last_training_session=max(one.source.last_training_session for one in each.values()),
            is_trained_on=all(one.source.is_trained_on for one in each.values()),
            sleeves=evenings.sources(),
        ),
        sha256_of("".join(one.model for one in each.values()).encode()),
    )


def _bundled(evenings: Evenings) -> BundleScored:
    if not isinstance(evenings, BundleScored):
        raise InvariantBroken("a sleeve of a book is a bundle's")
    return evenings


def _of(archive: Archive, bundle: Bundle, data: Path, *, in_sample: bool) -> Traded:
    manifest = bundle.manifest
    path = manifest.of(Part.EVIDENCE)[0].path
    evidence = parsed(Evidence, strict_json.loads(bundle.contents.files[path], decimals=float), path)
    book = policy_book_of(bundle)
    return Traded(
        archive,
        BundleScored(archive, bundle, in_sample),
        SizingCoefficient(manifest.ic.mean, manifest.ic.t, book.t if book else None),
        manifest.horizon_sessions,
        evidence.trials,
        ScoreSource(
            run=f"bundle {name_of(manifest)}",
            sleeve=manifest.sleeve,
            last_training_session=str(manifest.last_training_session),
            is_trained_on=_knows(data, archive.manifest, manifest.trainer.snapshot_ids),
            bundle=TradedBundle(bundle.sha256, manifest.role.value, manifest.refusal, tuple(bundle.signers), bundle.age_limit_sessions),
            horizon=manifest.horizon_sessions,
            trained_by=manifest.trainer.code_version,
        ),
        manifest.of(Part.MODEL)[0].sha256,
    )


def _knows(data: Path, manifest: Manifest, snapshots: tuple[str, ...]) -> bool:
    """Whether a version of the dataset is one that the bundle was trained on."""
    return any(read_manifest(data, version).snapshot_id in snapshots for version in range(manifest.version, 0, -1))


def _reaching(subject: BacktestSubject, data: Path, last: date) -> BacktestSubject:
    """Return the subject on its dataset's newest version where the range goes on after what the run was given."""
    kept = subject.archive
    if last <= kept.manifest.last:
        return subject
    newest = open_archive(data)
    same = (newest.manifest.name, newest.manifest.vendor) == (kept.manifest.name, kept.manifest.vendor)
    return replace(subject, archive=newest) if same and newest.manifest.last > kept.manifest.last else subject
