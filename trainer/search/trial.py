"""A trial as a record of the trial log."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from signals.market.bars import Days, Floats
from trainer.recipes.space import Number

Parameters = dict[str, Number]


class TrialOutcome(StrEnum):
    """Outcome of a trial. `interrupted`: the process died before it recorded one."""

    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, eq=False)
class Trial:
    """A trial of one study.

    Attributes
    ----------
    parameters : mapping
        Of the learner, as drawn.
    net : float64, shape (n,)
        Net session returns of its walk-forward decile book: all of them when completed, the first ones when pruned,
        none when it failed at once.
    reason : str
        Why it ended early; empty when completed.
    key, recipe : str
        What was tried (`trainer/search/question.py`), and the recipe and seed in it only.
    days : datetime64[D], shape (n,)
        Sessions of `net`.
    reported : mapping of fold to Sharpe ratio
        What the sampler was shown on the way.
    """

    number: int
    state: TrialOutcome
    parameters: Parameters
    net: Floats
    reason: str = ""
    key: str = ""
    recipe: str = ""
    days: Days = field(default_factory=lambda: np.zeros(0, dtype="datetime64[D]"))
    reported: Mapping[int, float] = field(default_factory=dict)

    @property
    def sharpe(self) -> float:
        """Sharpe ratio per session; NaN without two different returns."""
        return sharpe_of(self.net)


def sharpe_of(net: Floats) -> float:
    """Sharpe ratio per session, ddof 1; NaN without two different returns."""
    if len(net) < 2 or float(np.ptp(net)) == 0.0:
        return float("nan")
    return float(net.mean() / net.std(ddof=1))


def packed(net: Floats) -> str:
    """Returns as text that gives back every bit."""
    return base64.b64encode(net.astype("<f8").tobytes()).decode()


def unpacked(text: str) -> Floats:
    """Returns that `packed` wrote; raise `ValueError` for anything else."""
    net = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").astype(np.float64)
    if not bool(np.isfinite(net).all()):
        raise ValueError("returns that are not finite")
    return net


def packed_days(days: Days) -> str:
    """Sessions as text, four bytes each."""
    return base64.b64encode(days.astype("datetime64[D]").astype("<i8").astype("<i4").tobytes()).decode()


def unpacked_days(text: str) -> Days:
    """Sessions that `packed_days` wrote."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<i4").astype("datetime64[D]")


def ended(trial: Trial) -> dict[str, object]:
    """The record of an ended trial; its sessions are the study's unless it has its own."""
    own = {"days": packed_days(trial.days)} if len(trial.days) else {}
    shown = {"reported": {str(fold): value for fold, value in trial.reported.items()}} if trial.reported else {}
    return {
        "kind": "ended",
        "number": trial.number,
        "state": str(trial.state),
        "parameters": trial.parameters,
        "net": packed(trial.net),
        "reason": trial.reason,
        **own,
        **shown,
    }
