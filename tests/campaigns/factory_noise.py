"""Noise is not called skilled, a planted direction is, and the clock alone is refused.

    make factory-noise [SEEDS=20 SESSIONS=400]

Each seed invents one instrument's minutes (`trainer generate-minutes`), computes the sleeve's features of 5-minute bars, labels
them by barriers, compares learners and horizons as `trainer compare --sleeve bars` does, and asks for the verdict. Strength 0 is the
same noise without a signal; there at most one seed of 20 may be called skilled, at strength 1.5 at least 19. The clock's drift is 0.
The third row lets models see the clock alone on the planted bars: none may be called skilled.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from datetime import date

import numpy as np

from signals.features.panel import FeaturePanel
from signals.minutes.grid import Hours, minute_bars
from signals.minutes.stretch import DecisionBars
from signals.sleeves.bars import BARS
from trainer.curation.generated.minutes import SYMBOL, generate_minutes
from trainer.learners.base import FitDevice, Matrix, Numbered
from trainer.learners.parameters import LightGbmConfig
from trainer.learners.table import learner_named
from trainer.samples.samples import samples
from trainer.search.counting import Counted
from trainer.tasks.barrier_classes.comparison import Comparison, ComparisonRecord, HorizonRows, compare_learners
from trainer.tasks.barrier_classes.horizons import horizon_rows
from trainer.tasks.barrier_classes.task import BARRIER_CLASSES, CLASSES
from trainer.tasks.recipes import recipe_named

END = date(2024, 12, 31)
KINDS, HORIZONS = ("lightgbm", "logistic"), (6, 12)
STRENGTH, EMBARGO, COST_BPS = 1.5, 390, 2.0
TREES = LightGbmConfig(trees=80, num_leaves=15, min_data_in_leaf=200, learning_rate=0.05)
MOST_NOISE, LEAST_PLANTED = 1 / 20, 19 / 20


def invented(seed: int, sessions: int, strength: float) -> tuple[DecisionBars, FeaturePanel, Matrix]:
    """Bars and features of invented minutes, and at each bar what an oracle knows."""
    made = generate_minutes(seed, sessions, end=END, strength=strength)
    inside = np.isfinite(made.mu)
    minutes = minute_bars(SYMBOL, made.grid, made.ends[inside], {name: array[inside] for name, array in made.bars.items()})
    bars, panel = replace(BARS, hours=Hours.RTH).intraday(minutes)
    place = {moment: number for number, moment in enumerate(made.ends[inside].astype("datetime64[s]").tolist())}
    known = np.array([place[moment] for moment in bars.sessions.tolist()])
    truth = np.column_stack([array[inside][known] for array in (made.mu, made.regime, made.push)]).astype(np.float32)
    return bars, panel, truth


def rows_of(seed: int, sessions: int, strength: float) -> tuple[HorizonRows, ...]:
    bars, panel, truth = invented(seed, sessions, strength)
    recipe = recipe_named("bars")
    found = []
    for horizon in HORIZONS:
        config = recipe.config.model_copy(update={"label": recipe.config.label.model_copy(update={"k": horizon})})
        rows = samples(panel, BARRIER_CLASSES.labels(bars, config, ()), min_names=1)
        found.append(horizon_rows(rows, bars, horizon=horizon, embargo=EMBARGO, truth=truth))
    return tuple(found)


def compared(horizons: tuple[HorizonRows, ...], seed: int) -> Comparison:
    config = recipe_named("bars").config.model_copy(update={"lightgbm": TREES})
    learners = {kind: Numbered(learner_named(kind, config, seed, FitDevice.CPU, head=CLASSES)) for kind in KINDS}
    days = np.arange(max(int(rows.decisions.session[-1]) for rows in horizons) + 1).astype("datetime64[D]")
    record = ComparisonRecord(days, lambda: Counted(()), lambda name: 0)  # every market is another one: nothing was compared on it before
    return compare_learners(
        horizons, learners, reference=learners["lightgbm"], cost_bps=COST_BPS, seed=seed, step=lambda _: None, record=record
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--sessions", type=int, default=400)
    options = parser.parse_args()
    skilled = {"noise": 0, "planted": 0, "clock alone": 0}
    for seed in range(options.first, options.first + options.seeds):
        for kind, strength in (("noise", 0.0), ("planted", STRENGTH)):
            begin = time.process_time()
            horizons = rows_of(seed, options.sessions, strength)
            told = [(kind, compared(horizons, seed))]
            if kind == "planted":
                blind = tuple(replace(one, inputs=one.clock, names=tuple(f"c{n}" for n in range(one.clock.shape[1]))) for one in horizons)
                told.append(("clock alone", compared(blind, seed)))
            for name, found in told:
                skilled[name] += found.is_skilled
                best, oracle = found.cells[0], found.test_beside.get("oracle")
                chance = best.adjusted.p if best.adjusted else 1.0
                print(
                    f"{seed:3} {name:12} {best.name:14} validation t {best.figures.ic.t:+6.2f} p {chance:.3f}"
                    f"  test IC {found.test.ic.mean:+.3f} t {found.test.ic.t:+6.2f}  oracle {oracle.ic.mean if oracle else 0:+.3f}"
                    f"  log loss {found.test.log_loss:.4f}  skilled {found.is_skilled}  {time.process_time() - begin:.0f} s",
                    flush=True,
                )
    count = options.seeds
    print(f"called skilled: {skilled} of {count} each")
    is_right = (
        skilled["noise"] <= max(1, MOST_NOISE * count) and skilled["planted"] >= LEAST_PLANTED * count and skilled["clock alone"] == 0
    )
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
