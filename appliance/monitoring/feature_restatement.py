"""Recomputes the previous evening's features from today's data, to detect that history was revised.

The earlier scores used other inputs than a backtest would see today; a person has to know how much of the
history still moves. Entry point: `compare`.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date

import numpy as np

from appliance.bundles.feature_record import FeatureRecord
from signals.errors import FixInput
from signals.features.panel import FeaturePanel

NAMED = 5
ROUNDING, NOTHING = 1e-6, 1e-9
"""Share of a figure, and figure, that are rounding: prices delivered on another base move a feature's last bit."""


@dataclass(frozen=True)
class Restatement:
    """The differences.

    Attributes
    ----------
    names : int
        That were scored that evening.
    changed : tuple of str
        Names of which at least one feature is another number now, or which have gone.
    features : tuple of str
        Features that differ, those of most names first.
    """

    asof: date
    names: int
    changed: tuple[str, ...]
    features: tuple[str, ...]

    def sentence(self) -> str:
        """In words, for a person."""
        more = ", ..." if len(self.changed) > NAMED else ""
        return (
            f"the model's inputs of {self.asof} differ now for {len(self.changed)} of {self.names} names"
            f" ({', '.join(self.changed[:NAMED])}{more}): {', '.join(self.features[:NAMED]) or 'names have gone'}"
        )

    def figures(self) -> dict[str, object]:
        """For the job's row."""
        return {"asof": self.asof, "names": self.names, "changed": len(self.changed), "features": self.features[:NAMED]}


def compare(record: FeatureRecord, panel: FeaturePanel) -> Restatement:
    """Compare what the model read with the same session's features now; NaN equals NaN, rounding is no difference.

    Parameters
    ----------
    panel : FeaturePanel
        Its last session is the record's; the same features in the same order.

    Raises
    ------
    FixInput
        Other features were recorded than the sleeve has now: nothing can be compared.
    """
    if record.names != tuple(panel.names):
        raise FixInput("the sleeve has other features than it had")
    then = np.frombuffer(record.values, dtype="<f4").reshape(len(record.symbols), len(record.names))
    place = {symbol: i for i, symbol in enumerate(panel.symbols)}
    changed: list[str] = []
    counts: Counter[str] = Counter()
    for row, symbol in zip(then, record.symbols, strict=True):
        if symbol not in place:
            changed.append(symbol)
            continue
        now = panel.values[-1, place[symbol]]
        differs = ~np.isclose(row, now, rtol=ROUNDING, atol=NOTHING, equal_nan=True)
        if differs.any():
            changed.append(symbol)
            counts.update(name for name, is_other in zip(record.names, differs, strict=True) if is_other)
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    return Restatement(record.asof, len(record.symbols), tuple(changed), tuple(ordered))
