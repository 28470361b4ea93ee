"""A planted drift after breakouts is found by the gate of events, and noise is not.

    make events-campaign [EVENT_SEEDS=20 EVENT_NAMES=220 EVENT_SESSIONS=2016]

Each seed invents a market with a drift after breakouts, whose side and size the breakout's volume tells, and the same market without
it; labels events, scores them walking forward by the recipe of the sleeve `events`, and judges. Asked of the planted markets together:
direction AUC at least 0.9 of the oracle's excess over one half, and net R of what is let through within two standard errors of what
events of these drifts are worth in other markets. Of the noise: at most one seed in 20 passes both bars of the task.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from tests.fakes.event_market import JudgedMarket, expected_r, judged
from trainer.tasks.event_gate.figures import GateFigures, gate_figures, taken
from trainer.validation.clustered import low

STRENGTH, TARGET_R = 0.5, 1.0
LEAST_SHARE, MOST_NOISE, MOST_ERRORS = 0.9, 1 / 20, 2.0


def is_promotable(found: GateFigures) -> bool:
    return low(found.direction) > 0.5 and low(found.net_r) > 0.0


def worth(market: JudgedMarket, other: JudgedMarket) -> float:
    """Net R that the events let through are worth, by what such drifts were worth in another market."""
    _, chosen = taken(market.score, market.trades, TARGET_R)
    return float((expected_r(other, market.edge) - market.trades.cost_r)[chosen].mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--names", type=int, default=220)
    parser.add_argument("--sessions", type=int, default=2016)
    parser.add_argument("--planted", type=int, default=6, help="seeds with the drift")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    begin = time.process_time()
    planted = [judged(seed, options.names, options.sessions, STRENGTH) for seed in seeds[: max(2, options.planted)]]
    shares, misses = [], []
    for number, market in enumerate(planted):
        found = gate_figures(market.score, market.trades, TARGET_R)
        best = market.direction(market.edge).mean - 0.5
        shares.append((found.direction.mean - 0.5) / best)
        true = worth(market, planted[number - 1])
        misses.append((found.net_r.mean - true) / found.net_r.standard_error)
        print(
            f"planted {seeds[number]:3} events {len(market.score)} direction {found.direction.mean:.3f} "
            f"share of the oracle's {shares[-1]:.2f} net R {found.net_r.mean:+.3f} +- {found.net_r.standard_error:.3f}, "
            f"worth {true:+.3f} ({misses[-1]:+.1f} errors) promotable {is_promotable(found)}",
            flush=True,
        )
    promoted = 0
    for seed in seeds:
        market = judged(seed, options.names, options.sessions, 0.0)
        found = gate_figures(market.score, market.trades, TARGET_R)
        promoted += is_promotable(found)
        print(
            f"noise {seed:3} direction {found.direction.mean:.3f} net R {found.net_r.mean:+.3f} promotable {is_promotable(found)}",
            flush=True,
        )
    # each market's miss is a draw of its own error: their mean over seeds is held to two of its errors
    miss = float(np.mean(misses) * np.sqrt(len(misses)))
    share = float(np.mean(shares))
    verdict = share >= LEAST_SHARE and abs(miss) <= MOST_ERRORS and promoted <= max(1, MOST_NOISE * len(seeds))
    print(
        f"share of the oracle's excess {share:.3f} (at least {LEAST_SHARE}); net R {miss:+.2f} errors from the truth "
        f"(at most {MOST_ERRORS}); noise promotable {promoted} of {len(seeds)}; "
        f"{time.process_time() - begin:.0f} s of CPU: {'passed' if verdict else 'FAILED'}"
    )
    return 0 if verdict else 1


if __name__ == "__main__":
    sys.exit(main())
