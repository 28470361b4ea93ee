"""One trial as it is remembered."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from signals.bars import Floats
from trainer.recipes.space import Number

Parameters = dict[str, Number]


class State(StrEnum):
    """What became of a trial. `interrupted` never said: the process died."""

    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, eq=False)
class Trial:
    """A trial of one study.

    Attributes
    ----------
    number : int
    state : State
    parameters : mapping
        Of the learner, as drawn.
    net : float64, shape (n,)
        Net session returns of its walk-forward decile book: all of them when completed, the first ones when pruned,
        none when it failed at once.
    reason : str
        Why it ended early; empty when completed.
    """

    number: int
    state: State
    parameters: Parameters
    net: Floats
    reason: str = ""

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
    """Returns that `packed` wrote."""
    return np.frombuffer(base64.b64decode(text), dtype="<f8").astype(np.float64)


def ended(trial: Trial) -> dict[str, Any]:
    """The record of an ended trial."""
    return {
        "kind": "ended", "number": trial.number, "state": str(trial.state), "parameters": trial.parameters,
        "net": packed(trial.net), "reason": trial.reason,
    }  # fmt: skip
