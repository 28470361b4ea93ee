"""Scores of a stack out of sample, and the judgement whether it beats its best member. Pure.

The best member is the one with the best walk-forward Sharpe ratio on the sessions that the stack has too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from signals.errors import TooLittleHistory
from signals.market.bars import EXIT_SESSIONS, Floats, Opens
from trainer.runs.evidence import finite
from trainer.search.judgement import BLOCKS
from trainer.search.trial_log import sharpe_of
from trainer.stacking.members import Mask, Members, Trees, Weights
from trainer.tasks.rank_return import FOLD_DEPENDENCE
from trainer.validation.calibration import fit_platt
from trainer.validation.deciles import SESSIONS_PER_YEAR, book_returns
from trainer.validation.ic import Mean, overlapping_mean, rank_ic
from trainer.validation.probabilities import MIN_ROWS, Judged, judged_map
from trainer.validation.significance import dsr
from trainer.validation.significance.pbo import probability_of_overfitting


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
    return (position + members.horizon + 1 + EXIT_SESSIONS < first) & (members.group >= 1)


STACK, AVERAGE = "stack", "weighted average"
ONE_SIDED = 1.645
MIN_ADVANTAGE_T = ONE_SIDED * FOLD_DEPENDENCE  # one-sided 5 % of a t whose noise has a standard deviation of 1.4


@dataclass(frozen=True, eq=False)
class ScoreRecord:
    """Performance of one set of scores.

    Attributes
    ----------
    ic, forward_ic : Mean
        Out of fold on every session; walking forward on the sessions that every record has.
    series : float64, shape (T,)
        Out-of-fold IC per session.
    net : float64, shape (n,)
        Net session returns of the walk-forward decile book, on the common sessions.
    tries : int
        Trials behind it.
    reliability : Judged, optional
        Of the map from its out-of-fold scores to the probability that a label is above its session's median; None of too few.
    """

    ic: Mean
    forward_ic: Mean
    series: Floats
    net: Floats
    tries: int
    reliability: Judged | None = None


@dataclass(frozen=True)
class Condition:
    """One condition: what the stack has, what the best member has, and whether that is good enough."""

    what: str
    stack: float | None
    best: float | None
    passed: bool


def records(
    members: Members, proof: StackProof, average: StackProof, following: Opens, counts: Mapping[str, int] | None = None
) -> dict[str, ScoreRecord]:
    """Return the record of every member, of the configured average and of the stack, all on the same sessions.

    `counts` are the trials on record by name of a member and of the stack: no fewer than their evidence says.
    """
    known = counts or {}
    own = {m.name: max(m.evidence.trials.n_trials or 1, known.get(m.name, 1)) for m in members.members}
    tries = max(sum(own.values()), known.get(STACK, 1) - 1)
    common: Mask = np.asarray(np.isfinite(proof.forward).any(axis=1), dtype=np.bool_)
    asked = {
        **{m.name: (m.out_of_fold, m.forward, own[m.name]) for m in members.members},
        AVERAGE: (average.out_of_fold, average.forward, tries),
        STACK: (proof.out_of_fold, proof.forward, tries + 1),
    }
    found = {}
    for name, (out, forward, count) in asked.items():
        ahead = np.where(common[:, None], forward, np.nan)
        series = rank_ic(out, members.label)
        found[name] = ScoreRecord(
            overlapping_mean(series, members.horizon),
            overlapping_mean(rank_ic(ahead, members.label), members.horizon),
            series,
            book_returns(ahead, following, members.horizon).net,
            count,
            reliability(out, members.label, members.horizon),
        )
    return found


def reliability(scores: Floats, label: Floats, horizon: int) -> Judged | None:
    """Judge on the later half of the sessions what a map of the earlier half makes of scores; both are (T, N)."""
    rows, columns = np.nonzero(np.isfinite(scores) & np.isfinite(label))
    if rows.size == 0:
        return None
    known, own = np.where(np.isfinite(scores), label, np.nan)[np.unique(rows)], np.unique(rows, return_inverse=True)[1]
    came = (label[rows, columns] > np.nanmedian(known, axis=1)[own]).astype(np.float64)
    middle = int(rows[-1] + rows[0]) // 2
    taught, later = rows + horizon < middle, rows >= middle
    if min(int(taught.sum()), int(later.sum())) < MIN_ROWS or np.ptp(scores[rows, columns]) == 0.0:
        return None
    said = fit_platt(scores[rows, columns][taught], came[taught]).probability(scores[rows, columns][later])
    return judged_map(said, float(came[taught].mean()), came[later], rows[later], horizon)


def best_of(found: Mapping[str, ScoreRecord]) -> str:
    """Name of the best member; ties go to the first."""
    members = [name for name in found if name not in (STACK, AVERAGE)]
    return max(members, key=lambda name: _number(annual(found[name].net), -np.inf))


def rows_of(found: Mapping[str, ScoreRecord], horizon: int) -> tuple[Condition, ...]:
    """Return the conditions: better out of fold and walking forward, neither DSR nor PBO worse, and probabilities that hold."""
    stack, best = found[STACK], found[best_of(found)]
    gain = overlapping_mean(stack.series - best.series, horizon)
    deflated, least = _deflated(stack), _deflated(best)
    lost, usual = _lost(found, with_stack=True), _lost(found, with_stack=False)
    sharpe, bar = annual(stack.net), annual(best.net)
    return (
        Condition("out-of-fold IC", stack.ic.mean, best.ic.mean, stack.ic.mean > best.ic.mean),
        Condition(f"t of the IC's advantage, {MIN_ADVANTAGE_T:.2f} or more", finite(gain.t), None, gain.t >= MIN_ADVANTAGE_T),
        Condition("walk-forward Sharpe ratio a year, net", sharpe, bar, sharpe is not None and (bar is None or sharpe > bar)),
        Condition("deflated Sharpe ratio", deflated, least, _number(deflated, -1.0) >= _number(least, 0.0)),
        Condition("probability of loss out of sample (CSCV)", lost, usual, lost <= usual),
        _reliable(stack.reliability, best.reliability),
    )


def _reliable(stack: Judged | None, best: Judged | None) -> Condition:
    """Probabilities do no harm: the Brier score is not above that of the base rate by more than its error."""
    holds = stack is not None and stack.excess_brier <= ONE_SIDED * stack.excess_error
    ours, theirs = (None if one is None else one.excess_brier for one in (stack, best))
    return Condition("reliability: Brier score beyond the base rate's", ours, theirs, holds)


def annual(net: Floats) -> float | None:
    """Annual Sharpe ratio; None for a book that never moved."""
    return finite(sharpe_of(net) * float(np.sqrt(SESSIONS_PER_YEAR)))


def _deflated(record: ScoreRecord) -> float | None:
    if annual(record.net) is None:
        return None
    return dsr.strictest(dsr.sharpe_moments(record.net), (dsr.Hurdle(record.tries, 0.0),))


def _lost(found: Mapping[str, ScoreRecord], *, with_stack: bool) -> float:
    """How often the best in sample loses out of sample, among the members, and among them with average and stack."""
    columns = [record.net for name, record in found.items() if with_stack or name not in (STACK, AVERAGE)]
    matrix = np.column_stack(columns if len(columns) > 1 else columns * 2)
    return probability_of_overfitting(matrix, blocks=min(BLOCKS, len(matrix) // 2 * 2)).probability_of_loss


def _number(value: float | None, missing: float) -> float:
    return missing if value is None else value
