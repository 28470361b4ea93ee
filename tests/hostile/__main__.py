"""The lying broker: every question of the device x every kind of lie, each in a whole session of its own.

Run it with `make hostile`, or in parts: `python -m tests.hostile --part 2/4`. It stops at the end of its list; what it
finds is printed with the numbers that run it again alone (`--only NUMBER`). Results are appended to a file, so that a
run that was broken off goes on where it was (`--log FILE`).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tests.fakes.device import Workbench
from tests.fakes.store import publish_store
from tests.hostile.day import ENDPOINTS, EVENING, Ended, Strike, live
from tests.hostile.judging import broken_rules, outcome
from tests.hostile.lies import LIES

ALWAYS = 10_000
SEED = 1


@dataclass(frozen=True)
class Stage:
    """A device that has traded honestly for two sessions, and the two sessions that follow."""

    template: Path
    day: date
    following: date


@dataclass(frozen=True)
class Verdict:
    """What one strike did."""

    number: int
    strike: str
    struck: int
    outcome: str
    broken: list[str]


def strikes() -> list[Strike]:
    """Every endpoint x every lie: on the first answer, on a later one, and on all of them."""
    chance = random.Random(SEED)
    return [
        strike
        for lie in LIES
        for end in ENDPOINTS
        for strike in (
            Strike(end, lie),
            Strike(end, lie, skip=chance.randint(1, 12 if end.name == "submit" else 2)),
            Strike(end, lie, times=ALWAYS),
        )
    ]


def prepare(root: Path) -> Stage:
    """Publish a store and let a device trade its first two sessions with partial fills."""
    store = publish_store(root / "store")
    bench = Workbench(root / "template")
    days = store.sessions(4)
    done = bench("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust), "--fixed-ic", "0.05")
    assert done.code == 0, done.err
    config = bench.state / "config.yml"
    text = config.read_text()
    assert "partial_fill_probability: 0.0\n" in text and "power_safe: true\n" in text, text
    config.write_text(
        text.replace("partial_fill_probability: 0.0", "partial_fill_probability: 0.2").replace("power_safe: true", "power_safe: false")
    )
    assert bench("arm", "--session", str(days[0]), "--yes").code == 0
    for day in days[:2]:
        done = bench("run-day", "--session", str(day), "--json")
        assert done.code == 0, done.out
    for job in EVENING:
        assert bench("job", job, "--session", str(days[2])).code == 0
    return Stage(bench.state, days[2], days[3])


def judge(stage: Stage, honest: Ended, number: int, strike: Strike, root: Path) -> Verdict:
    """Live through one strike and judge it; the folder is removed when no rule is broken."""
    folder = root / f"strike-{number}"
    ended = live(stage.template, folder, stage.day, stage.following, strike)
    broken = broken_rules(ended, honest)
    verdict = Verdict(number, str(strike), ended.struck, outcome(ended, honest), broken)
    shutil.rmtree(folder)
    return verdict


def control(stage: Stage, root: Path) -> Ended:
    """Run the session without a lie: what every other one is compared with."""
    ended = live(stage.template, root / "honest", stage.day, stage.following, Strike(ENDPOINTS[0], "204", skip=ALWAYS))
    assert (ended.struck, set(ended.codes.values()), ended.is_halted) == (0, {0}, False), ended
    return ended


def work(asked: tuple[int, ...]) -> list[Verdict]:
    """Judge the strikes of these numbers in a process of its own."""
    listed = strikes()
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        root = Path(folder)
        stage = prepare(root)
        honest = control(stage, root)
        return [judge(stage, honest, number, listed[number], root) for number in asked]


def main() -> int:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="1/1", help="which part of how many, for example 2/4")
    parser.add_argument("--only", type=int, nargs="*", help="these strikes alone, by number")
    parser.add_argument("--matching", default="", help="only strikes whose sentence holds this text")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--log", type=Path, default=Path("var/hostile.jsonl"))
    asked = parser.parse_args()
    part, parts = map(int, asked.part.split("/"))
    listed = strikes()
    numbers = [n for n, strike in enumerate(listed) if n % parts == part - 1 and asked.matching in str(strike)]
    numbers = asked.only or numbers
    asked.log.parent.mkdir(parents=True, exist_ok=True)
    past = [] if asked.only or not asked.log.exists() else [Verdict(**json.loads(line)) for line in asked.log.read_text().splitlines()]
    verdicts = [verdict for verdict in past if verdict.number in set(numbers)]
    known = {verdict.number for verdict in verdicts}
    waiting = [number for number in numbers if number not in known]
    batches = [tuple(waiting[first : first + 40]) for first in range(0, len(waiting), 40)]
    with ProcessPoolExecutor(asked.workers) as pool, asked.log.open("a") as log:
        for found in pool.map(work, batches):
            for verdict in found:
                log.write(json.dumps(vars(verdict)) + "\n")
                for rule in verdict.broken:
                    print(f"\n{verdict.number} {verdict.strike}: {rule}", flush=True)
            log.flush()
            verdicts += found
            print(f"\r{len(verdicts):5d} of {len(numbers)} strikes", end="", file=sys.stderr, flush=True)
    return report(verdicts)


def report(verdicts: list[Verdict]) -> int:
    """Print what was reached, and what was broken."""
    real = [verdict for verdict in verdicts if verdict.struck]
    ends = Counter(verdict.outcome for verdict in real)
    rules = Counter(rule.split(":")[0] for verdict in verdicts for rule in verdict.broken)
    print(f"\n{len(real)} strikes hit of {len(verdicts)}: {sum(v.struck for v in real)} lies told, {len(LIES)} kinds")
    print("ended " + ", ".join(f"{name} {count}" for name, count in ends.most_common()))
    for name in ("twice or above the plan", "foreign", "lost", "above the honest plan", "silent", "crash"):
        print(f"{name:26s}{rules[name]:6d}")
    failed = sum(bool(verdict.broken) for verdict in verdicts)
    print(f"{len(verdicts) - failed} passed, {failed} failed")
    return int(failed > 0 or not real)


if __name__ == "__main__":
    sys.exit(main())
