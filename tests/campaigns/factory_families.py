"""Every family against an oracle on invented minutes with a planted direction: how much of what there is to know each finds.

    make factory-families [FAMILIES=lightgbm,gru FAMILY_SEEDS=1,2,3 SESSIONS=400 MINUTES_SPENT=25]

A family is fitted once on the first 70 % of each seed's decisions, 6 bars ahead on bars of 5 minutes, and judged on all later ones
(nothing is chosen by them): tables on the features of the last bar, networks on the last 30 bars of 20 features. Asked are 40 % of
the oracle's information coefficient and t of 4, on every seed; the clock's drift is 0. A network that sees the order of bars is compared
with LightGBM by the differences of their sessions, all seeds together.

Each part (a family on a seed) is a line of var/factory-families.jsonl and is not run again; the table is of all that is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from signals.indicators.catalogue import TRANSFORMER_RAW
from signals.views import TableView, WindowsView
from tests.campaigns.factory_noise import COST_BPS, EMBARGO, STRENGTH, TREES, invented
from trainer.learners.base import FitDevice, Numbered
from trainer.learners.networks.rows import NETWORKS
from trainer.learners.table import capabilities_of, learner_named
from trainer.samples.samples import samples
from trainer.tasks.barrier_classes.comparison import HorizonRows, outputs_of
from trainer.tasks.barrier_classes.decisions import LAG, direction_figures
from trainer.tasks.barrier_classes.horizons import horizon_rows
from trainer.tasks.barrier_classes.task import BARRIER_CLASSES, CLASSES
from trainer.tasks.recipes import recipe_named
from trainer.validation.ic import persistent_mean

HORIZON, STEPS = 6, 30
ORACLE, REFERENCE = "oracle", "lightgbm"
SHARE, SURE = 0.4, 4.0
CHANNELS = (
    *TRANSFORMER_RAW,
    "volume_level_20",
    "volume_level_78",
    "ema_gap_20",
    "return_5",
    "rsi_14",
    "volume_ratio_5_60",
    "streak",
    "natr_14",
)
TABULAR = ("lightgbm", "logistic", "xgboost", "catboost", "random_forest", "svm", "voting", "blending", "stacking", "mlp")
ORDERED = ("gru", "tcn", "dlinear", "patchtst", "nhits", "nbeats", "lstm", "quantile_rnn", "deepar", "itransformer", "transformer")
FAMILIES = (ORACLE, *TABULAR, *ORDERED, "resnet", "inception", "tft", "mamba")
MEMBERS, BOOSTED = ("lightgbm", "random_forest", "logistic"), ("lightgbm", "xgboost", "catboost")
SIZES: dict[str, dict[str, Any]] = {
    "lightgbm": TREES.model_dump(),
    "xgboost": {"trees": 80, "max_depth": 4, "min_child_weight": 40.0},
    "catboost": {"trees": 80, "depth": 5},
    "random_forest": {"trees": 60},
    "svm": {"max_rows": 4000},
    "voting": {"members": BOOSTED},
    "blending": {"members": BOOSTED},
    "stacking": {"members": MEMBERS, "folds": 3},
    **{name: {"epochs": 5, "batch_rows": 256} for name in NETWORKS},
}


@lru_cache(maxsize=3)
def market(seed: int, sessions: int) -> Any:
    return invented(seed, sessions, STRENGTH)


def rows_of(seed: int, sessions: int, windows: bool) -> HorizonRows:
    """The decisions of a seed, the same whatever a family sees of the bars before them."""
    bars, panel, truth = market(seed, sessions)
    config = recipe_named("bars").config
    config = config.model_copy(update={"label": config.label.model_copy(update={"k": HORIZON})})
    if windows:
        panel = panel.only(CHANNELS)
    labels = BARRIER_CLASSES.labels(bars, config, ())
    view = WindowsView(STEPS) if windows else TableView()
    first = int(np.flatnonzero(panel.eligible[:, 0])[0]) + STEPS
    found = samples(panel, labels, first=first, min_names=1, view=view)
    return horizon_rows(found, bars, horizon=HORIZON, embargo=EMBARGO, truth=truth)


def part(family: str, seed: int, sessions: int) -> dict[str, Any]:
    """Fit one family on one seed, and judge it."""
    kind = REFERENCE if family == ORACLE else family
    base = recipe_named("bars").config
    config = type(base).model_validate(
        base.model_dump() | {name: SIZES.get(name, {}) for name in {kind, *SIZES.get(kind, {}).get("members", ())}}
    )
    rows = rows_of(seed, sessions, "table" not in capabilities_of(kind, config).views)
    given = rows.truth if family == ORACLE else rows.inputs
    assert given is not None
    names = tuple(f"true_{n}" for n in range(given.shape[-1])) if family == ORACLE else rows.names
    begin = time.process_time()
    learner = Numbered(learner_named(kind, config, seed, FitDevice.CPU, head=CLASSES))
    target = rows.decisions.side[rows.train].astype(np.float64)
    model = learner.fit(np.ascontiguousarray(given[rows.train]), target, rows.weight[rows.train], names, rows.decisions.session[rows.train])
    spent = time.process_time() - begin
    later = np.concatenate([rows.validation, rows.test])
    what = rows.decisions.at(later)
    outputs = outputs_of(model, np.ascontiguousarray(given[later]), rows.decisions.at(rows.train).class_means(), what.sigma)
    figures = direction_figures(what, outputs, cost_bps=COST_BPS)
    return {
        "family": family,
        "seed": seed,
        "sessions": sessions,
        "ic": figures.ic.mean,
        "t": figures.ic.t,
        "fit_s": spent,
        "learned": len(rows.train),
        "judged": len(later),
        "rows": figures.rows,
        "by_session": figures.by_session.tolist(),
    }


def table(parts: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """The table as Markdown, and which families miss what is asked."""
    at = {(one["family"], one["seed"]): one for one in parts}
    for seed in {one["seed"] for one in parts}:
        assert len({one["rows"] for one in parts if one["seed"] == seed}) == 1, "families were judged on different decisions"
    lines, missed = (
        ["| family | seeds | IC (t) | of the oracle's | 40 % and t 4 | less LightGBM's, t | fit s |", "|---|---|---|---|---|---|---|"],
        [],
    )
    for family in FAMILIES:
        own = [at[family, seed] for seed in sorted({seed for name, seed in at if name == family})]
        if not own:
            continue
        shares = [one["ic"] / at[ORACLE, one["seed"]]["ic"] for one in own]
        is_kept = all(share >= SHARE and one["t"] >= SURE for share, one in zip(shares, own, strict=True))
        apart = [np.array(one["by_session"]) - np.array(at[REFERENCE, one["seed"]]["by_session"]) for one in own]
        paired = persistent_mean(np.concatenate(apart), LAG) if family not in (ORACLE, REFERENCE) else None
        if not is_kept:
            missed.append(family)
        cells = [
            family,
            ", ".join(str(one["seed"]) for one in own),
            ", ".join(f"{one['ic']:+.3f} ({one['t']:.1f})" for one in own),
            ", ".join(f"{share:.0%}" for share in shares),
            "yes" if is_kept else "no",
            f"{paired.mean:+.3f}, {paired.t:+.1f}" if paired else "",
            f"{np.mean([one['fit_s'] for one in own]):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines), missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--sessions", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=600.0, help="no part begins later than this")
    parser.add_argument("--to", type=Path, default=Path("var/factory-families.jsonl"))
    options = parser.parse_args()
    options.to.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in options.to.read_text(encoding="utf-8").splitlines()] if options.to.exists() else []
    done = [one for one in done if one["sessions"] == options.sessions]
    asked = [(family, int(seed)) for family in options.families.split(",") for seed in options.seeds.split(",")]
    begin = time.monotonic()
    for number, (family, seed) in enumerate(asked, start=1):
        if any((one["family"], one["seed"]) == (family, seed) for one in done):
            continue
        if time.monotonic() - begin > 60.0 * options.minutes:
            print(f"{len(asked) - number + 1} parts are left for another run")
            break
        done.append(part(family, seed, options.sessions))
        with options.to.open("a", encoding="utf-8") as file:
            file.write(json.dumps(done[-1]) + "\n")
        one = done[-1]
        print(f"{number:3} of {len(asked)} {family:14} seed {seed} IC {one['ic']:+.3f} t {one['t']:+.1f} {one['fit_s']:.0f} s", flush=True)
    text, missed = table(done)
    print(text)
    print(f"missed by: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
