"""Features read from other datasets, as known at the session's close (`Bars.joined`)."""

from signals.features.history import FeatureInputs
from signals.market.bars import Floats


def joined(history: FeatureInputs, name: str) -> Floats:
    """Return the figure `name` of every session and name; NaN where there is none."""
    return history.current(history.joined[name])
