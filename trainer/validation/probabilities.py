"""From scores to probabilities: the chance that a name beats its session's median, calibrated out of fold.

The maps that travel with the model are fitted on all out-of-fold scores. What they are worth is measured where they
were not fitted: on the later half of the sessions, by maps of the earlier half. A score that knows little gives
probabilities near one half; that is calibration, not failure.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from signals.bars import Floats
from trainer.samples import Samples
from trainer.validation.calibration import (
    Isotonic,
    Platt,
    Temperature,
    brier_score,
    expected_calibration_error,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    log_loss,
)

EVENT = "the label is above its session's median"
GROUPS = 10
KNOTS = 21
MIN_ROWS = 200


@dataclass(frozen=True)
class Group:
    """A tenth of the later rows by probability: what was said, what came, and how many rows it holds."""

    said: float
    came: float
    rows: int


@dataclass(frozen=True, eq=False)
class Calibration:
    """Maps fitted on everything out of fold, and figures of maps judged where they were not fitted.

    `figures` are by map: "none" says one half of every name; brier, log_loss and ece of the later half. `groups` are
    the tenths of Platt's probabilities there. `temperature` is None unless the score is a log-odds.
    """

    platt: Platt
    isotonic: Isotonic
    temperature: Temperature | None
    figures: dict[str, dict[str, float]]
    groups: tuple[Group, ...]

    def document(self) -> dict[str, Any]:
        """Return the calibration as evidence and bundle carry it."""
        return {
            "event": EVENT, "platt": asdict(self.platt),
            "isotonic": {"knots": self.isotonic.knots.tolist(), "levels": self.isotonic.levels.tolist()},
            "temperature": None if self.temperature is None else self.temperature.temperature,
            "figures": self.figures, "groups": [asdict(group) for group in self.groups],
        }  # fmt: skip


def calibrate(rows: Samples, scores: Floats, *, is_log_odds: bool) -> Calibration | None:
    """Calibrate out-of-fold scores.

    Parameters
    ----------
    rows : Samples
        The open rows.
    scores : float64, shape (n,)
        Out of fold, mean of the paths.
    is_log_odds : bool
        Whether a temperature makes sense of the score.

    Returns
    -------
    Calibration or None
        None where there are too few rows, or the scores never differ.
    """
    outcomes = (rows.target > 0).astype(np.float64)
    sessions = np.unique(rows.t0)
    early = rows.t0 < sessions[len(sessions) // 2]
    # A label of the earlier half may end in the later one: those rows teach nothing about it.
    taught = early & (rows.t1 < sessions[len(sessions) // 2])
    if min(int(taught.sum()), int((~early).sum())) < MIN_ROWS or float(np.ptp(scores)) == 0.0:
        return None
    fitted = _maps(scores[taught], outcomes[taught], is_log_odds)
    later, came = scores[~early], outcomes[~early]
    said = {"none": np.full(later.shape, 0.5)} | {name: one.probability(later) for name, one in fitted.items()}
    figures = {
        name: {"brier": brier_score(came, p), "log_loss": log_loss(came, p), "ece": expected_calibration_error(came, p)}
        for name, p in said.items()
    }
    whole = _maps(scores, outcomes, is_log_odds)
    platt, isotonic, temperature = whole["platt"], whole["isotonic"], whole.get("temperature")
    assert isinstance(platt, Platt) and isinstance(isotonic, Isotonic)
    assert temperature is None or isinstance(temperature, Temperature)
    return Calibration(platt, _thinned(isotonic), temperature, figures, _groups(said["platt"], came))


def _maps(scores: Floats, outcomes: Floats, is_log_odds: bool) -> dict[str, Platt | Isotonic | Temperature]:
    maps: dict[str, Platt | Isotonic | Temperature] = {
        "platt": fit_platt(scores, outcomes), "isotonic": fit_isotonic(scores, outcomes)
    }  # fmt: skip
    return {**maps, "temperature": fit_temperature(scores, outcomes)} if is_log_odds else maps


def _thinned(isotonic: Isotonic) -> Isotonic:
    """The same steps at `KNOTS` knots, evenly by rank: a bundle does not carry a level for every score."""
    chosen = np.unique(np.linspace(0, len(isotonic.knots) - 1, KNOTS).round().astype(np.int64))
    return Isotonic(isotonic.knots[chosen], isotonic.levels[chosen])


def _groups(said: Floats, came: Floats) -> tuple[Group, ...]:
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, GROUPS) if part.size]
    return tuple(Group(float(said[p].mean()), float(came[p].mean()), int(p.size)) for p in parts)
