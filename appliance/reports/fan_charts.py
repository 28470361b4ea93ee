"""Fan charts as SVG: realised figures inside the ranges that the bundle predicted, in four panels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.reports.svg import Band, Box, Chart, Line, drawn

WIDTH, HEIGHT = 1_000, 600
LIVE, FAN = "#b4690e", "#1f4e79"
TITLES = {
    "ic": "mean rank IC so far",
    "turnover": "turnover of a session, mean so far",
    "cost": "cost of trading, basis points, mean so far",
    "drawdown": "deepest drawdown so far",
}


@dataclass(frozen=True)
class FanPanel:
    """One figure: what was lived, and the promised quantiles after 1, 2, ... sessions, lowest level first."""

    live: Sequence[float]
    bands: Sequence[Sequence[float]]


def fans(panels: Mapping[str, FanPanel]) -> bytes:
    """Return an SVG document."""
    charts = []
    for number, (name, panel) in enumerate(panels.items()):
        levels = list(zip(*panel.bands, strict=True))
        bands = [Band(levels[depth], levels[-1 - depth], FAN, 0.18, first=1) for depth in range(len(levels) // 2)]
        promised = Line(levels[len(levels) // 2], FAN, "promised median" if number == 0 else "", is_dashed=True, first=1)
        live = Line(panel.live, LIVE, "realised" if number == 0 else "", first=1)
        last = len(panel.bands)
        names = {place: str(place) for place in sorted({1, (1 + last) // 2, last})}
        box = Box(number % 2 * WIDTH / 2, number // 2 * HEIGHT / 2, WIDTH / 2, HEIGHT / 2)
        charts.append((Chart(f"{TITLES[name]}, by session", (promised, live), bands, names), box))
    return drawn(charts, WIDTH, HEIGHT)
