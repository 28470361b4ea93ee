"""What shared bins are worth to a recipe that nobody chose: walk-forward figures with them and with each split's own.

    .venv/bin/python benchmarks/bins_gap.py --data DATASET [--seeds 5]

The gap that a search prints is its winner's, whose luck is part of it: the best of many trials is chosen for the
accidents of its bins as well. Here the recipe of `configs/sleeves/equities_xs.yml` is fitted under one seed after the
other, and the gap left is what knowing the quantiles of tested features brings. The holdout stays sealed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from signals.config import load  # noqa: E402
from trainer.learners.base import FitDevice  # noqa: E402
from trainer.learners.fanout import RowSet  # noqa: E402
from trainer.learners.table import learner_named  # noqa: E402
from trainer.recipes.base import RecipeConfig  # noqa: E402
from trainer.samples.samples import Range, prepare, seal_holdout  # noqa: E402
from trainer.search.arena import Arena  # noqa: E402
from trainer.search.binned import BinnedRows  # noqa: E402
from trainer.search.trial_log import sharpe_of  # noqa: E402
from trainer.tasks.recipes import RECIPES  # noqa: E402
from trainer.validation.deciles import next_opens  # noqa: E402
from trainer.validation.ic import rank_ic  # noqa: E402
from trainer.validation.splits.oof import folds, score_unseen  # noqa: E402


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    if asked.seeds < 2:
        parser.error("an error needs --seeds of at least 2")
    config = load(ROOT / "configs" / "sleeves" / "equities_xs.yml", RecipeConfig)
    material = prepare(RECIPES["equities_xs"], config, Range(asked.data, None, None, ()))
    rows, _ = seal_holdout(material.rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
    arena = Arena.book(rows, next_opens(material.source.bars, material.source.actions), config.label.k)
    binned, labels = BinnedRows.of(rows), rows.dense(rows.label)
    found = []
    for seed in range(1, asked.seeds + 1):
        learner = learner_named(config.learner, config, seed, FitDevice.CPU)
        shared, own = np.full((2, len(rows)), np.nan)
        for train, test in folds(rows.t0, rows.t1, config.cpcv.groups):
            sets = RowSet.of(train), RowSet.of(test)
            shared[test], own[test] = binned.score(learner, *sets), score_unseen(rows, learner, *sets)
        figures = [
            (sharpe_of(arena.net(scores)) * 252**0.5, float(np.nanmean(rank_ic(rows.dense(scores), labels)))) for scores in (shared, own)
        ]
        found.append(np.subtract(*figures))
        told = ", ".join(f"Sharpe {sharpe:+.3f} IC {ic:+.5f}" for sharpe, ic in figures)
        print(f"seed {seed}: shared and own: {told}", flush=True)
    gaps = np.array(found)
    error = gaps.std(axis=0, ddof=1) / len(gaps) ** 0.5
    print(
        f"{len(rows):,} rows; gap of the annual Sharpe ratio {gaps[:, 0].mean():+.3f} ± {error[0]:.3f}, of the IC "
        f"{gaps[:, 1].mean():+.5f} ± {error[1]:.5f}"
    )


if __name__ == "__main__":
    main()
