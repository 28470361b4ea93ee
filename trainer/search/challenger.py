"""Requires a challenger's training to be in the trial log, and adds its book to it before a verdict.

What counts is asked of the dataset's record, of those next to it and of the registry's, which keeps what every promotion
before saw: a dataset that is ingested again, or whose record was taken away, does not start again at one trial, or unseen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from signals.errors import FixInput
from trainer.runs import looks
from trainer.runs.evidence import Evidence
from trainer.runs.trials import EvidenceTrials, Trials
from trainer.search import trial_log
from trainer.search.counting import counting
from trainer.search.judgement import SearchEvidence, judge
from trainer.search.trial_log import BARS_KEY, JUDGED, SEARCH, TRAIN, OneTrial, Series, TrialHistory, TrialOutcome, begin, end

FIX = "Merge the record of the dataset that it was trained on: `trainer trials --data D --merge FOLDER`"


@dataclass(frozen=True)
class Challenger:
    """Whose book is judged.

    Attributes
    ----------
    identity : str
        Of its model, for a run of an older version that names no trial.
    settings : str
        Fingerprint of the settings that the book was held under.
    """

    run: Path
    data: Path
    registry: Path
    evidence: Evidence
    identity: str
    settings: str
    bars_hash: str

    @property
    def trials(self) -> EvidenceTrials:
        """Trials as the evidence states them."""
        return self.evidence.trials

    @property
    def key(self) -> str:
        """The trial that it is."""
        return str(self.trials.trial or f"model/{self.identity}")


def entered(challenger: Challenger, book: Series | None) -> TrialHistory:
    """Record the judged book, where there is one, and return everything that is on record; the registry keeps it, and the looks.

    Raises
    ------
    FixInput
        The trials that the run's training counted, or its search, are not on record.
    """
    if (challenger.run / trial_log.FILE).exists():  # of a run of an older version, which carried its trials
        trial_log.merge(challenger.data, challenger.run)
    _require(challenger, trial_log.known(challenger.data, challenger.registry))
    if book is not None:
        _judged(challenger, book)
    for place in trial_log.places(challenger.data):
        if (place / trial_log.FILE).exists():
            trial_log.merge(challenger.registry, place)
        looks.merge(challenger.registry, place)
    return trial_log.known(challenger.data, challenger.registry)


def _judged(challenger: Challenger, book: Series) -> None:
    """Record the judged book."""
    evidence = challenger.evidence
    identity = {
        "command": JUDGED,
        "sleeve": evidence.sleeve,
        "snapshot_id": evidence.snapshot_id,
        "first": evidence.first_training_session,
        "last": evidence.last_label_session,
        "trial": challenger.key,
        "settings": challenger.settings,
        BARS_KEY: challenger.bars_hash,
    }
    question = OneTrial(identity, challenger.key)
    begin(challenger.data, question)
    end(challenger.data, question, book)


def trained(history: TrialHistory, challenger: Challenger) -> Series:
    """Return the series by which the run's training was judged, as it is on record."""
    trainings = [study for study in history.studies.values() if study.identity.get("command") == TRAIN]
    found = [t for study in trainings for t in study.trials if t.key == challenger.key and t.state is TrialOutcome.COMPLETED]
    if not found:
        raise FixInput("the run's training is not on record with its outcome", where=str(challenger.data / trial_log.FILE), fix=FIX)
    return Series(found[-1].days, found[-1].net)


def weighed(history: TrialHistory, challenger: Challenger, book: Series) -> Trials:
    """Return the figures of the judged book over every trial that counts, as its case keeps them."""
    evidence = challenger.evidence
    sessions = evidence.first_training_session, evidence.last_label_session
    return judge(SearchEvidence(book, counting(history, (evidence.sleeve,), *sessions)))


def searched_under(history: TrialHistory, challenger: Challenger) -> tuple[str, ...]:
    """Hashes of the bars that the run's training, and the search that its recipe came from, recorded when they started.

    A recipe that names no search, and whose very trial a search made, is that search's: one that began under the
    training's own bars where there is such a one.
    """
    own = challenger.evidence.promotion_bars or ""
    named = challenger.trials.study
    if named:
        made = [history.studies[named].identity] if named in history.studies else []
    else:
        made = [
            study.identity
            for study in history.studies.values()
            if study.identity.get("command", SEARCH) == SEARCH and any(t.key == challenger.key for t in study.trials)
        ]
    hashes = {str(identity.get(BARS_KEY) or "") for identity in made}
    return (own,) if own in hashes and not named else tuple(sorted({own, *hashes}))


def series_of(sessions: Sequence[str], net: Sequence[float]) -> Series:
    """Return stored returns by ISO date as a series."""
    return Series(np.array(sessions, dtype="datetime64[D]"), np.array(net, dtype=np.float64))


def _require(challenger: Challenger, history: TrialHistory) -> None:
    trials = challenger.trials
    head = trials.chain.head if trials.chain else trial_log.FIRST
    known = {trial.key for study in history.studies.values() for trial in study.trials}
    missing = head not in history.heads or (trials.trial and challenger.key not in known)
    if missing:
        raise FixInput(
            "trials that the run's training counted are not on record next to this dataset",
            where=str(challenger.data / trial_log.FILE),
            fix=FIX,
        )
    history.require(trials.study or "")
