"""The report of forecasts of volatility: one page of figures and four plots."""

from dataclasses import dataclass

import numpy as np

from signals.market.bars import Days
from signals.scoring.evidence import Mean
from signals.text.documents import from_json
from trainer.reports import page
from trainer.reports.training import provenance
from trainer.runs.evidence import Evidence
from trainer.tasks.volatility.proof import DrawdownEvidence, DrawdownProof, VolatilityFigures, VolatilityProof

CAPTIONS = {
    "qlike.png": "QLIKE of each forecaster, walking forward: lower is better; bars are two standard errors.",
    "calibration.png": "Twenty equal groups by forecast: on the line, what was forecast is what came.",
    "coverage.png": "Share of outcomes inside the band and below the drawdown quantile, mean of 63 sessions.",
    "through_time.png": "The median name's forecast and what came: how fast the forecast follows.",
}
NAMES = {
    "har": "HAR",
    "trees": "boosted trees",
    "trailing_22": "trailing 22 sessions",
    "ewma": "RiskMetrics EWMA",
    "trailing_252": "trailing 252 sessions",
}


@dataclass(frozen=True)
class VolatilityEvidence:
    """The task's own part of the evidence."""

    volatility: tuple[VolatilityFigures, ...]
    drawdown: DrawdownEvidence
    interval: float


def report_files(evidence: Evidence, sessions: Days, own: VolatilityProof, drawdown: DrawdownProof) -> dict[str, bytes]:
    """Render everything: relative path -> content."""
    from trainer.tasks.volatility import plots  # matplotlib takes a second to load

    shown = page.Page(f"Training of {evidence.sleeve}", tuple(rows_of(evidence)), evidence.warnings, CAPTIONS)
    known = from_json(VolatilityEvidence, evidence.others)
    figures = next(row for row in known.volatility if row.horizon == evidence.horizon)
    interval, level = known.interval, known.drawdown.level
    pictures = {
        "qlike.png": plots.qlike({_named(name): mean for name, mean in figures.qlike.items()}, _named(own.own)),
        "calibration.png": plots.calibration(figures.calibration, evidence.horizon),
        "coverage.png": plots.coverage(sessions, _inside(own), interval, _below(drawdown), level),
        "through_time.png": plots.through_time(sessions, own.forecasts[own.own], own.realised, evidence.horizon, _named(own.own)),
    }
    return page.files(shown, pictures)


def rows_of(evidence: Evidence) -> list[tuple[str, str]]:
    """(what, figure) lines of the report, which the command prints too."""
    known = from_json(VolatilityEvidence, evidence.others)
    falls = known.drawdown
    return [
        *(line for figures in known.volatility for line in _volatility(figures, known.interval)),
        (
            f"Drawdown within {falls.sessions} sessions: below its {falls.level:.0%} quantile",
            f"{falls.coverage.mean:.1%} ± {falls.coverage.standard_error:.1%} of outcomes",
        ),
        ("Drawdown quantile against a constant", _gain(falls.advantage, "pinball loss")),
        ("Rank correlation of forecast and outcome", f"{evidence.ic.mean:+.3f} (t {evidence.ic.t_newey_west:.1f})"),
        ("Trials that count", str(evidence.trials.n_trials)),
        *provenance(evidence),
    ]


def _volatility(figures: VolatilityFigures, interval: float) -> list[tuple[str, str]]:
    k, own = figures.horizon, _named(figures.own)
    paths = figures.qlike_by_path
    return [
        (f"QLIKE over {k} sessions, walking forward", ", ".join(f"{_named(name)} {mean.mean:.4f}" for name, mean in figures.qlike.items())),
        *((f"{own} against {_named(name)}, {k} sessions", _gain(gain, "QLIKE")) for name, gain in figures.advantage.items()),
        (f"Trees against {own}, {k} sessions", _gain(figures.trees_advantage, "QLIKE")),
        (f"QLIKE of {own} by path, {k} sessions", f"{min(paths):.4f} to {max(paths):.4f}"),
        (f"Realised over forecast variance, {k} sessions", f"{figures.bias:.3f}"),
        (
            f"Inside the {interval:.0%} band, {k} sessions",
            f"{figures.coverage.mean:.1%} ± {figures.coverage.standard_error:.1%}; "
            f"{figures.below.mean:.1%} below, {figures.above.mean:.1%} above",
        ),
    ]


def _named(forecaster: str) -> str:
    return NAMES.get(forecaster, forecaster)


def _gain(mean: Mean, what: str) -> str:
    better = "better" if mean.mean > 0 else "worse"
    return f"{abs(mean.mean):.4f} {better} in {what} (t {mean.t:+.1f})"


def _inside(proof: VolatilityProof) -> np.ndarray:
    known = np.isfinite(proof.realised) & np.isfinite(proof.low)
    return np.where(known, (proof.realised >= proof.low) & (proof.realised <= proof.high), np.nan)


def _below(proof: DrawdownProof) -> np.ndarray:
    known = np.isfinite(proof.realised) & np.isfinite(proof.forecast)
    return np.where(known, proof.realised <= proof.forecast, np.nan)
