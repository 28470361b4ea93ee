"""The daily self-test of the tripwires: each row must trip just past its limit and when its figure is missing.

It runs the very function that the jobs run, on the device's own limits, and touches nothing. A limit that is not a
number, or so large that nothing is past it, switches a control off without a sound: here it is heard.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.controls.tripwires import TRIPWIRES, Evaluation, Figure, Tripwire, TripwireFigures, check


@dataclass(frozen=True)
class SelfTestResult:
    """The outcome of a self-test.

    Attributes
    ----------
    rows : int
        Controls that were exercised.
    dead : tuple of str
        A clause for each that does not fire, or that fires when it should not.
    """

    rows: int
    dead: tuple[str, ...]

    def sentence(self) -> str:
        """One line for the report."""
        fired = f"{self.rows - len(self.dead)} of {self.rows} controls fire past their limit and on a missing figure"
        return f"{fired}: {'; '.join(self.dead)}" if self.dead else fired


def run_self_test(limits: Mapping[str, float], rows: tuple[Tripwire, ...] = TRIPWIRES) -> SelfTestResult:
    """Fire every row in a dry run against the device's limits by name."""
    faults = [(row.name, _fault(row, limits)) for row in rows]
    return SelfTestResult(len(rows), tuple(f"{name} {fault}" for name, fault in faults if fault))


def _fault(row: Tripwire, limits: Mapping[str, float]) -> str:
    limit = row.limit if isinstance(row.limit, float) else limits[row.limit]
    if not math.isfinite(limit):
        return f"has the limit {limit}"
    beyond = math.nextafter(limit, -math.inf if row.trips_below else math.inf)
    cases: tuple[tuple[Figure, bool, str], ...] = (
        (beyond, True, f"does not fire at {beyond!r}"),
        (limit, False, f"fires at its limit {limit!r}"),
        (None, True, "does not fire on a missing figure"),
        (math.nan, True, "does not fire on a figure that is no number"),
    )
    for figure, expected, fault in cases:
        found = _evaluated(row, figure, limits)
        if found is None or found.is_tripped is not expected or found.action is not row.action:
            return fault
    return ""


def _evaluated(row: Tripwire, figure: Figure, limits: Mapping[str, float]) -> Evaluation | None:
    figures = TripwireFigures(**{row.measure: figure})
    return next((item for item in check(row.stage, figures, limits) if item.name == row.name), None)
