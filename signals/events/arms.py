"""Arms of an event's trade, drawn at random in shadow: another target or size than the recipe's, never in an order.

What an event draws is a function of a recorded seed and of the event, so that a log can be checked draw by draw, and an
evening that is recorded late or twice draws the same.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np

from signals.errors import FixInput
from signals.events.recorded import OutcomeRules
from signals.files import sha256_of
from signals.market.bars import Floats

EXPLORATION = 0.1  # share of events on which the arm is drawn from all of them
DIGITS = 13  # hexadecimal, of the draw: as many as a float holds


@dataclass(frozen=True)
class TunerArm:
    """One setting of an event's trade: its target and its size, as multiples of the recipe's."""

    target: float
    size: float

    def rules(self, recipe: OutcomeRules) -> OutcomeRules:
        """Return the rules that its trade is played by."""
        return OutcomeRules(recipe.stop_atr, self.target * recipe.target_r, recipe.patience)


ARMS = tuple(TunerArm(target, size) for target in (0.75, 1.0, 1.25) for size in (0.5, 1.0))
DEFAULT = ARMS.index(TunerArm(1.0, 1.0))


def exploring(arms: int, default: int, exploration: float = EXPLORATION) -> Floats:
    """Probabilities of a shadow's draw: the default but for `exploration`, which all arms share."""
    if not (0 <= default < arms and 0.0 < exploration <= 1.0):
        raise FixInput(f"no draw of arm {default} of {arms} with exploration {exploration}", fix="Give an arm, and a share in (0, 1]")
    chances = np.full(arms, exploration / arms)
    chances[default] += 1.0 - exploration
    return chances


def draw(chances: Floats, uniform: float) -> tuple[int, float]:
    """Return the arm that a number in [0, 1) draws, and the propensity to log with it.

    Examples
    --------
    >>> draw(exploring(2, 1, 0.5), 0.5)
    (1, 0.75)
    """
    if not 0.0 <= uniform < 1.0:
        raise FixInput(f"the draw is {uniform}", fix="Give a number in [0, 1)")
    arm = min(int(np.searchsorted(np.cumsum(chances), uniform, side="right")), len(chances) - 1)
    return arm, float(chances[arm])


def drawn(seed: str, asof: date, symbol: str) -> tuple[int, float]:
    """Return the arm of an event and its propensity."""
    return draw(exploring(len(ARMS), DEFAULT), uniform(seed, asof, symbol))


def uniform(seed: str, asof: date, what: str) -> float:
    """Return the number in [0, 1) that decides a draw: the first digits of a hash."""
    return float(int(sha256_of(f"{seed} {asof} {what}".encode())[:DIGITS], 16) / 16**DIGITS)
