"""Chooses barriers by the distribution of their labels, on the training part only, before any model exists.

    balance (1 - cost / mean |return| of touched) - 0.15 max(0, ln(up / down)^2 - ln(1.5)^2) - 0.002 mean life

with balance the entropy of the three classes over ln 3, life in bars. Up and down are in average true ranges.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from trainer.labels.triple_barrier import BarrierLabels

LEAST, MOST = 0.5, 4.0
SKEW, LIFE, SEED = 0.15, 0.002, 0


@dataclass(frozen=True)
class BarrierChoice:
    """Distances up and down, and patience in bars."""

    up: float
    down: float
    max_bars: int


@dataclass(frozen=True)
class BarrierTrial:
    """One set of barriers and what it was worth."""

    up: float
    down: float
    max_bars: int
    value: float


def worth(found: BarrierLabels, choice: BarrierChoice, before: int, cost: float) -> float:
    """Return the objective of barriers over the labels that end before row `before`; -inf where none is touched."""
    ends, side = found.labels.ends, found.side
    kept = (ends >= 0) & (ends < before)
    touched = kept & (side != 0)
    if not touched.any():
        return float("-inf")
    shares = np.array([np.mean(side[kept] == one) for one in (-1, 0, 1)])
    balance = -float(np.sum(shares * np.log(np.maximum(shares, 1e-12)))) / np.log(3.0)
    size = float(np.abs(found.labels.values[touched]).mean())
    life = float((ends - np.arange(len(ends))[:, None])[kept].mean())
    skew = max(0.0, np.log(choice.up / choice.down) ** 2 - np.log(1.5) ** 2)
    return float(balance * (1.0 - cost / size) - SKEW * skew - LIFE * life)


def search_barriers(
    label: Callable[[BarrierChoice], BarrierLabels], *, horizon: int, before: int, cost: float, trials: int
) -> tuple[BarrierChoice, tuple[BarrierTrial, ...]]:
    """Return the best of `trials` sets of barriers, and all of them; the same labels, the same answer.

    Parameters
    ----------
    label : callable
        Labels of a choice.
    horizon : int
        Bars; patience is searched from it to three times it.
    before : int
        Row from which on nothing is read.
    cost : float
        Of a trade, as a fraction.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED))
    tried = []

    def value(trial: optuna.Trial) -> float:
        up, down = (trial.suggest_float(name, LEAST, MOST, step=0.25) for name in ("up", "down"))
        choice = BarrierChoice(up, down, trial.suggest_int("max_bars", horizon, 3 * horizon))
        found = max(-1e9, worth(label(choice), choice, before, cost))
        tried.append(BarrierTrial(**asdict(choice), value=found))
        return found

    study.optimize(value, n_trials=trials)
    best = study.best_params
    return BarrierChoice(best["up"], best["down"], best["max_bars"]), tuple(tried)
