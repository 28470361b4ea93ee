"""Does promotion tell skill from luck? Generated markets, with the planted signal and without, judged by the product.

For every seed two markets are generated, ingested, searched, trained and judged by `trainer`'s own commands and the
repository's own bars: with the signal the challenger should become champion, without it should be refused. Asked are
18 promotions and 19 refusals in 20 seeds. What is done is kept in `--state` and not done again.

Run it with `make promotion-campaign`; 40 trainings take an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from signals.files import write_atomic

ROOT = Path(__file__).resolve().parents[2]
BARS = ROOT / "configs" / "trainer.yml"
SYMBOLS, SESSIONS, STRENGTH, TRIALS = 120, 1764, 0.09, 4
WANTED = {True: 18 / 20, False: 19 / 20}
RECIPE = {
    "learner": "lightgbm",
    "lightgbm": {
        "trees": 80,
        "learning_rate": 0.08,
        "num_leaves": 15,
        "min_data_in_leaf": 500,
        "feature_fraction": 0.6,
        "bagging_fraction": 0.6,
        "lambda_l2": 10.0,
        "max_bin": 63,
    },
    "cpcv": {"groups": 6, "test_groups": 2, "embargo_sessions": 10, "holdout_sessions": 252, "long_embargo_sessions": 253},
    "search": {"startup_trials": 2, "lightgbm": {"num_leaves": [7, 15], "learning_rate": [0.05, 0.1], "min_data_in_leaf": [200, 500]}},
}


@dataclass(frozen=True)
class Judged:
    """One market's verdict."""

    seed: int
    signal: bool
    promoted: bool
    net_sharpe: float | None
    ic: float | None
    failed: list[str]
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether skill was promoted, or luck refused."""
        return self.promoted is self.signal


def main() -> int:
    """Run what is missing, print a line a market and the table; 0 when enough verdicts are right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--state", type=Path, default=Path("var/promotion-campaign"))
    given = parser.parse_args()
    found = []
    for seed in range(1, given.seeds + 1):
        for signal in (True, False):
            found.append(judged(given.state, seed, signal=signal))
            print(line(found[-1]), flush=True)
    print(table(found))
    rates = {signal: rate([row for row in found if row.signal is signal]) for signal in (True, False)}
    return 0 if all(rates[signal] >= wanted for signal, wanted in WANTED.items()) else 1


def judged(state: Path, seed: int, *, signal: bool) -> Judged:
    """Return the verdict on one market, from the state or by making, training and judging it."""
    name = f"{seed:02}-{'signal' if signal else 'none'}"
    kept = state / f"{name}.json"
    if kept.exists():
        return Judged(**json.loads(kept.read_bytes()))
    place = state / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "recipe.yml").write_text(yaml.safe_dump(RECIPE))
    begun = time.monotonic()
    trainer(
        "generate",
        "--seed",
        str(seed),
        "--symbols",
        str(SYMBOLS),
        "--sessions",
        str(SESSIONS),
        "--strength",
        str(STRENGTH),
        *(() if signal else ("--no-signal",)),
        "--to",
        f"{place}/vendor",
    )
    trainer(
        "ingest",
        "--bars",
        f"{place}/vendor/bars.parquet",
        "--actions",
        f"{place}/vendor/actions.parquet",
        "--universe",
        f"{place}/vendor/universe.parquet",
        "--basis",
        "raw",
        "--to",
        f"{place}/data",
    )
    trainer(
        "train",
        "--sleeve",
        "equities_xs",
        "--data",
        f"{place}/data",
        "--run",
        f"{place}/run",
        "--config",
        f"{place}/recipe.yml",
        "--bars",
        str(BARS),
        "--trials",
        str(TRIALS),
        "--workers",
        "1",
    )
    verdict = trainer(
        "promote",
        "--run",
        f"{place}/run",
        "--data",
        f"{place}/data",
        "--registry",
        f"{place}/registry",
        "--bars",
        str(BARS),
        allowed=(0, 1),
    )
    evidence = json.loads((place / "run" / "evidence.json").read_bytes())
    found = Judged(
        seed,
        signal,
        verdict["verdict"] == "promoted",
        verdict["net_sharpe"],
        evidence["ic"]["mean"],
        [row["bar"] for row in verdict["rows"] if not row["passed"]],
        round(time.monotonic() - begun, 1),
    )
    write_atomic(kept, json.dumps({**asdict(found)}).encode())
    shutil.rmtree(place)
    return found


def trainer(*words: str, allowed: tuple[int, ...] = (0,)) -> Any:
    """Run a command of the product as a process of its own, on one core, and return its JSON answer."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trainer", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode not in allowed:
        raise SystemExit(f"trainer {' '.join(words)}: exit {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def rate(rows: list[Judged]) -> float:
    """Share of right verdicts."""
    return mean(row.is_right for row in rows)


def line(row: Judged) -> str:
    """One market for a person who watches."""
    sharpe = "none" if row.net_sharpe is None else f"{row.net_sharpe:+.2f}"
    ic = "none" if row.ic is None else f"{row.ic:+.4f}"
    word = "promoted" if row.promoted else "refused"
    why = f" ({', '.join(row.failed)})" if row.failed else ""
    planted = "signal" if row.signal else "none"
    return f"seed {row.seed:2}  {planted:6}  IC {ic}  net Sharpe {sharpe:>5}  {row.seconds:5.0f} s  {word}{why}"


def table(found: list[Judged]) -> str:
    """Both halves: how many verdicts were right, and the net Sharpe ratios behind them."""
    rows = []
    for signal in (True, False):
        half = [row for row in found if row.signal is signal]
        sharpes = [row.net_sharpe or 0.0 for row in half]
        spread = f" +- {stdev(sharpes):.2f}" if len(sharpes) > 1 else ""
        said = "with the signal: promoted" if signal else "without it: refused"
        rows.append(
            f"{said} {sum(r.is_right for r in half)} of {len(half)}; "
            f"net Sharpe {mean(sharpes):.2f}{spread}, {min(sharpes):.2f} to {max(sharpes):.2f}"
        )
    return "\n".join([f"\n{SYMBOLS} symbols, {SESSIONS} sessions, strength {STRENGTH}, {TRIALS} trials", *rows])


if __name__ == "__main__":
    sys.exit(main())
