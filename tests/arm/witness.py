"""What one machine computes: every feature of a dataset, its events, their outcomes and pictures, the scores of a bundle, one chart.

It runs on both machines that are compared, and imports nothing but the device's own packages.

    python witness.py --data DATASET --bundle BUNDLE --sessions 252 --to FILE.npz
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import numpy as np

from appliance.tui.plot import Chart, ChartLine, rendered
from signals.bundle import Part, read_bundle_manifest
from signals.bundle.child_inference import infer_in_child
from signals.bundle.golden import MAX_TOLERANCE_SD, read_golden
from signals.events.detectors import detect
from signals.events.outcomes import outcomes
from signals.events.panel import EventBars
from signals.events.recorded import OutcomeRules
from signals.market.dataset import load_bars, read_manifest
from signals.models.inference import SCORE, GraphMember, infer, predict
from signals.sleeves import SLEEVES
from signals.sleeves.patterns import PATTERNS, pictured
from signals.views.sample_views import BarImageView

PICTURES = 500


def main() -> None:
    """Compute it and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a curated dataset")
    parser.add_argument("--bundle", type=Path, required=True, help="folder of a published bundle")
    parser.add_argument("--sessions", type=int, default=252, help="newest sessions that are scored")
    parser.add_argument("--alone", action="store_true", help="run the golden vectors in this process, not in a child")
    parser.add_argument("--to", type=Path, required=True)
    asked = parser.parse_args()
    manifest = read_manifest(asked.data)
    bars = load_bars(asked.data, manifest, manifest.first, manifest.last)
    panel, levels = SLEEVES["equities_xs"].panel(bars), EventBars.of(bars)
    found = detect(levels).table(bars.eligible)
    made = outcomes(levels, found, OutcomeRules())
    row, column = np.argwhere(pictured(bars))[-PICTURES:].T
    pictures = BarImageView().rows(PATTERNS.panel(bars), row, column)
    newest = panel.eligible[-asked.sessions :]
    rows = np.ascontiguousarray(panel.values[-asked.sessions :][newest])
    described = read_bundle_manifest((asked.bundle / "manifest.json").read_bytes(), "manifest.json")
    models = [(asked.bundle / file.path).read_bytes() for file in described.of(Part.MODEL)]
    place = asked.bundle / described.of(Part.GOLDEN)[0].path
    golden = read_golden(described, place.read_bytes(), str(place))
    reproduced = (infer if asked.alone else infer_in_child)([GraphMember(model) for model in models], golden.inputs)
    golden.check(reproduced, MAX_TOLERANCE_SD, str(place))
    again = reproduced[SCORE][:, 0]
    chart = rendered(Chart("golden", (ChartLine("score", tuple(float(score) for score in again)),), "{:+.4f}"), 80, 12)
    np.savez(
        asked.to,
        names=np.array(panel.names),
        sessions=panel.sessions,
        eligible=panel.eligible,
        features=panel.values[panel.eligible],
        counts=newest.sum(axis=1),
        scores=predict(models, rows),
        golden=again,
        chart=np.array(chart.plain),
        events=np.stack([found.row, found.column, found.kind, found.side, made.exit, made.t1]),
        pictures=(pictures * 255).astype(np.uint8),
        machine=np.array(platform.machine()),
    )


if __name__ == "__main__":
    main()
