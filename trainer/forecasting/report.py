"""The report of a training of the sleeve `risk`: one page of figures and four plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from signals.market.bars import Days
from trainer.forecasting import plots
from trainer.forecasting.proof import DrawdownProof, VolatilityProof
from trainer.reports import page

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


def report_files(known: Mapping[str, Any], sessions: Days, own: VolatilityProof, drawdown: DrawdownProof) -> dict[str, bytes]:
    """Render everything: relative path -> content."""
    shown = page.Page("Training of risk", tuple(rows_of(known)), tuple(known["warnings"]), CAPTIONS)
    figures = next(row for row in known["volatility"] if row["horizon"] == known["horizon"])
    interval, level = known["config"]["interval"], known["drawdown"]["level"]
    pictures = {
        "qlike.png": plots.qlike({NAMES[name]: mean for name, mean in figures["qlike"].items()}),
        "calibration.png": plots.calibration(figures["calibration"], known["horizon"]),
        "coverage.png": plots.coverage(sessions, _inside(own), interval, _below(drawdown), level),
        "through_time.png": plots.through_time(sessions, own.forecasts["har"], own.realised, known["horizon"]),
    }
    return {
        "report.md": page.markdown(shown).encode(),
        "report.html": page.html(shown).encode(),
        **{f"plots/{name}": content for name, content in pictures.items()},
    }


def rows_of(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, figure) lines of the report, which the command prints too."""
    lines = []
    for figures in known["volatility"]:
        lines += _volatility(figures, known["config"]["interval"])
    falls, data = known["drawdown"], known["dataset"]
    holdout, training = known["holdout"], known["training"]
    return [
        *lines,
        (
            f"Drawdown within {falls['sessions']} sessions: below its {falls['level']:.0%} quantile",
            f"{falls['coverage']['mean']:.1%} ± {falls['coverage']['standard_error']:.1%} of outcomes",
        ),
        ("Drawdown quantile against a constant", _gain(falls["advantage"], "pinball loss")),
        ("Rank correlation of forecast and outcome", f"{known['ic']['mean']:+.3f} (t {known['ic']['t_newey_west']:.1f})"),
        ("Leak certificate", f"{known['leak_certificate']['total']} training rows"),
        ("ONNX against native", f"at most {known['parity']['max_difference']:.1e} apart"),
        ("Training rows", f"{training['rows']:,} of {training['symbols']} names"),
        ("Sealed holdout", f"{holdout['first']} to {holdout['last']}, unopened" if holdout else "none"),
        ("Data", f"{data['name']} version {data['version']} ({data['vendor']}), {known['snapshot_id'][:12]}"),
        ("Universe", data["survivorship"]),
        ("Program and seed", f"{known['code_version']}, seed {known['seed']}"),
    ]


def _volatility(figures: Mapping[str, Any], interval: float) -> list[tuple[str, str]]:
    k = figures["horizon"]
    paths = figures["qlike_by_path"]
    return [
        (
            f"QLIKE over {k} sessions, walking forward",
            ", ".join(f"{NAMES[name]} {mean['mean']:.4f}" for name, mean in figures["qlike"].items()),
        ),
        *((f"HAR against {NAMES[name]}, {k} sessions", _gain(gain, "QLIKE")) for name, gain in figures["advantage"].items()),
        (f"Trees against HAR, {k} sessions", _gain(figures["trees_advantage"], "QLIKE")),
        (f"HAR's QLIKE by path, {k} sessions", f"{min(paths):.4f} to {max(paths):.4f}"),
        (f"Realised over forecast variance, {k} sessions", f"{figures['bias']:.3f}"),
        (
            f"Inside the {interval:.0%} band, {k} sessions",
            f"{figures['coverage']['mean']:.1%} ± {figures['coverage']['standard_error']:.1%}; "
            f"{figures['below']['mean']:.1%} below, {figures['above']['mean']:.1%} above",
        ),
    ]


def _gain(mean: Mapping[str, float], what: str) -> str:
    better = "better" if mean["mean"] > 0 else "worse"
    return f"{abs(mean['mean']):.4f} {better} in {what} (t {mean['t']:+.1f})"


def _inside(proof: VolatilityProof) -> np.ndarray:
    known = np.isfinite(proof.realised) & np.isfinite(proof.low)
    return np.where(known, (proof.realised >= proof.low) & (proof.realised <= proof.high), np.nan)


def _below(proof: DrawdownProof) -> np.ndarray:
    known = np.isfinite(proof.realised) & np.isfinite(proof.forecast)
    return np.where(known, proof.realised <= proof.forecast, np.nan)
