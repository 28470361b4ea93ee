"""A score of events that knows nothing passes the bar of direction no oftener than one time in twenty, whatever its trades live.

    python -m tests.campaigns.event_errors [--histories 300 --sessions 800 --names 60]

Each history is a market without a drift and, as a score, the event's side times a figure of its session that lasts for months. Printed
for each kind of trade: how often the lower end of direction's 95 % interval is above one half (2.5 % are meant), and how often that of
the mean R misses its mean over all histories (5 % are meant), by errors that take trades to end with their session, and by those
that take their life.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict

import numpy as np

from signals.events.outcomes import Exit
from signals.events.recorded import OutcomeRules
from tests.fakes.bars import synthetic_bars
from trainer.tasks.events import played
from trainer.validation.clustered import Z, auc, low, per_event

KINDS = ((1.0, 1.0, 30), (1.0, 4.0, 30), (2.0, 2.0, 30), (3.0, 2.0, 30), (3.0, 3.0, 60))
HIT, LASTS, MOST = (Exit.TARGET, Exit.STOP, Exit.GAP), 0.98, 1 / 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=300)
    parser.add_argument("--sessions", type=int, default=800)
    parser.add_argument("--names", type=int, default=60)
    options = parser.parse_args()
    passed, found, lives = defaultdict(list), defaultdict(list), defaultdict(list)
    for seed in range(options.histories):
        bars, rng = synthetic_bars(1000 + seed, sessions=options.sessions, symbols=options.names, missing=0.0), np.random.default_rng(seed)
        mood = rng.standard_normal(options.sessions)
        for t in range(1, len(mood)):
            mood[t] += LASTS * mood[t - 1]
        table, made = played(bars, (), *(OutcomeRules(*kind) for kind in KINDS))
        for kind, one in zip(KINDS, made, strict=True):
            known = (one.t1 >= 0) & np.isfinite(one.realised_r)
            r, session, ends = one.realised_r[known], table.row[known], one.t1[known]
            score, hit = table.side[known] * mood[session], np.isin(one.exit[known], HIT)
            lives[kind].append((ends - session).mean())
            for name, until in (("session", session), ("life", ends)):
                passed[kind, name].append(low(auc(score[hit], r[hit] > 0.0, session[hit], until[hit])) > 0.5)
                mean = per_event(r, session, until)
                found[kind, name].append((mean.mean, mean.standard_error))
    holds = True
    for stop, target, patience in KINDS:
        kind, said = (stop, target, patience), []
        for name in ("session", "life"):
            mean, error = np.array(found[kind, name]).T
            said.append(f"passed {np.mean(passed[kind, name]):.1%}, mean R missed {np.mean(np.abs(mean - mean.mean()) > Z * error):.1%}")
        holds &= bool(np.mean(passed[kind, "life"]) <= MOST)
        trade = f"stop {stop:g} ATR, target {target:g} R, patience {patience}, mean life {np.mean(lives[kind]):.1f}"
        print(f"{trade}: ending with their session {said[0]}; by their life {said[1]}", flush=True)
    print(f"at most one in twenty passes by errors that take the life of trades: {'holds' if holds else 'does not hold'}")
    return not holds


if __name__ == "__main__":
    sys.exit(main())
