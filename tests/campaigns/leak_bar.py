"""Does the leak bar tell an honest market from a leak? Generated markets of both, trained and judged by the product.

Every seed makes two honest markets (the campaign's signal, and a reversal that is gone after a session) and one of each
named kind of leak (`tests/campaigns/leaks.py`), on 60 names and a small preset. A market is passed where neither the
bar `leak` nor the bar `universe` of `trainer promote` refuses it; a session that the ingest turns RED, so that no
training takes it, is a refusal. Kinds that one file cannot show are judged beside a second vendor; so is each honest
market, whose second vendor rounds its prices and counts fewer venues. What is done is kept in `--state`.

Run it with `make leak-campaign`; exits 1 when under 18 of 20 honest markets pass, or a leak does.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

from signals.errors import DataNotUsable
from signals.files import write_atomic
from tests.campaigns.leaks import HIDDEN, HONEST, KINDS, SESSIONS, SYMBOLS, delivered, market_of, other_vendor
from trainer.promotion.bars import data, universe
from trainer.promotion.bars.case import Case
from trainer.promotion.bars.config import PromotionConfig
from trainer.recipes import RECIPES
from trainer.recipes.base import RecipeConfig
from trainer.training.train import Request, train

SLEEVE = "equities_xs"
WANTED = 18 / 20
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
        "cpcv": {"groups": 3, "test_groups": 1, "embargo_sessions": 10, "holdout_sessions": 252},
    }
)
BARS = PromotionConfig()


@dataclass(frozen=True)
class Judged:
    """What the bars said of one market."""

    seed: int
    kind: str
    passed: bool
    ic: float | None
    net_sharpe: float | None
    why: list[str]
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether an honest market passed, or a leak was refused."""
        return self.passed is (self.kind in HONEST)


def main() -> int:
    """Run what is missing, print a line a market and the table; 0 when enough verdicts are right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="markets of each kind")
    parser.add_argument("--part", default="1/1", help="as 2/3: every third market, from the second on")
    parser.add_argument("--kinds", default="", help="comma-separated; all where empty")
    parser.add_argument("--state", type=Path, default=Path("var/leak-campaign"))
    given = parser.parse_args()
    part, parts = map(int, given.part.split("/"))
    kinds = [kind for kind in given.kinds.split(",") if kind] or [*HONEST, *KINDS]
    wanted = [(seed, kind) for seed in range(1, given.seeds + 1) for kind in kinds][part - 1 :: parts]
    found = []
    for seed, kind in wanted:
        found.append(judged(given.state, seed, kind))
        print(line(found[-1]), flush=True)
    print(table(found))
    honest = [row for row in found if row.kind in HONEST]
    leaks = [row for row in found if row.kind not in HONEST]
    fair = not honest or sum(row.is_right for row in honest) >= WANTED * len(honest)
    return 0 if fair and all(row.is_right for row in leaks) else 1


def judged(state: Path, seed: int, kind: str) -> Judged:
    """Return what the bars say of one market, from the state or by making, training and judging it."""
    kept = state / f"{seed:02}-{kind}.json"
    if kept.exists():
        return Judged(**json.loads(kept.read_bytes()))
    place = state / f"{seed:02}-{kind}"
    shutil.rmtree(place, ignore_errors=True)
    begun = time.monotonic()
    ic, sharpe, why = _trained(place, seed, kind)
    found = Judged(seed, kind, not why, ic, sharpe, why, round(time.monotonic() - begun, 1))
    write_atomic(kept, json.dumps(asdict(found)).encode())
    shutil.rmtree(place)
    return found


def _trained(place: Path, seed: int, kind: str) -> tuple[float | None, float | None, list[str]]:
    honest = market_of(seed, signal=kind == "signal")
    folder = delivered({**HONEST, **KINDS}[kind](honest), place / "ours")
    second = None
    if kind in HONEST or kind in HIDDEN:
        second = delivered(other_vendor(HONEST.get(kind, HONEST["signal"])(honest)), place / "theirs")
    request = Request(
        data=folder,
        run=place / "run",
        start=None,
        end=None,
        symbols=(),
        seed=1,
        workers=1,
        code_version="campaign",
        bars_hash=BARS.fingerprint(),
        second=second,
    )
    try:
        # The report's pictures take a fifth of the time and judge nothing.
        with patch("trainer.training.train.report_files", lambda subject: {}):
            evidence = train(RECIPES[SLEEVE], RECIPE, request, lambda name: None)
    except DataNotUsable as error:
        return None, None, [f"RED: {error}"[:200]]
    sharpe = float(evidence["policy_book"]["annual_sharpe"])
    case = Case(evidence=evidence, measured={"walk_forward": {"net": {"annual_sharpe": sharpe}}})
    rows = [row(case, BARS) for row in (data.leak, universe.universe)]
    failed = [f"{row.bar}: {row.why}" for row in rows if not row.passed]
    return evidence["ic"]["mean"], sharpe, failed


def line(row: Judged) -> str:
    """One market for a person who watches."""
    ic = "none" if row.ic is None else f"{row.ic:+.4f}"
    sharpe = "none" if row.net_sharpe is None else f"{row.net_sharpe:+.2f}"
    word = "passed" if row.passed else "refused"
    why = f" ({'; '.join(row.why)[:300]})" if row.why else ""
    return f"seed {row.seed:2}  {row.kind:24}  IC {ic}  net Sharpe {sharpe:>5}  {row.seconds:5.0f} s  {word}{why}"


def table(found: list[Judged]) -> str:
    """How many markets of each kind passed."""
    lines = [f"\n{SYMBOLS} symbols, {SESSIONS} sessions; passed, of how many:"]
    for kind in dict.fromkeys(row.kind for row in found):
        rows = [row for row in found if row.kind == kind]
        ics = [row.ic for row in rows if row.ic is not None]
        mean = f"mean IC {sum(ics) / len(ics):+.4f}" if ics else "not trained"
        lines.append(f"{kind:24}  {sum(row.passed for row in rows):2} of {len(rows):2}  {mean}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
