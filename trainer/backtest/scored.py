"""Chooses out-of-sample scores for each evening of a backtest: no model scores sessions that it was fitted on.

Inside the training a run's stored walk-forward scores, in a sealed holdout the scores of its opening, after the
training the published model's own. An evening between them has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Protocol

from signals.errors import FixInput, NotASession
from signals.files import sha256_of
from signals.models.inference import predict
from signals.scoring.scores import Scores
from signals.sleeves import SLEEVES
from signals.sleeves.base import Sleeve
from signals.text.wording import reason_of
from trainer.backtest.archive import Archive
from trainer.backtest.subject import WALK_FORWARD, BacktestSubject, RunScores
from trainer.runs.artefacts import knowing

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
    shape = knowing(SLEEVES[sleeve].of_hash(evidence.spec_hash), subject.run)
    if evidence.spec_hash != shape.spec_hash:
        raise FixInput(
            "the run learned from other features than this version computes", where=str(subject.run), fix="Train again with this version"
        )
    stored = [(Origin.WALK_FORWARD, subject.scores(WALK_FORWARD))]
    if (subject.run / OPENED).is_file():
        stored.append((Origin.HOLDOUT, subject.scores(OPENED)))
    try:
        model = (subject.run / MODEL).read_bytes()
    except OSError as error:
        raise FixInput(
            f"{MODEL} cannot be read: {reason_of(error)}", where=str(subject.run), fix="Name a run folder made by `trainer train`"
        ) from None
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
    longest, gap = _longest_gap(is_scored)
    if longest > horizon:
        raise NotASession(
            f"the model saw {days[gap]} to {days[gap + longest - 1]}: {longest} sessions have no unseen scores",
            where=found.where(),
            fix="Backtest the sessions before them, or those after them",
        )
    return tuple(days)


def _longest_gap(is_scored: Sequence[bool]) -> tuple[int, int]:
    """Length and first place of the longest run of False; (0, 0) without one."""
    longest, place, run = 0, 0, 0
    for i, known in enumerate(is_scored):
        run = 0 if known else run + 1
        if run > longest:
            longest, place = run, i - run + 1
    return longest, place
