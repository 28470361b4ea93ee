"""How often the drift of events is an alert on honest history, and how soon a planted shift is one.

Run it with `python -m tests.campaigns.event_drift`. Each year of real bars is judged evening by evening as a device's report does, by a
reference of the three years before. A year's alerts are counted by the rule of the report: a figure once in 20 reports. Planted: a
figure of every event moves by half its deviation from the first session of the year on, and the sessions until its alert are counted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from appliance.monitoring.session_monitoring import SAID_ONCE_IN
from signals.features.panel import FeaturePanel
from signals.monitoring.drift import LEAST_ROWS, WINDOW_SESSIONS, DriftReference, reference, trailing_psi
from signals.sleeves.events import EVENTS, with_figures
from tests.campaigns.drift import HISTORIES

PAST_YEARS = 3
PLANTED = ("event_atr", "event_room_60", "event_volume")


def of_rows(panel: FeaturePanel, first: int, last: int) -> FeaturePanel:
    """The sessions [first, last)."""
    cut = slice(first, last)
    return FeaturePanel(panel.sessions[cut], panel.symbols, panel.names, panel.values[cut].copy(), panel.eligible[cut].copy())


def drifted(known: DriftReference, panel: FeaturePanel, ends: range) -> list[set[str]]:
    """The figures that are beyond their limits at each of the ends."""
    found = (trailing_psi(known, of_rows(panel, end - WINDOW_SESSIONS, end), [], LEAST_ROWS).features for end in ends)
    return [{one.name for one in features if one.is_exceeded} for features in found]


def alerts(by_session: list[set[str]]) -> list[tuple[int, set[str]]]:
    """Place of each alert, and the figures that it names."""
    found = [(n, now - set().union(*by_session[max(0, n - SAID_ONCE_IN) : n])) for n, now in enumerate(by_session)]
    return [(n, news) for n, news in found if news]


def moved(panel: FeaturePanel, name: str, since: int) -> FeaturePanel:
    """The panel whose figure `name` is half its deviation higher from a session on."""
    values, column = panel.values.copy(), panel.names.index(name)
    spread = float(np.nanstd(values[:since, :, column][panel.eligible[:since]]))
    values[since:, :, column] += np.float32(0.5 * spread)
    return replace(panel, values=values)


def until_seen(known: DriftReference, panel: FeaturePanel, name: str, first: int) -> int | None:
    """Sessions from a planted shift to its alert, at most two windows; None of a figure that the file does not have."""
    if not np.isfinite(panel.values[:, :, panel.names.index(name)]).any():
        return None
    seen = drifted(known, moved(panel, name, first), range(first + 1, first + 1 + 2 * WINDOW_SESSIONS))
    return next((n + 1 for n, names in enumerate(seen) if name in names), 2 * WINDOW_SESSIONS)


def campaign(say: Callable[[str], object]) -> None:
    """Print a row a year, and the sums."""
    total, waits = list[int](), list[int]()
    say("| year | events a session | alerts | figures | sessions to the alert of " + ", ".join(PLANTED) + " |\n|---|---|---|---|---|")
    for history in HISTORIES[:2]:
        bars, _ = history.read()
        panel = EVENTS.panel(with_figures(bars))
        years = panel.sessions.astype("datetime64[Y]").astype(int) + 1970
        for year in history.years[PAST_YEARS:]:
            past = np.flatnonzero((years >= year - PAST_YEARS) & (years < year))
            first, last = int(past[-1]) + 1, int(np.flatnonzero(years == year)[-1]) + 1
            learned = of_rows(panel, int(past[0]), first)
            known = reference(learned, np.where(learned.eligible, 0.0, np.nan))
            said = alerts(drifted(known, panel, range(first + 1, last + 1)))
            soon = [until_seen(known, panel, name, first) for name in PLANTED]
            total.append(len(said))
            waits += [one for one in soon if one is not None]
            named = sorted(set().union(*(names for _, names in said)))
            events = panel.eligible[first:last].sum() / (last - first)
            planted = ", ".join("-" if one is None else str(one) for one in soon)
            say(f"| {year} | {events:.0f} | {len(said)} | {', '.join(named) or '-'} | {planted} |")
    say(f"{sum(total)} alerts in {len(total)} years; a planted shift is one after {int(np.median(waits))} sessions at the median")


if __name__ == "__main__":
    campaign(lambda line: sys.stdout.write(f"{line}\n"))
