"""Does promotion tell skill from luck, and an honest market from a leak? Generated markets show it.

Every market is generated, ingested, trained with a small preset on 60 names and judged by `trainer.promotion.champions.promote`
under the repository's own bars, each in a registry of its own. `leaks` judges the honest signals (strong, and a
reversal that is gone after a session) and the ten planted kinds of leak (`tests/campaigns/leaks.py`); `all` adds a
signal of the strength of real files, noise, and three routes to one model. Kinds that one file cannot show are judged
beside a second vendor, and so is each honest market, whose second vendor rounds its prices and counts fewer venues.

What is judged is kept in `--log`, a line of JSON a market, and is not judged again under the same settings: a campaign
that was stopped goes on, and `--part 1/2` judges every second market.

Run it with `make promotion-campaign` or `make leak-campaign`; exits 1 when a rule of `RULES` is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml

from execution.config import ExecutionConfig
from portfolio.config import PortfolioConfig
from signals.errors import DataNotUsable
from signals.files import sha256_of
from tests.campaigns.leaks import HIDDEN, KINDS, SESSIONS, SYMBOLS, Delivery, delivered, market_of, other_vendor, reversal
from trainer.backtest.policy_book import figures_of
from trainer.backtest.subject import BookSettings
from trainer.promotion import champions, history
from trainer.promotion.bars.config import read_bars
from trainer.promotion.measure import FOLDER, HOLDOUT
from trainer.recipes.base import RecipeConfig
from trainer.runs.run_folder import read_object
from trainer.tasks.recipes import RECIPES
from trainer.training.train import TrainingRequest, train

SLEEVE, CODE = "equities_xs", "campaign"
BARS_FILE = Path(__file__).resolve().parents[2] / "configs" / "trainer.yml"
BARS, SETTINGS = read_bars(BARS_FILE), BookSettings(PortfolioConfig(), ExecutionConfig())
STRENGTHS = {"strong": 0.085, "honest": 0.06, "noise": 0.0, "reversal": 0.0}  # an IC of 0.03 to 0.04, 0.01 to 0.02
LEAKY, ROUTES = tuple(KINDS), ("route train", "route search", "route compare")
SEEDS = {"noise": 20, "strong": 10, "reversal": 10, "honest": 10, **dict.fromkeys(LEAKY, 2), **dict.fromkeys(ROUTES, 1)}
SIGNALS = ("strong", "reversal")
SUITES = {"all": tuple(SEEDS), "leaks": (*SIGNALS, *LEAKY)}
COLUMNS = {"noise": ("noise",), "leaks": LEAKY, "real strength": ("honest",), "signals": SIGNALS}
UNSIZED = figures_of(np.empty(0), np.empty(0), 0.0)
UNSEALED = ("holdout", "DSR with the seal")
TRIALS = 3  # of a route's search
RECIPE = RecipeConfig.model_validate(
    {
        "lightgbm": {
            "trees": 30,
            "learning_rate": 0.1,
            "num_leaves": 15,
            "min_data_in_leaf": 300,
            "feature_fraction": 0.6,
            "bagging_fraction": 0.6,
            "lambda_l2": 10.0,
            "max_bin": 63,
        },
        "cpcv": {"groups": 3, "test_groups": 1, "embargo_sessions": 10, "holdout_sessions": 252, "long_embargo_sessions": 253},
        "search": {"startup_trials": 2, "lightgbm": {"num_leaves": [7, 15], "learning_rate": [0.05, 0.1]}},
    }
)
UNDER = sha256_of(json.dumps([RECIPE.fingerprint(), BARS.fingerprint(), SYMBOLS, SESSIONS, STRENGTHS]).encode())[:12]


@dataclass(frozen=True)
class Judged:
    """What became of one market: by bar whether it was passed, None where the seal stayed closed."""

    kind: str
    seed: int
    promoted: bool = False
    ic: float | None = None
    net_sharpe: float | None = None
    dsr: float | None = None
    trials: int | None = None
    bars: dict[str, bool | None] = field(default_factory=dict)
    why: str = ""
    seconds: float = 0.0
    under: str = UNDER

    @property
    def is_believed(self) -> bool:
        """Whether neither the ingest nor the bars on leaks and universe refused it."""
        return all(self.bars.get(bar) is True for bar in ("leak", "universe"))


def main() -> int:
    """Judge what is missing, print a line a market and the tables; 1 when a rule is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=list(SUITES), nargs="?", default="all")
    parser.add_argument("--part", default="1/1", help="as 2/3: every third market, from the second on")
    parser.add_argument("--log", type=Path, default=Path("var/promotion-campaign.jsonl"))
    given = parser.parse_args()
    part, parts = map(int, given.part.split("/"))
    kinds = SUITES[given.suite]
    markets = [(kind, seed) for seed in range(1, max(SEEDS.values()) + 1) for kind in kinds if seed <= SEEDS[kind]]
    for kind, seed in markets[part - 1 :: parts]:
        if not any((row.kind, row.seed) == (kind, seed) for row in read(given.log)):
            row = judged(given.log.with_suffix("") / f"{kind}-{seed}", kind, seed)
            with given.log.open("a") as log:
                log.write("\n" + json.dumps(asdict(row)) + "\n")  # after a line that was cut off, too
            print(line(row), flush=True)
    found = [row for row in read(given.log) if (row.kind, row.seed) in markets]
    print(table(found), summary(found), f"{len(found)} of {len(markets)} markets judged", sep="\n\n")
    broken = [said for said, is_kept in RULES.items() if not is_kept(found)]
    print(*(f"BROKEN: {said}" for said in broken), sep="\n")
    return 1 if broken else 0


def read(log: Path) -> list[Judged]:
    """Return what is on record under the settings of now; a line that was cut off is no record."""
    found = []
    for content in log.read_text().splitlines() if log.exists() else ():
        try:
            known = json.loads(content)
        except ValueError:
            continue
        if known["under"] == UNDER:
            found.append(Judged(**known))
    return found


def judged(place: Path, kind: str, seed: int) -> Judged:
    """Make, train and judge one market."""
    shutil.rmtree(place, ignore_errors=True)
    begun = time.monotonic()
    try:
        data, run = (by_route if kind in ROUTES else trained)(place, kind, seed)
    except DataNotUsable as error:
        shutil.rmtree(place)
        return Judged(kind, seed, why=str(error)[:300], seconds=round(time.monotonic() - begun, 1))
    request = champions.PromotionRequest(run, data, place / "registry", BARS, SETTINGS, CODE, datetime(2026, 1, 2, tzinfo=UTC))
    outcome = champions.promote(request)
    rows, evidence = outcome.verdict.rows, read_object(run / "evidence.json")
    was_opened = (run / FOLDER / HOLDOUT).exists()
    case = read_object(history.case_path(place / "registry", str(outcome.record["case_sha256"])))
    found = Judged(
        kind,
        seed,
        outcome.verdict.is_promoted,
        evidence["ic"]["mean"],
        case["measured"]["walk_forward"]["net"]["annual_sharpe"],
        case["trials"].get("dsr"),
        case["trials"]["n_trials"],
        {row.bar: row.passed if was_opened or row.bar not in UNSEALED else None for row in rows},
        "; ".join(row.why for row in rows if not row.passed and row.bar in ("leak", "universe"))[:600],
        round(time.monotonic() - begun, 1),
    )
    shutil.rmtree(place)
    return found


def planted(kind: str, seed: int) -> Delivery:
    """The market: every second leak is planted beside the strong signal."""
    strength = STRENGTHS.get(kind, STRENGTHS["strong"] if seed % 2 == 0 or kind in ROUTES else 0.0)
    market = market_of(seed, strength=strength)
    plants = {**KINDS, "reversal": reversal}
    return plants[kind](market) if kind in plants else market


def trained(place: Path, kind: str, seed: int) -> tuple[Path, Path]:
    """Return dataset and run of one training of the preset."""
    market = planted(kind, seed)
    data, second = delivered(market, place / "ours"), None
    if kind in HIDDEN or kind not in KINDS:
        honest = planted("noise" if seed % 2 else "strong", seed) if kind in HIDDEN else market
        second = delivered(other_vendor(honest), place / "theirs")
    request = TrainingRequest(
        data=data,
        run=place / "run",
        start=None,
        end=None,
        symbols=(),
        seed=1,
        workers=1,
        code_version=CODE,
        bars_hash=BARS.fingerprint(),
        second=second,
    )
    # The report's pictures judge nothing, and a promotion measures the book anew: a third of the time.
    task = "trainer.tasks.rank_return"
    with patch(f"{task}.report_files", lambda subject: {}), patch(f"{task}.policy_book", lambda *of: UNSIZED):
        train(RECIPES[SLEEVE], RECIPE, request, lambda name: None)
    return data, request.run


def by_route(place: Path, kind: str, seed: int) -> tuple[Path, Path]:
    """Return dataset and run of one model: found and trained at once; searched first; searched, then compared."""
    data, run, recipe = delivered(planted(kind, seed), place / "ours"), place / "run", place / "recipe.yml"
    recipe.write_text(yaml.safe_dump(RECIPE.model_dump(mode="json")))
    common = ("--sleeve", SLEEVE, "--data", str(data), "--workers", "1")
    bars, search = ("--bars", str(BARS_FILE)), ("--trials", str(TRIALS))
    if kind == "route train":
        trainer("train", *common, *bars, *search, "--run", str(run), "--config", str(recipe))
        return data, run
    best = trainer("search", *common, *bars, *search, "--to", str(place / "search"), "--config", str(recipe))["recipe"]
    if kind == "route compare":
        trainer("compare", *common, "--learners", "lightgbm", "--to", str(place / "compared"), "--config", best)
    trainer("train", *common, *bars, "--run", str(run), "--config", best)
    return data, run


def trainer(*words: str) -> Any:
    """Run a command of the product as a process of its own, on one core, and return its JSON answer."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trainer", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"trainer {' '.join(words)}: exit {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def of(found: Iterable[Judged], *kinds: str) -> list[Judged]:
    """Return the markets of these kinds."""
    return [row for row in found if row.kind in kinds]


RULES: dict[str, Callable[[list[Judged]], bool]] = {
    "noise is promoted in at most 1 of 20": lambda f: sum(r.promoted for r in of(f, "noise")) <= max(1, len(of(f, "noise")) // 20),
    "no leak is promoted, and none is believed": lambda f: not any(r.promoted or r.is_believed for r in of(f, *LEAKY)),
    "honest signals are believed in 18 of 20": lambda f: sum(r.is_believed for r in of(f, *SIGNALS)) >= 18 / 20 * len(of(f, *SIGNALS)),
    "every route to one model has one DSR": lambda f: len({(r.dsr, r.trials) for r in of(f, *ROUTES)}) <= 1,
}


def line(row: Judged) -> str:
    """One market for a person who watches."""
    word = "promoted" if row.promoted else "refused"
    failed = ", ".join(bar for bar, passed in row.bars.items() if passed is False)
    why = " ".join(f"({said})" for said in (failed, row.why[:200]) if said)
    return (
        f"{row.kind:24} {row.seed:2}  IC {figure(row.ic, '+.4f')}  net Sharpe {figure(row.net_sharpe, '+.2f'):>5}  "
        f"DSR {figure(row.dsr, '.3f')} of {row.trials}  {row.seconds:4.0f} s  {word} {why}"
    )


def table(found: list[Judged]) -> str:
    """By bar, how many markets pass it of those that it was asked of, as the columns of `docs/promotion.md`."""
    bars = list(dict.fromkeys(bar for row in found for bar in row.bars))
    lines = [f"| bar, passed by | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for bar in bars:
        cells = []
        for kinds in COLUMNS.values():
            asked = [row.bars[bar] for row in of(found, *kinds) if row.bars.get(bar) is not None]
            cells.append(f"{sum(map(bool, asked))} of {len(asked)}" if asked else "-")
        lines.append(f"| {bar} | {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(found: list[Judged]) -> str:
    """By kind, how many were promoted and believed, and the figures behind them."""
    lines = [f"{SYMBOLS} symbols, {SESSIONS} sessions"]
    for kind in dict.fromkeys(row.kind for row in found):
        rows = of(found, kind)
        figures = [
            f"{name} {mean(known):{form}} ({min(known):{form}} to {max(known):{form}})"
            for name, values, form in (("IC", [row.ic for row in rows], "+.4f"), ("net Sharpe", [row.net_sharpe for row in rows], "+.2f"))
            if (known := [value for value in values if value is not None])
        ]
        promoted, believed = sum(row.promoted for row in rows), sum(row.is_believed for row in rows)
        told = ", ".join(figures) or "not trained"
        lines.append(f"{kind:24} promoted {promoted}, believed {believed} of {len(rows)}  {told}")
    return "\n".join(lines)


def figure(value: float | None, form: str) -> str:
    """Return a figure as it is printed."""
    return "none" if value is None else format(value, form)


if __name__ == "__main__":
    sys.exit(main())
