"""Labels, evaluator and report of the task `series_return`.

The label is the return over k sessions; what is learned is that return in units of the name's own volatility of the sessions
before, so that every series speaks for itself: no name is compared with another, and one suffices. A figure is a mean over
sessions of

    c_t = mean over names of  r(s)_t r(y)_t      r the rank within the name's own sessions, standardised,

whose mean is the average rank correlation through time. What is beside it is hit rate and return of holding sign(s).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from signals.market.actions import Action
from signals.market.bars import Bars, Days, Floats
from signals.text.documents import from_json, to_json
from trainer.labels.horizon import Labels, horizon_labels
from trainer.labels.triple_barrier import trailing_volatility
from trainer.recipes.base import LabelConfig, RecipeConfig
from trainer.runs.evidence import BarResult, Evidence, EvidenceFields, OutOfFoldIc, WalkForward, at_least
from trainer.samples.samples import Material, Samples
from trainer.search.arena import SearchMetric
from trainer.search.trial_log import Series
from trainer.tasks.base import Task, TaskFindings, TrainingCase, calibration_of, series_report, without_ratios
from trainer.validation.forecasts import session_mean
from trainer.validation.ic import Mean, overlapping_mean

if TYPE_CHECKING:
    from trainer.promotion.bars.config import Case, PromotionConfig

EVENT = "its return over the label's sessions is above zero"
CAPTION = "Cumulative rank correlation through time. A steady slope is skill; one step is one episode."
SURE_T = 2.0
WINDOW = 20  # sessions of the volatility
MIN_OWN = 30  # sessions of a name without which its ranks mean nothing


class SeriesLabel(LabelConfig):
    """The return over k sessions."""

    kind: str = "series_return"


class SeriesRecipe(RecipeConfig):
    """A recipe that learns each series' own return."""

    label: SeriesLabel = SeriesLabel()


@dataclass(frozen=True)
class TimingFigures:
    """Of walk-forward scores: share of signs that were right, and return a session of holding the sign, in fractions."""

    hit_rate: Mean
    gain: Mean


def correlation(case: Case, bars: PromotionConfig) -> BarResult:
    """Bar on the rank correlation through time, walking forward."""
    return at_least("correlation", case.evidence.forward_ic.t, SURE_T, "t of the rank correlation through time, walking forward")


class SeriesReturn(Task):
    """Each series' own return over k sessions, in units of its own volatility."""

    name = "series_return"
    kind = "series_return"
    config = SeriesRecipe
    min_names = 1
    is_traded = False
    bars = (correlation,)

    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label by the return over k sessions; none where the volatility before it is not known."""
        k = config.label.k
        found = horizon_labels(bars, k, delistings=actions, entry=config.label.entry)
        scale = trailing_volatility(bars.total_return, WINDOW) * np.sqrt(k)
        known = np.isfinite(found.values) & (scale > 0.0)
        values = np.where(known, found.values, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            target = values / scale
        return replace(found, values=values, ends=np.where(known, found.ends, -1), target=target)

    def judge(self, case: TrainingCase) -> TaskFindings:
        """Judge by rank correlation through time, cross-validated and walking forward, and by the sign."""
        k, proof, rows = case.config.label.k, case.proof, case.proof.rows
        label = rows.dense(rows.label)
        series = np.mean([timing(rows.dense(path), label) for path in proof.oof.scores], axis=0)
        forward = rows.dense(proof.walk_forward)
        walked = timing(forward, label)
        right = np.where(np.isfinite(forward) & np.isfinite(label), np.sign(forward) == np.sign(label), np.nan)
        tried = case.recorded(_gains(forward, label, k, rows.sessions))
        ic, ahead = overlapping_mean(series, k), overlapping_mean(walked, k)
        found = TimingFigures(overlapping_mean(session_mean(right), k), overlapping_mean(session_mean(np.sign(forward) * label) / k, k))
        fields: EvidenceFields = {
            "ic": OutOfFoldIc(mean=ic.mean, standard_error=ic.standard_error, t_newey_west=ic.t, lag=k - 1, sessions=ic.sessions),
            "walk_forward": WalkForward(ahead, case.config.cpcv.groups - 1),
            "trials": without_ratios(tried),
            "others": {"timing": to_json(found)},
            "calibration": calibration_of(case, EVENT),
        }
        warned = () if ahead.t >= SURE_T else (f"walking forward the correlation's t is {ahead.t:.2f}: not distinguishable from no skill",)
        report = partial(series_report, task=self, caption=CAPTION, sessions=rows.sessions, series=series, forward=walked)
        return TaskFindings(fields, warned, report, proof.oof.scores[0])

    def metric(self, material: Material, config: RecipeConfig, rows: Samples) -> SearchMetric:
        """Return what holding the sign of the scores earns."""
        label, k = rows.dense(rows.label), config.label.k
        return SearchMetric("return a session of holding the sign", lambda scores: _gains(rows.dense(scores), label, k, rows.sessions))

    def sealed(self, material: Material, config: RecipeConfig, scores: Floats) -> Series:
        """Return what the sealed sessions show by the metric of a search."""
        return self.metric(material, config, material.rows).series(scores)

    def rows(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the report."""
        from trainer.reports.training import provenance

        ic, found = known.forward_ic, from_json(TimingFigures, known.others["timing"])
        hits, gain = found.hit_rate, found.gain
        return [
            ("Rank correlation through time, out of fold", f"{known.ic.mean:+.4f} (t {known.ic.t_newey_west:+.2f})"),
            ("Walking forward", f"{ic.mean:+.4f} (t {ic.t:+.2f}, {ic.sessions} sessions)"),
            ("Signs that were right", f"{hits.mean:.1%} ± {hits.standard_error:.1%}"),
            ("Return a session of holding the sign, before costs", f"{1e4 * gain.mean:+.1f} bps (t {gain.t:+.2f})"),
            ("Trials that count", str(known.trials.n_trials)),
            *provenance(known),
        ]


def timing(scores: Floats, labels: Floats) -> Floats:
    """Contribution of each session to the mean rank correlation through time of all names, shape (T,); both are (T, N)."""
    product = np.full(scores.shape, np.nan)
    for column in range(scores.shape[1]):
        known = np.isfinite(scores[:, column]) & np.isfinite(labels[:, column])
        if known.sum() >= MIN_OWN:
            product[known, column] = _standardised(scores[known, column]) * _standardised(labels[known, column])
    return session_mean(product)


def _gains(scores: Floats, labels: Floats, k: int, sessions: Days) -> Series:
    """Return of holding sign(s), by session of the score and session of the label's k, mean over names."""
    gain = session_mean(np.sign(scores) * labels) / k
    return Series.known(sessions, gain)


def _standardised(values: Floats) -> Floats:
    ranks = rankdata(values)
    deviation = float(ranks.std())
    return (ranks - ranks.mean()) / deviation if deviation > 0.0 else np.zeros(len(ranks))


SERIES_RETURN = SeriesReturn()
