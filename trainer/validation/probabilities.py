"""Calibrated probabilities from scores: the chance of beating the session's median, fitted out of fold.

The maps that travel with a model are fitted on scores that no model gave to what it had seen, brought to the published
model's own scale first: a map is worth nothing on the scores of another model. What such a map is worth is measured
where it was not fitted: on the later half of the sessions, by maps of the earlier half. A score that knows little gives
probabilities near one half; that is calibration, not failure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import logit, ndtri

from signals.market.bars import Floats
from signals.scoring.evidence import NAN
from trainer.samples.samples import Samples
from trainer.validation.calibration import (
    Isotonic,
    Platt,
    Slope,
    Temperature,
    brier_score,
    equal_mass,
    expected_calibration_error,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    log_loss,
    session_sums,
    slope_of,
)
from trainer.validation.ic import Mean, overlapping_mean

EVENT = "the label is above its session's median"
GROUPS = 10
KNOTS = 21
MIN_ROWS = 200
INTERVAL = 0.90  # of what came, in each group


@dataclass(frozen=True)
class Group:
    """A tenth of the later rows by probability: what was said, what came with its 90 % interval, and its rows."""

    said: float
    came: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class Judged:
    """Quality of Platt's map of the earlier half on the later half of the sessions.

    Attributes
    ----------
    slope, slope_error : float
        Of the outcomes' log-odds on those that the map said, 1 where it means what it says; the error holds that of the
        later half and that of the fit.
    excess_brier, excess_error : float
        Brier score less that of saying the base rate of every name, above 0 where the map does harm; its error.
    base_rate, said, came : float
        Share of the earlier half for which the event came; mean probability and share of the later.
    """

    slope: float
    slope_error: float
    excess_brier: float
    excess_error: float
    base_rate: float
    said: float
    came: float


@dataclass(frozen=True)
class FittedFor:
    """The model that the maps go with: SHA-256 of its files, and by what its scores' scale differs.

    `score_deviation` is that of its scores of the open rows, `unseen_deviation` that of the out-of-fold scores of the
    same rows, which were stretched by the ratio of the two.
    """

    model_sha256: tuple[str, ...]
    score_deviation: float
    unseen_deviation: float


@dataclass(frozen=True)
class MapFigures:
    """Brier score, log loss and expected calibration error of one map."""

    brier: float
    log_loss: float
    ece: float


@dataclass(frozen=True)
class IsotonicSteps:
    """An isotonic map: non-decreasing levels by knot."""

    knots: tuple[float, ...]
    levels: tuple[float, ...]


@dataclass(frozen=True)
class CalibrationDocument:
    """A calibration as evidence holds it; a program that did not say for which model it was fitted left that out."""

    event: str = EVENT
    platt: Platt = Platt(NAN, NAN)
    isotonic: IsotonicSteps = IsotonicSteps((), ())
    temperature: float | None = None
    figures: Mapping[str, MapFigures] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    judged: Judged | None = None
    fitted_for: FittedFor | None = None


@dataclass(frozen=True, eq=False)
class Calibration:
    """Maps fitted on everything out of fold, and figures of maps judged where they were not fitted.

    `figures` are by map: "none" says one half of every name; brier, log_loss and ece of the later half. `groups` are
    the tenths of Platt's probabilities there. `temperature` is None unless the score is a log-odds.
    """

    platt: Platt
    isotonic: Isotonic
    temperature: Temperature | None
    figures: Mapping[str, MapFigures]
    groups: tuple[Group, ...]
    judged: Judged
    fitted_for: FittedFor

    def document(self, event: str = EVENT) -> CalibrationDocument:
        """Return the calibration as evidence and bundle carry it; `event` is what a target above 0 is."""
        steps = IsotonicSteps(tuple(self.isotonic.knots.tolist()), tuple(self.isotonic.levels.tolist()))
        temperature = None if self.temperature is None else self.temperature.temperature
        return CalibrationDocument(event, self.platt, steps, temperature, self.figures, self.groups, self.judged, self.fitted_for)


def calibrate(
    rows: Samples, unseen: Floats, published: Floats, *, k: int, model_sha256: tuple[str, ...], is_log_odds: bool
) -> Calibration | None:
    """Calibrate a model by scores that models like it gave to what they had not seen.

    Parameters
    ----------
    rows : Samples
        The open rows.
    unseen : float64, shape (n,)
        Out of fold, each row's of one model: a mean over models has a smaller scale than any of them.
    published : float64, shape (n,)
        Scores of the model that the maps go with; only their mean and deviation are used, for it has seen the rows.
    k : int, sessions
        Of the labels.
    model_sha256 : tuple of str
        Of that model's files.
    is_log_odds : bool
        Whether a temperature makes sense of the score.

    Returns
    -------
    Calibration or None
        None where there are too few rows, or scores never differ.
    """
    outcomes = (rows.target > 0).astype(np.float64)
    fitted_for = FittedFor(model_sha256, float(published.std()), float(unseen.std()))
    if 0.0 in (fitted_for.score_deviation, fitted_for.unseen_deviation):
        return None
    stretch = fitted_for.score_deviation / fitted_for.unseen_deviation
    scores = (unseen - unseen.mean()) * stretch + published.mean()
    half = halves(rows.t0, rows.t1)
    if min(int(side.sum()) for side in half) < MIN_ROWS:
        return None
    taught, later = half
    fitted = _maps(scores[taught], outcomes[taught], is_log_odds)
    said = {"none": np.full(int(later.sum()), 0.5)}
    said |= {name: one.probability(scores[later]) for name, one in fitted.items()}
    came = outcomes[later]
    figures = {name: MapFigures(brier_score(came, p), log_loss(came, p), expected_calibration_error(came, p)) for name, p in said.items()}
    whole = _maps(scores, outcomes, is_log_odds)
    platt, isotonic, temperature = whole["platt"], whole["isotonic"], whole.get("temperature")
    assert isinstance(platt, Platt) and isinstance(isotonic, Isotonic)
    assert temperature is None or isinstance(temperature, Temperature)
    return Calibration(
        platt,
        _thinned(isotonic),
        temperature,
        figures,
        groups_of(said["platt"], came, rows.t0[later], k),
        judged(rows, scores, outcomes, k),
        fitted_for,
    )


def judged(rows: Samples, scores: Floats, outcomes: Floats, k: int) -> Judged:
    """Judge Platt's map of the earlier half on the later half."""
    taught, later = halves(rows.t0, rows.t1)
    learned = slope_of(scores[taught], outcomes[taught], rows.t0[taught], k)
    said = fit_platt(scores[taught], outcomes[taught]).probability(scores[later])
    base_rate = float(outcomes[taught].mean())
    return judged_map(said, base_rate, outcomes[later], rows.t0[later], k, doubt=_relative(learned))


def judged_map(said: Floats, base_rate: float, came: Floats, sessions: np.ndarray, k: int, *, doubt: float = 0.0) -> Judged:
    """Judge probabilities `said`, each shape (n,), of rows that their map was not fitted on.

    Parameters
    ----------
    base_rate : float
        Share of the event where the map was fitted.
    doubt : float
        Standard error of the map's own slope, as a share of it.
    """
    found, excess = slope_of(logit(said), came, sessions, k), excess_brier(said, base_rate, came, sessions, k)
    return Judged(
        slope=found.slope,
        slope_error=float(np.hypot(found.standard_error, doubt)),
        excess_brier=excess.mean,
        excess_error=excess.standard_error,
        base_rate=base_rate,
        said=float(said.mean()),
        came=float(came.mean()),
    )


def excess_brier(said: Floats, base_rate: float, came: Floats, sessions: np.ndarray, k: int) -> Mean:
    """Brier score less that of saying the base rate of every row, each shape (n,); its error is NaN of one session."""
    excess = (said - came) ** 2 - (base_rate - came) ** 2
    by_session = session_sums(excess, sessions) / len(excess)
    return replace(overlapping_mean(by_session * len(by_session), k), mean=float(excess.mean()))


def _relative(learned: Slope) -> float:
    return float(abs(learned.standard_error / learned.slope)) if learned.slope else float("inf")


def halves(t0: np.ndarray, t1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the earlier half whose labels ended in it, and rows of the later half of the sessions; t0 and t1 as in `Samples`."""
    sessions = np.unique(t0)
    middle = sessions[len(sessions) // 2]
    # A label of the earlier half may end in the later one: those rows teach nothing about it.
    return (t0 < middle) & (t1 < middle), t0 >= middle


def _maps(scores: Floats, outcomes: Floats, is_log_odds: bool) -> dict[str, Platt | Isotonic | Temperature]:
    maps: dict[str, Platt | Isotonic | Temperature] = {"platt": fit_platt(scores, outcomes), "isotonic": fit_isotonic(scores, outcomes)}
    return {**maps, "temperature": fit_temperature(scores, outcomes)} if is_log_odds else maps


def _thinned(isotonic: Isotonic) -> Isotonic:
    """The same steps at `KNOTS` knots, evenly by rank: a bundle does not carry a level for every score."""
    chosen = np.unique(np.linspace(0, len(isotonic.knots) - 1, KNOTS).round().astype(np.int64))
    return Isotonic(isotonic.knots[chosen], isotonic.levels[chosen])


def groups_of(said: Floats, came: Floats, sessions: np.ndarray, k: int, count: int = GROUPS) -> tuple[Group, ...]:
    """Part rows, each shape (n,), by probability into groups of equal mass; the intervals are NaN of one session."""
    bins, z = equal_mass(said, count), float(ndtri(0.5 + INTERVAL / 2.0))
    _, place = np.unique(sessions, return_inverse=True)
    groups = []
    for number in range(int(bins.max()) + 1):
        inside = bins == number
        mean, rows = float(came[inside].mean()), int(inside.sum())
        by_session = np.bincount(place, np.where(inside, came - mean, 0.0)) / rows
        error = overlapping_mean(by_session * len(by_session), k).standard_error
        groups.append(Group(float(said[inside].mean()), mean, mean - z * error, mean + z * error, rows))
    return tuple(groups)


@dataclass(frozen=True)
class ClassFigures:
    """How trades ended, as shares of the open rows, and the log loss of profit against stop.

    The losses are those of a map of the score that was fitted on the earlier half of the sessions, judged on the later one,
    and of the base rate of the earlier half; NaN where either half lacks one of the two.
    """

    profit: float
    stop: float
    time: float
    log_loss: float = float("nan")
    base_log_loss: float = float("nan")

    @property
    def is_skilled(self) -> bool:
        """Whether the score tells profit from stop better than the base rate does."""
        return self.log_loss < self.base_log_loss


def class_figures(rows: Samples, scores: Floats) -> ClassFigures:
    """Return the figures of the classes, which are the rows' targets, and of scores of rows unseen, shape (n,)."""
    profit, stop, time = (float(np.mean(rows.target == side)) for side in (1.0, -1.0, 0.0))
    touched = rows.target != 0.0
    early, late = (half & touched for half in halves(rows.t0, rows.t1))
    came = (rows.target > 0.0).astype(np.float64)
    if any(not 0.0 < float(came[half].mean() if half.any() else 0.0) < 1.0 for half in (early, late)):
        return ClassFigures(profit, stop, time)
    said = fit_platt(scores[early], came[early]).probability(scores[late])
    base = np.full(int(late.sum()), came[early].mean())
    return ClassFigures(profit, stop, time, log_loss(came[late], said), log_loss(came[late], base))
