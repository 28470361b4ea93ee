"""Chooses out-of-sample scores for each evening of a backtest: no model scores sessions that it was fitted on.

Inside the training a run's stored walk-forward scores, in a sealed holdout the scores of its opening, after the
training the published model's own. An evening between them has none.

What a published bundle learned from has ended on the evening `free`; before it there are no scores unless a person asks
for them in so many words, and then every one of them is called in-sample.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Protocol

import numpy as np

from signals.bundle import Bundle, BundleManifest, Policy, PublicKey, Role, read_keyset, verify
from signals.bundle.layout import TRADED, find_latest
from signals.bundle.manifest import MANIFEST_NAME
from signals.code_version import release
from signals.errors import FixInput, NotASession, SkipSession
from signals.events.recorded import SHOWN
from signals.files import sha256_of
from signals.market.sessions import Calendar
from signals.models.inference import predict
from signals.scoring.scores import Scores
from signals.scoring.scoring import newest_features, score
from signals.sleeves import SLEEVES
from signals.sleeves.base import Sleeve
from signals.sleeves.patterns import PATTERNS
from signals.sleeves.risk import RISK
from signals.text.wording import clean, reason_of
from trainer.backtest.archive import Archive
from trainer.backtest.subject import WALK_FORWARD, BacktestSubject, RunScores, file_of_run
from trainer.curation.store import FolderObjectStore
from trainer.runs.artefacts import shape_of

OPENED = "promotion/holdout.parquet"
MODEL = "model.onnx"


class Origin(StrEnum):
    """Who scored an evening."""

    WALK_FORWARD = "walk-forward"
    HOLDOUT = "opened holdout"
    MODEL = "published model"
    IN_SAMPLE = "IN-SAMPLE: a model that had learned from these sessions"
    NONE = "none"


class Evenings(Protocol):
    """Scores of the evenings of an archive."""

    @property
    def archive(self) -> Archive:
        """Whose sessions they are of."""

    def origin(self, asof: date) -> Origin:
        """Say who scores the evening of `asof`."""

    def on(self, asof: date) -> Scores | None:
        """Return the scores of `asof` under its names; None where there are none."""

    def where(self) -> str:
        """Which sessions are scored, in a few words."""


@dataclass(frozen=True, eq=False)
class Scored:
    """A run's unseen scores on every evening that has them.

    Attributes
    ----------
    stored : tuple of (Origin, RunScores)
    model : bytes
        ONNX of the published model.
    model_from : date
        First evening on which every label that the model learned from had ended.
    """

    archive: Archive
    shape: Sleeve
    stored: tuple[tuple[Origin, RunScores], ...]
    model: bytes
    model_from: date

    @cached_property
    def _stored_on(self) -> dict[date, tuple[Origin, RunScores]]:
        return {asof: kept for kept in reversed(self.stored) for asof in kept[1].sessions}

    @cached_property
    def _source(self) -> str:
        return sha256_of(self.model)

    def origin(self, asof: date) -> Origin:
        """Say who scores the evening of `asof`."""
        if asof in self._stored_on:
            return self._stored_on[asof][0]
        return Origin.MODEL if asof >= self.model_from else Origin.NONE

    def on(self, asof: date) -> Scores | None:
        """Return the scores of `asof` under its names; None where there are none."""
        if asof in self._stored_on:
            return self._stored_on[asof][1].on(asof)
        if asof < self.model_from or self.archive.is_red(asof):
            return None
        sleeve = self.shape
        symbols, rows = sleeve.features(self.archive.trailing(asof, sleeve.lookback_sessions), asof).at(asof)
        if not symbols:
            return None
        return Scores(asof, sleeve.name, symbols, predict([self.model], rows), self._source)

    def where(self) -> str:
        """Which sessions are scored, in a few words."""
        parts = [f"{origin} {one.sessions[0]} to {one.sessions[-1]}" for origin, one in self.stored if one.sessions]
        return ", ".join([*parts, f"published model from {self.model_from} to {self.archive.manifest.last}"])


def scored(subject: BacktestSubject) -> Scored:
    """Read every unseen score of a run.

    Raises
    ------
    FixInput
        The run has no model or no scores, or this version computes other features than it learned from.
    """
    evidence = subject.evidence
    sleeve = evidence.sleeve
    if sleeve not in SLEEVES:
        raise FixInput(f"no sleeve {sleeve!r} to backtest", where=str(subject.run), fix=f"Choose of {sorted(SLEEVES)}")
    shape = shape_of(SLEEVES[sleeve], subject.run)
    if evidence.spec_hash != shape.spec_hash:
        raise FixInput(
            "the run learned from other features than this version computes", where=str(subject.run), fix="Train again with this version"
        )
    stored = [(Origin.WALK_FORWARD, subject.scores(WALK_FORWARD))]
    if (subject.run / OPENED).is_file():
        stored.append((Origin.HOLDOUT, subject.scores(OPENED)))
    model = file_of_run(subject.run / MODEL)
    until = date.fromisoformat(evidence.last_label_session)
    return Scored(subject.archive, shape, tuple(stored), model, until)


def tradable(found: Evenings, first: date, last: date, horizon: int) -> tuple[date, ...]:
    """Trade sessions of [first, last] from the first to the last whose evening before is scored.

    Parameters
    ----------
    horizon : int
        So many sessions in a row may lack scores, what a purge leaves out; a book is held over them.

    Raises
    ------
    NotASession
        No evening of the range is scored, or more than `horizon` in a row inside it are not.
    """
    manifest = found.archive.manifest
    days = [day for day in manifest.calendar.between(first, last) if manifest.first < day <= manifest.last]
    is_scored = [found.origin(manifest.calendar.previous(day)) is not Origin.NONE for day in days]
    if not any(is_scored):
        raise NotASession(
            f"no session of {first} to {last} has scores that its model had not seen",
            where=found.where(),
            fix="Choose a range inside these, or open the holdout by `trainer promote`",
        )
    begin, end = is_scored.index(True), len(is_scored) - is_scored[::-1].index(True)
    days, is_scored = days[begin:end], is_scored[begin:end]
    gaps = [[day for day, _ in run] for known, run in groupby(zip(days, is_scored, strict=True), key=itemgetter(1)) if not known]
    longest = max(gaps, key=len, default=[])
    if len(longest) > horizon:
        raise NotASession(
            f"the model saw {longest[0]} to {longest[-1]}: {len(longest)} sessions have no unseen scores",
            where=found.where(),
            fix="Backtest the sessions before them, or those after them",
        )
    return tuple(days)


KEYSET, ROOT = "keyset.json", "root.pub"
FIX = "Name a bundle's folder, or the store that it was published to"


@dataclass(frozen=True, eq=False)
class BundleScored:
    """Scores of a bundle on the evenings of an archive.

    Attributes
    ----------
    is_in_sample_allowed : bool
        Whether sessions that the model learned from are scored too.
    """

    archive: Archive
    bundle: Bundle
    is_in_sample_allowed: bool = False

    @property
    def free(self) -> date:
        """First evening on which every label that the model learned from had ended."""
        manifest = self.bundle.manifest
        return self.archive.manifest.calendar.offset(manifest.last_training_session, manifest.horizon_sessions + 1)

    def origin(self, asof: date) -> Origin:
        """Say who scores the evening of `asof`."""
        if asof >= self.free:
            return Origin.MODEL
        return Origin.IN_SAMPLE if self.is_in_sample_allowed else Origin.NONE

    def on(self, asof: date) -> Scores | None:
        """Return the scores of `asof` as a device would have them; None where it would have none."""
        if self.origin(asof) is Origin.NONE or self.archive.is_red(asof):
            return None
        try:
            return score(self.bundle, newest_features(self.bundle, self.archive.trailing, asof))
        except SkipSession:
            return None

    def where(self) -> str:
        """Which sessions are scored, in a few words."""
        return f"the bundle's last label ended on {self.free}, the data end on {self.archive.manifest.last}"


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Annualised volatilities that a risk bundle forecasts on the evenings of an archive.

    Attributes
    ----------
    scored : BundleScored
        Of the risk sleeve.
    """

    scored: BundleScored

    def on(self, asof: date) -> Mapping[str, float]:
        """Forecasts of `asof` by symbol, as a device has them; none where it would have none."""
        scores = self.scored.on(asof)
        if scores is None:
            return {}
        return {symbol: float(np.exp(score)) for symbol, score in zip(scores.symbols, scores.values, strict=True)}

    def document(self) -> dict[str, str]:
        """Which bundle, and the first evening that it may forecast, for the report."""
        bundle = self.scored.bundle
        first = self.scored.archive.manifest.first if self.scored.is_in_sample_allowed else self.scored.free
        return {"bundle": name_of(bundle.manifest), "sha256": bundle.sha256, "from": str(first)}


def forecasts(archive: Archive, place: Path, trust: Path | None, *, in_sample: bool) -> Forecasts:
    """Return the forecasts of the risk bundle in `place`, or of the store `place`; raises as `open_bundle`."""
    bundle = open_bundle(place, trust, archive.manifest.calendar, sleeves=(RISK.name,))
    return Forecasts(BundleScored(archive, bundle, in_sample))


def has_forecasts(place: Path) -> bool:
    """Whether the store that `place` is, or is inside of, holds a risk bundle."""
    store = store_of(place)
    return store is not None and find_latest(FolderObjectStore(store).get, (RISK.name,), TRADED) is not None


def store_of(place: Path) -> Path | None:
    """The store that `place` is, or that a bundle's folder is in; the former layout has a folder less."""
    return next((path for path in (place, place.parent.parent, place.parent.parent.parent) if (path / KEYSET).is_file()), None)


def open_bundle(place: Path, trust: Path | None, calendar: Calendar, sleeves: tuple[str, ...] = ()) -> Bundle:
    """Verify the bundle in `place`, or the newest one of `sleeves` of the store `place`.

    Parameters
    ----------
    place : Path
        A bundle's folder inside a store, or a store.
    trust : Path, optional
        The root's public key; the store's own `root.pub` where it is not given.
    sleeves : tuple of str
        All that score returns unless given.

    Raises
    ------
    FixInput
        There is no bundle, no key set next to it, or no root key to trust.
    BundleRefused
        A device would refuse it.
    """
    sleeves = sleeves or tuple(name for name in SLEEVES if name not in (RISK.name, PATTERNS.name, *SHOWN))
    folder = place if (place / MANIFEST_NAME).is_file() else _newest(place, sleeves)
    store = store_of(folder)
    if store is None:
        raise FixInput("there is no key set next to the bundle", where=str(folder), fix=FIX)
    root = trust or store / ROOT
    try:
        key = PublicKey.from_text(root.read_text())
        claimed = json.loads((folder / MANIFEST_NAME).read_bytes())
        last = date.fromisoformat(str(claimed["last_training_session"]))
    except OSError as error:
        raise FixInput(
            f"the root key cannot be read: {reason_of(error)}", where=str(root), fix="Name the trainer's root.pub by --trust"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise FixInput(f"not a bundle's manifest ({reason_of(error)})", where=str(folder / MANIFEST_NAME), fix=FIX) from None
    if claimed.get("sleeve") not in sleeves:
        what, wanted = (f"a bundle of the sleeve {clean(str(claimed.get('sleeve')))[:40]} ranks nothing to trade", "a bundle of scores")
        if sleeves == (RISK.name,):
            what, wanted = ("a bundle of scores forecasts no volatility", "a bundle of risk forecasts")
        raise FixInput(what, where=str(folder), fix=f"Name {wanted}")
    policy = Policy(
        today=last,
        calendar=calendar,
        sleeves={name: sleeve.spec for name, sleeve in SLEEVES.items()},
        shapes={name: sleeve.spec_as for name, sleeve in SLEEVES.items()},
        roles=frozenset(Role),
        appliance_version=release(),
    )
    return verify(folder, read_keyset((store / KEYSET).read_bytes(), [key]), policy)


def name_of(manifest: BundleManifest) -> str:
    """Sequence and id, as its folder is named."""
    return f"{manifest.seq}-{manifest.bundle_id}"


def _newest(store: Path, sleeves: tuple[str, ...]) -> Path:
    latest = find_latest(FolderObjectStore(store).get, sleeves, TRADED)
    if latest is None:
        raise FixInput("no bundle is published here", where=str(store), fix=FIX)
    return store / latest.place / latest.folder
