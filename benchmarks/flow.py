"""What the confirmation by flow costs: its net and its regressions, exported, one row in an open session, one thread.

    .venv/bin/python benchmarks/flow.py [--seconds 4000] [--epochs 2]

Needs torch (`make test-deep` installs it). The book is invented; latency does not depend on what was learned.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout, wherever this was started

from signals.models.inference import FEATURES, SCORE, open_session
from signals.views import TableView, WindowsView
from trainer.flow.books import generate_book
from trainer.flow.confirmation import HEAD, NET, config_of, rows_of
from trainer.flow.top_of_book import SECONDS, aggregates_panel, inputs_panel
from trainer.learners.base import FitDevice
from trainer.learners.table import learner_named
from trainer.validation.splits.oof import fit_all

CALLS, WARM = 2000, 50


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=2)
    asked = parser.parse_args()
    book, config = generate_book(1, asked.seconds).book, config_of(conv_attention={"epochs": asked.epochs, "batch_rows": 128})
    for name, panel, view in (("logistic", aggregates_panel(book), TableView()), (NET, inputs_panel(book), WindowsView(SECONDS))):
        rows = rows_of(book, panel, 1, view)
        graph = fit_all(rows, learner_named(name, config, 1, FitDevice.CPU, head=HEAD)).to_onnx()
        session, shown, spent = open_session(graph), rows.inputs(np.arange(64))[:], []
        for call in range(CALLS + WARM):
            row = shown[[call % 64]]
            started = time.process_time_ns()
            session.run([SCORE], {FEATURES: row})
            spent.append(1e-6 * (time.process_time_ns() - started))
        middle, slow = np.percentile(spent[WARM:], (50, 95))
        size, shape = len(graph) / 1024, "x".join(map(str, shown.shape[1:]))
        print(f"{name:15} {shape:6} {size:5.0f} KB  {middle:.3f} ms a row ({slow:.3f} at the 95th percentile)")


if __name__ == "__main__":
    main()
