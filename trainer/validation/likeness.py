"""Likeness of two models: the rank correlation of their scores, against that of two seeds of one model.

The chance is the seed's: what one seed instead of another does to a model that learned the same recipe from the same
rows. Of the models that an average holds each pair gives one figure a window of 21 sessions,

    r = mean over the window of the rank correlation of a session's scores,

and two averages of n seeds would agree by  r_n = n r / (1 + (n - 1) r)  (Spearman 1910 and Brown 1910, "Correlation
calculated from faulty data" and "Some experimental results in the correlation of mental abilities").
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from signals.features.panel import FeaturePanel
from signals.market.bars import Floats
from signals.models.inference import predict
from signals.scoring.scores import rank_ic
from signals.text.documents import absent
from trainer.learners.averaged import AveragedModel
from trainer.validation.deciles import book_weights, decile_of

WINDOW_SESSIONS, NULL_SESSIONS = 21, 252
QUANTILE = 0.01
Score = Callable[[NDArray[np.float32]], Floats]  # of rows of features


@dataclass(frozen=True)
class Likeness:
    """How two models' scores of the same sessions agree.

    Attributes
    ----------
    rank_correlation : float or None
        Mean over sessions; None where nothing can be compared.
    turnover : float or None
        Share of an equally weighted decile book that the new scores alone replace.
    importance_kept : float or None
        Share of the features' importance that both give to the same ones; absent from a document of before.
    """

    rank_correlation: float | None = None
    sessions: int = 0
    turnover: float | None = None
    importance_kept: float | None = absent()


@dataclass(frozen=True)
class Spread:
    """Mean, and 1 % quantile over pairs and windows."""

    mean: float
    low: float


@dataclass(frozen=True)
class SeedNull:
    """How alike single models, and averages of as many, are that differ by their seeds only."""

    seeds: int
    figures: int
    single: Spread
    averaged: Spread
    importance: Spread | None = absent()


def likeness(new: Floats, old: Floats) -> Likeness:
    """How two models' scores of the same sessions agree.

    Parameters
    ----------
    new, old : float64, shape (T, N)
        NaN where there is none.
    """
    alike = rank_ic(new, old)
    known = np.isfinite(alike)
    if not known.any():
        return Likeness()
    books = [book_weights(decile_of(scores[known]), 1) for scores in (new, old)]
    gross = np.abs(books[1]).sum(axis=1)
    moved = 0.5 * np.abs(books[0] - books[1]).sum(axis=1) / np.where(gross > 0, gross, 1.0)
    return Likeness(float(alike[known].mean()), int(known.sum()), float(moved.mean()))


def seed_null(members: Floats) -> SeedNull | None:
    """How alike models, and averages of as many, are that differ by their seeds only.

    Parameters
    ----------
    members : float64, shape (S, T, N)
        Scores of the same sessions by each seed's model.

    Returns
    -------
    SeedNull or None
        None for fewer than two seeds or sessions without scores.
    """
    count, sessions = members.shape[:2]
    starts = range(sessions % WINDOW_SESSIONS, sessions - WINDOW_SESSIONS + 1, WINDOW_SESSIONS)
    series = [rank_ic(one, other) for one, other in combinations(members, 2)]
    windows = [pair[start : start + WINDOW_SESSIONS] for pair in series for start in starts]
    single = np.array([np.nanmean(window) for window in windows if np.isfinite(window).any()])
    if not single.size:
        return None
    averaged = count * single / (1.0 + (count - 1) * single)
    single_spread, averaged_spread = (Spread(float(values.mean()), float(np.quantile(values, QUANTILE))) for values in (single, averaged))
    return SeedNull(count, int(single.size), single_spread, averaged_spread)


def importances(score: Score, panel: FeaturePanel) -> Floats:
    """How much each feature moves a model's scores, as shares that sum to 1, (F,).

    That is 1 - r, r the mean rank correlation of a session's scores with those after the feature's values have changed
    places within the session. No outcome is looked at, and the same panel gives the same figures.
    """
    rows, session = panel.values[panel.eligible], np.nonzero(panel.eligible)[0]
    order = np.lexsort((np.random.default_rng(0).random(len(session)), session))

    def dense(values: NDArray[np.float32]) -> Floats:
        found = np.full(panel.eligible.shape, np.nan)
        found[panel.eligible] = score(np.ascontiguousarray(values))
        return found

    plain, moved = dense(rows), np.zeros(len(panel.names))
    for column in range(len(panel.names)):
        changed = rows.copy()
        changed[:, column] = rows[order, column]
        alike = rank_ic(dense(changed), plain)
        moved[column] = 1.0 - float(np.nanmean(alike)) if np.isfinite(alike).any() else 0.0
    total = moved.sum()
    return moved / total if total > 0 else moved


def kept_importance(new: Floats, old: Floats) -> float | None:
    """Share of importance that is where it was: 1 less half of the sum of distances; None where nothing moves the scores."""
    return float(1.0 - 0.5 * np.abs(new - old).sum()) if new.any() and old.any() else None


def null_of(model: object, panel: FeaturePanel) -> SeedNull | None:
    """Seed null of an averaged model on the newest year of the panel; None of any other model."""
    if not isinstance(model, AveragedModel):
        return None
    year = newest(panel, NULL_SESSIONS)
    members = np.full((len(model.members), *year.eligible.shape), np.nan)
    for number, member in enumerate(model.members):
        members[number][year.eligible] = member.predict(year.values[year.eligible])
    found, recent = seed_null(members), newest(panel)
    if found is None or not recent.eligible.any():
        return found
    each = [importances(member.predict, recent) for member in model.members]
    kept = [share for one, other in combinations(each, 2) if (share := kept_importance(one, other)) is not None]
    spread = Spread(float(np.mean(kept)), float(np.quantile(kept, QUANTILE))) if kept else None
    return replace(found, importance=spread)


def newest(panel: FeaturePanel, sessions: int = WINDOW_SESSIONS) -> FeaturePanel:
    """Return the last sessions of a panel."""
    last = slice(max(0, len(panel.sessions) - sessions), None)
    return FeaturePanel(panel.sessions[last], panel.symbols, panel.names, panel.values[last], panel.eligible[last])


def scores_of(onnx: bytes, panel: FeaturePanel) -> Floats:
    """Scores of an exported model on a panel, float64 (T, N), NaN where nobody is eligible."""
    scores = np.full(panel.eligible.shape, np.nan)
    if panel.eligible.any():
        scores[panel.eligible] = predict([onnx], np.ascontiguousarray(panel.values[panel.eligible]))
    return scores


def likeness_to_predecessor(new: bytes, panel: FeaturePanel, predecessor: bytes, ancestor: bytes) -> tuple[Likeness, Likeness]:
    """Compare a retrained model with both that it descends from, on the newest sessions of the panel."""
    recent = newest(panel)
    own, weights = scores_of(new, recent), _weights(new, recent)
    of_predecessor, of_ancestor = (
        replace(likeness(own, scores_of(onnx, recent)), importance_kept=kept_importance(weights, _weights(onnx, recent)))
        for onnx in (predecessor, ancestor)
    )
    return of_predecessor, of_ancestor


def _weights(onnx: bytes, panel: FeaturePanel) -> Floats:
    return importances(lambda rows: predict([onnx], rows), panel) if panel.eligible.any() else np.zeros(len(panel.names))
