"""Out-of-sample scores of a stack."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from signals.errors import TooLittleHistory
from signals.market.bars import EXIT_SESSIONS, Floats
from trainer.stacking.combiners import Mask, Trees, Weights
from trainer.stacking.members import Members


class Combiner(Protocol):
    """Learns how to combine."""

    def fit(self, scores: Floats, label: Floats, chosen: Mask) -> Weights | Trees:
        """Learn from the chosen sessions of scores (M, T, N) and labels (T, N)."""
        ...


@dataclass(frozen=True, eq=False)
class StackProof:
    """Stacked scores, float64 (T, N).

    Attributes
    ----------
    out_of_fold : float64
        Every group by a stack of the other groups, over members that never saw it.
    forward : float64
        From group 2 on, by a stack of the walk-forward scores before it.
    whole : Weights or Trees
        Learned from everything: what would be used tomorrow.
    by_group : tuple of (Weights or Trees)
        What each group's stack learned.
    """

    out_of_fold: Floats
    forward: Floats
    whole: Weights | Trees
    by_group: tuple[Weights | Trees, ...]


def prove(members: Members, combiner: Combiner) -> StackProof:
    """Stack out of fold and walking forward.

    Raises
    ------
    TooLittleHistory
        Fewer than three groups: the first has no walk-forward scores, the second nothing to learn from.
    """
    if members.groups < 3:
        raise TooLittleHistory(f"{members.groups} groups, a stack needs 3", fix="Train with more groups")
    out, ahead = np.full(members.label.shape, np.nan), np.full(members.label.shape, np.nan)
    learned = []
    for tested in range(members.groups):
        scores, inside = members.apart_from(tested), members.group == tested
        learned.append(combiner.fit(scores, members.label, _clear_of(members, tested)))
        out[inside] = learned[-1].combine(scores[:, inside])
    forward = np.array([member.forward for member in members.members])
    for tested in range(2, members.groups):
        inside = members.group == tested
        past = _ended_before(members, int(np.flatnonzero(inside)[0]))
        ahead[inside] = combiner.fit(forward, members.label, past).combine(forward[:, inside])
    everything = np.array([member.out_of_fold for member in members.members])
    whole = combiner.fit(everything, members.label, np.ones(len(members.sessions), bool))
    return StackProof(out, ahead, whole, tuple(learned))


def _clear_of(members: Members, tested: int) -> Mask:
    """Sessions whose labels meet neither the tested group's labels nor its embargo.

    A label ends up to `EXIT_SESSIONS` late, after a missing exit; which ones did is not stored with the scores, so that
    all are taken to. Labels are counted in labelled sessions, of which there are no more than sessions: never too
    little is left out.
    """
    rows = np.flatnonzero(members.group == tested)
    position = np.arange(len(members.sessions))
    reach = members.horizon + 1 + EXIT_SESSIONS
    clear: Mask = (position + reach < rows[0]) | (position > rows[-1] + reach + members.embargo)
    return clear


def _ended_before(members: Members, first: int) -> Mask:
    position = np.arange(len(members.sessions))
    past: Mask = (position + members.horizon + 1 + EXIT_SESSIONS < first) & (members.group >= 1)
    return past
