"""Counts the trials that a challenger must answer for.

1. Trials of its sleeve whose labelled sessions overlap its own count, whatever the version of the data, the folder, the
   features, the label or the seed.
2. A key (`trainer/search/trial_log.py`) counts once, however often and by whichever command it was asked; but the same
   question with other returns, as another version of the program gives, counts again, and so does each draw of the same
   parameters within one search.
3. A judged book is the training's own trial; the same training judged under further settings of the book is a further
   trial for each of them.
4. A retraining of a lineage counts as none, where its ancestor is on record with the same features, recipe and seed,
   and its data end later.
5. A trial without returns (failed, interrupted) counts too: it is blind, and nothing is known of it.
6. Cells of comparisons (`cells`) count for a comparison of the same instrument, each outcome of a key once.
7. Where a search by a task's own metric asks, only series of that metric are seen; other trials are blind.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from trainer.search.arena import BOOK
from trainer.search.trial_log import COMPARE, JUDGED, SEARCH, Series, Study, Trial, TrialHistory, TrialOutcome


@dataclass(frozen=True, eq=False)
class Counted:
    """The trials that count.

    Attributes
    ----------
    series : tuple of Series
        Net session returns, one for each trial that has a Sharpe ratio.
    blind : int
        Trials without one.
    baselines : mapping of name to Series
        What searches compared their trials with.
    states : mapping of state to count
    retrained : int
        Trainings of a lineage that count as no trial.
    """

    series: tuple[Series, ...]
    blind: int = 0
    baselines: Mapping[str, Series] = field(default_factory=dict)
    states: Mapping[str, int] = field(default_factory=dict)
    retrained: int = 0

    @property
    def tries(self) -> int:
        """N, 1 at least: a caller has tried something."""
        return max(1, len(self.series) + self.blind)


def counting(history: TrialHistory, sleeves: Collection[str], first: str, last: str, metric: str = BOOK) -> Counted:
    """Return the trials that count for a challenger of `sleeves` with labelled sessions [first, last], ISO dates."""
    studies = {n: study for n, study in history.studies.items() if _is_in(study.identity, sleeves, first, last)}
    ancestors = _ancestors(history.studies.values())
    asked: defaultdict[str, list[tuple[str, Trial]]] = defaultdict(list)  # by key: the search, or none, and the trial
    judged: defaultdict[str, dict[str, Trial]] = defaultdict(dict)
    retrained: set[str] = set()
    baselines: dict[str, Series] = {}
    for name, study in studies.items():
        command = study.identity.get("command", SEARCH)
        if study.metric == metric:
            baselines.update(
                {f"{rule} of {study.identity.get('first')}": Series(study.days[: len(net)], net) for rule, net in study.baselines.items()}
            )
        for trial in study.trials if metric in (BOOK, study.metric) else map(_blind, study.trials):
            if command == JUDGED:
                judged[trial.key].setdefault(str(study.identity.get("settings")), trial)
            elif _is_retraining(study, trial, ancestors):
                retrained.add(trial.key)
            else:
                asked[trial.key].append((name if command == SEARCH else "", trial))
    trials = [trial for entries in asked.values() for trial in _distinct(entries)]
    for key, books in judged.items():
        is_known = key in asked or key in retrained
        trials += list(books.values())[is_known:]
    seen = [Series(trial.days, trial.net) for trial in trials if np.isfinite(trial.sharpe)]
    states = Counter(str(trial.state) for trial in trials)
    return Counted(
        tuple(seen),
        len(trials) - len(seen),
        baselines,
        {str(state): states[str(state)] for state in TrialOutcome},
        len(retrained - asked.keys()),
    )


def cells(history: TrialHistory, sleeve: str, symbol: str, first: str, last: str, own: Collection[str]) -> Counted:
    """Return the compared cells of a sleeve on one instrument; those of the keys `own` that have no outcome are no further ones."""
    known: defaultdict[str, dict[bytes, Trial]] = defaultdict(dict)
    for study in history.studies.values():
        symbols = study.identity.get("symbols") or (symbol,)
        is_on_it = isinstance(symbols, list | tuple) and symbol in symbols
        if study.identity.get("command") == COMPARE and is_on_it and _is_in(study.identity, (sleeve,), first, last):
            for trial in study.trials:
                known[trial.key].setdefault(trial.net.tobytes() if np.isfinite(trial.sharpe) else b"", trial)
    seen = [Series(trial.days, trial.net) for outcomes in known.values() for net, trial in outcomes.items() if net]
    return Counted(tuple(seen), sum(outcomes.keys() == {b""} and key not in own for key, outcomes in known.items()))


def _blind(trial: Trial) -> Trial:
    return replace(trial, net=trial.net[:0], days=trial.days[:0])


def sleeves_of(identity: Mapping[str, object]) -> tuple[str, ...]:
    """Sleeves that a study is of; none where it does not say."""
    several, one = identity.get("sleeves"), identity.get("sleeve")
    return tuple(map(str, several)) if isinstance(several, list | tuple) else (str(one),)


def _is_in(identity: Mapping[str, object], sleeves: Collection[str], first: str, last: str) -> bool:
    """Whether the sleeve is one of them and the sessions overlap; what does not say counts."""
    theirs = sleeves_of(identity)
    meets = str(identity.get("first") or first) <= last and str(identity.get("last") or last) >= first
    return meets and any(sleeve in sleeves for sleeve in theirs)


def _distinct(entries: Sequence[tuple[str, Trial]]) -> list[Trial]:
    """Trials of one key: each outcome of a proof, else the search's own record of it; a repeated draw is one more."""
    proved = {trial.net.tobytes(): trial for search, trial in entries if not search and len(trial.net)}
    found = list(proved.values()) or [max((trial for _, trial in entries), key=lambda trial: len(trial.net))]
    drawn = max(Counter(search for search, _ in entries if search).values(), default=0)
    return [*found, *found[:1] * (drawn - len(found))]


def _ancestors(studies: Iterable[Study]) -> dict[str, tuple[str, str, str]]:
    """Sleeve, recipe and last open session by the key of a trial."""
    return {
        trial.key: (str(study.identity.get("sleeve")), trial.recipe, str(study.identity.get("last")))
        for study in studies
        for trial in study.trials
        if trial.recipe
    }


def _is_retraining(study: Study, trial: Trial, ancestors: Mapping[str, tuple[str, str, str]]) -> bool:
    ancestor = ancestors.get(str(study.identity.get("lineage")))
    if ancestor is None:
        return False
    same = (str(study.identity.get("sleeve")), trial.recipe) == ancestor[:2]
    return same and str(study.identity.get("last")) > ancestor[2]
