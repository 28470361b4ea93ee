"""The model's life inside the fans that its bundle promised: four panels, the same bytes for the same figures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SIZE_INCHES, DOTS_PER_INCH = (10.0, 6.0), 100
LIVE, FAN = "#b4690e", "#1f4e79"
TITLES = {
    "ic": "mean rank IC so far",
    "turnover": "turnover of a session, mean so far",
    "cost": "cost of trading, basis points, mean so far",
    "drawdown": "deepest drawdown so far",
}


@dataclass(frozen=True)
class Panel:
    """One figure: what was lived, and the promised quantiles after 1, 2, ... sessions, lowest level first."""

    live: Sequence[float]
    bands: Sequence[Sequence[float]]


def fans(panels: Mapping[str, Panel]) -> bytes:
    """Return a PNG; matplotlib is imported here, nothing else on the device needs it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2).ravel()
    for axis, (name, panel) in zip(axes, panels.items(), strict=True):
        sessions = range(1, len(panel.bands) + 1)
        levels = list(zip(*panel.bands, strict=True))
        for depth in range(len(levels) // 2):
            axis.fill_between(sessions, levels[depth], levels[-1 - depth], color=FAN, alpha=0.18, linewidth=0)
        axis.plot(sessions, levels[len(levels) // 2], color=FAN, linestyle="--", linewidth=1, label="promised median")
        axis.plot(range(1, len(panel.live) + 1), panel.live, color=LIVE, marker=".", label="lived")
        axis.set_title(TITLES[name], fontsize=10)
        axis.grid(alpha=0.3)
    axes[0].legend(loc="best", frameon=False, fontsize=8)
    figure.supxlabel("sessions lived")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
