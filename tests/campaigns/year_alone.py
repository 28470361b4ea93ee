"""A year alone: 252 sessions of a device and of `trainer run` in virtual time, sixty names, retrained every week.

Nobody does anything but what is listed: the vendor delivers, in one week badly; a training fails; keys are rotated; the program is
updated. It says how many sessions were missed that should have traded, and what a person was asked for.

It lives in a folder and goes on where it ended: `python -m tests.campaigns.year_alone [--promoted] [--sessions N] [--minutes M]`.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import sys
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import trainer.lineage.retrain as retraining
from signals.errors import LearnerFailed
from tests.fakes.year import YearAlone
from trainer.curation.generated.market import STRENGTH, generate
from trainer.publishing import keys as signing
from trainer.publishing.remote import deliver_keyset
from trainer.publishing.stores import dataset_store
from trainer.tasks.recipes import preset_named

CHAMPION_STRENGTH = 4.0  # of the planted signal, in the default's units: evidence sizes a champion's book, and noise would size it flat
YEAR, NAMES, BEFORE, END, SEED = 252, 60, 1010, date(2025, 6, 30), 7
FAILED_TRAINING, BAD_WEEK, ROTATION, RETIREMENT, UPDATE = 30, 60, 90, 120, 150  # the session, counted from the first
BAD_EVENINGS = (0, 1, 3, 4)  # of the bad week; a third skipped session in a row would halt the device, which is a person's matter
STATE = "year.pickle"


def failing_once(world: YearAlone, day: date) -> None:
    """Have the next training after this session fail as a learner fails."""
    real = retraining.train_again

    def train_again(*given: object, **more: object) -> None:
        retraining.retrain.__defaults__ = (real,)
        raise LearnerFailed("no convergence", where=str(day), fix="Nothing: the next night trains again")

    retraining.retrain.__defaults__ = (train_again,)


def rotated(world: YearAlone, day: date) -> None:
    """Add a signing key and a data key; both sign from now on."""
    until = day + timedelta(days=800)
    signing.add_key(world.keys, until)
    signing.add_data_key(world.keys, until)
    deliver_keyset(dataset_store(str(world.store), "", None), world.keys)


def retired(world: YearAlone, day: date) -> None:
    """Let the first keys end."""
    known = signing.load_keyset(world.keys)
    first = [known.keys[0].keyid, *([known.data.keys[0].keyid] if known.data else [])]
    for keyid in first:
        signing.retire_key(world.keys, keyid, day)
    deliver_keyset(dataset_store(str(world.store), "", None), world.keys)


def updated(world: YearAlone, day: date) -> None:
    """Go on with another version of the program."""
    world.code_version = "0.1.0+another"


def made(root: Path, *, is_promoted: bool) -> YearAlone:
    """Begin in an empty folder."""
    strength = STRENGTH * (CHAMPION_STRENGTH if is_promoted else 1.0)
    market = generate(SEED, NAMES, BEFORE + YEAR + 2, END, strength=strength, with_defects=False)
    days = market.truth.sessions[BEFORE : BEFORE + YEAR]
    world = YearAlone(
        root, market, preset_named("small"), days[0], spoilt={days[BAD_WEEK + n] for n in BAD_EVENINGS}, is_promoted=is_promoted
    )
    world.happenings = {days[FAILED_TRAINING]: failing_once, days[ROTATION]: rotated, days[RETIREMENT]: retired, days[UPDATE]: updated}
    world.begin()
    return world


def main() -> int:
    """Live as long as was asked for, and say what it came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--at", type=Path, help="By default var/year-alone, and var/year-alone-champion.")
    parser.add_argument("--sessions", type=int, default=YEAR)
    parser.add_argument("--minutes", type=float, default=60.0, help="End after so many; run it again to go on.")
    parser.add_argument("--promoted", action="store_true", help="Begin with a champion instead of a starter that is never promoted.")
    parser.add_argument("--anew", action="store_true", help="Begin again.")
    chosen = parser.parse_args()
    root = (chosen.at or Path("var/year-alone-champion" if chosen.promoted else "var/year-alone")).resolve()
    if chosen.anew:
        shutil.rmtree(root, ignore_errors=True)
    until = time.monotonic() + 60 * chosen.minutes
    state = root / STATE
    world = pickle.loads(state.read_bytes()) if state.exists() else made(root / "world", is_promoted=chosen.promoted)
    while len(world.lived.sessions) < chosen.sessions and time.monotonic() < until:
        world.live(1)
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_bytes(pickle.dumps(world))
        if len(world.lived.sessions) % 10 == 0:
            print(f"{world.lived.sessions[-1]}: {world.lived.sentence}", flush=True)
    print(world.lived.sentence)
    print("rows of the training host: " + ", ".join(f"{row} {status} {count}" for (row, status), count in sorted(world.rows().items())))
    print("tripwires of the device: " + json.dumps(world.tripped()))
    print("the training host told: " + json.dumps(Counter(alert.title.split(" of ")[0] for alert in world.inbox.alerts)))
    for day, words in world.lived.missed.items():
        print(f"MISSED {day}: {words}")
    return 1 if world.lived.missed else 0


if __name__ == "__main__":
    sys.exit(main())
