"""Spoil what the device's parsers read, a million times: each case is read or refused by an error of our own tree.

Run it with `make fuzz`, or `python -m tests.fuzz --cases 20000 --only "API order"`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from signals.errors import TrademlError
from tests.fuzz.parsers import Parser, parsers, spoilt

HANG_SECONDS = 2.0


def attack(parser: Parser, cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Count how `cases` spoilt documents ended, and describe those that ended in any other error or too late."""
    chance, seen, wrong = random.Random(f"{seed} {parser.name}"), Counter[str](), list[str]()
    for _ in range(cases):
        content = spoilt(parser, chance)
        started = time.process_time()  # a busy machine hangs nothing
        try:
            parser.read(content)
            seen["read"] += 1
        except TrademlError as error:
            seen[type(error).__name__] += 1
        except Exception as error:  # noqa: BLE001 - any other error is what is looked for
            wrong.append(f"{parser.name}: {type(error).__name__}: {str(error)[:120]} from {content[:300]!r}")
        if (took := time.process_time() - started) > HANG_SECONDS:
            wrong.append(f"{parser.name}: {took:.1f} s for {content[:300]!r}")
    return seen, wrong


def main() -> int:
    """Print one line a parser and return the exit status."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", type=int, default=60_000, help="for each parser")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", default="", help="parsers whose name begins so")
    asked = options.parse_args()
    total = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for parser in parsers(Path(folder)):
            if not parser.name.startswith(asked.only):
                continue
            seen, wrong = attack(parser, asked.cases, asked.seed)
            total, failed = total + asked.cases, failed + len(wrong)
            print(f"{parser.name:20s} {asked.cases:8d} cases: {dict(seen.most_common())}", flush=True)
            print("".join(f"    {line}\n" for line in wrong[:5]), end="", flush=True)
    print(f"{total} cases, {failed} not refused as they should be")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
