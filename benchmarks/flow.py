"""What an event costs: the graphs of runs of gates and quantiles, the confirmation by flow; one row in an open session, one thread.

    .venv/bin/python benchmarks/flow.py [--seconds 4000] [--epochs 2]
    .venv/bin/python benchmarks/flow.py --run RUN [--run RUN]          # graphs of runs of `trainer train --sleeve events` alone

The former needs torch (`make test-deep` installs it). Its book is invented; latency does not depend on what was learned.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout, wherever this was started

from signals.models.inference import FEATURES, open_session
from signals.views import TableView, WindowsView
from trainer.flow.confirmation import HEAD, NET, config_of, rows_of
from trainer.flow.top_of_book import SECONDS, aggregates_panel, generate_book, inputs_panel
from trainer.learners.base import FitDevice
from trainer.learners.table import learner_named
from trainer.validation.splits.oof import fit_all

CALLS, WARM = 2000, 50


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--run", type=Path, action="append", default=[])
    asked = parser.parse_args()
    for run in asked.run:
        with np.load(run / "golden.npz", allow_pickle=False) as held:
            rows = held[FEATURES if FEATURES in held else "inputs"]
        for path in sorted(run.glob("**/*.onnx")):
            measured(str(path.relative_to(run)), path.read_bytes(), rows)
    if asked.run:
        return
    book, config = generate_book(1, asked.seconds)[0], config_of(conv_attention={"epochs": asked.epochs, "batch_rows": 128})
    for name, panel, view in (("logistic", aggregates_panel(book), TableView()), (NET, inputs_panel(book), WindowsView(SECONDS))):
        rows = rows_of(book, panel, 1, view)
        graph = fit_all(rows, learner_named(name, config, 1, FitDevice.CPU, head=HEAD)).to_onnx()
        measured(name, graph, rows.inputs(np.arange(64))[:])


def measured(name: str, graph: bytes, shown: np.ndarray) -> None:
    """Print what one row of a graph costs."""
    session, spent = open_session(graph), []
    for call in range(CALLS + WARM):
        row = shown[[call % len(shown)]]
        started = time.process_time_ns()
        session.run(None, {FEATURES: row})
        spent.append(1e-6 * (time.process_time_ns() - started))
    middle, slow = np.percentile(spent[WARM:], (50, 95))
    size, shape = len(graph) / 1024, "x".join(map(str, shown.shape[1:]))
    print(f"{name:30} {shape:6} {size:5.0f} KB  {middle:.3f} ms a row ({slow:.3f} at the 95th percentile)")


if __name__ == "__main__":
    main()
