"""A year of a small account: the shipped settings on a generated market with a signal, session by session.

The account is that of a stranger: 100,000 USD unless told otherwise, every setting its default, no fixed IC. The market
is generated with its planted signal and without defects: a session that is skipped for its data says nothing about
size. Each quarter a bundle is learned from the sessions before it (the rank of each feature weighs as it correlated
with the next five sessions' return), sized by the IC that it had on the second half of them, and published; the device
pulls it and steps into it by its ramp.

It fails when a session is skipped or halted, when a session whose path moves sends no order, when a position that
followed its path lies further than half a share from it, or when the report of a session lacks the figures of rounding.

Run it with `python -m tests.campaigns.small_account [--equity USD] [--sessions N]`. With `--keep FOLDER` the device
stays, so that `appliance tripwire-backtest --state FOLDER/device` can run every limit over its year.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from signals.bundle.manifest import InformationCoefficient
from signals.market.dataset import load_bars, read_manifest
from signals.market.manifest import Manifest, PriceBasis
from signals.scoring.scores import average_ranks
from signals.sleeves import SLEEVES
from tests.fakes import bundles
from tests.fakes.device import Workbench
from tests.fakes.store import END, RANKED, publish_bundle, recipe, sign_data
from trainer.curation.config import CurationConfig
from trainer.curation.generated.market import generate
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping
from trainer.validation.ic import overlapping_mean

YEAR, QUARTER, LEARNED = 252, 60, 1_000  # sessions
HORIZON = 5
SETTLED = 20  # sessions after which the book is judged by its distance from the target
SLEEVE = SLEEVES["equities_xs"]


@dataclass
class Seen:
    """What the sessions came to."""

    wrong: list[str] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    rounding: list[dict[str, Any]] = field(default_factory=list)
    from_path: list[float] = field(default_factory=list)


def learned(data: Path, last: date) -> tuple[np.ndarray, InformationCoefficient]:
    """Weights of the ranked features on the sessions up to `last`, and the IC of such weights on their second half."""
    manifest = read_manifest(data)
    bars = load_bars(data, manifest, manifest.first, last)
    panel = SLEEVE.panel(bars)
    gained = np.nancumsum(np.log1p(bars.total_return), axis=0)
    rows = range(len(bars.sessions) - HORIZON - 1)
    known = [r for r in rows if panel.eligible[r].sum() > 20]
    ics = np.array([_correlations(panel.values[r], panel.eligible[r], gained[r + 1 + HORIZON] - gained[r + 1]) for r in known])
    early = len(known) // 2
    trial = _dyadic(ics[: early - HORIZON].mean(axis=0))
    judged = []
    for r in known[early::HORIZON]:
        chosen = panel.eligible[r]
        scores = np.nan_to_num(panel.values[r][chosen][:, RANKED]) @ -trial
        judged.append(_rank_correlation(scores, (gained[r + 1 + HORIZON] - gained[r + 1])[chosen]))
    ic = overlapping_mean(np.array(judged), 1)
    return _dyadic(ics.mean(axis=0)), InformationCoefficient(mean=ic.mean, t=ic.t, standard_error=ic.standard_error)


def _correlations(values: np.ndarray, chosen: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return np.array([_rank_correlation(np.nan_to_num(values[chosen][:, c]), gain[chosen]) for c in RANKED])


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    if np.ptp(one) == 0:
        return 0.0
    return float(np.corrcoef(average_ranks(one), average_ranks(other))[0, 1])


def _dyadic(ics: np.ndarray) -> np.ndarray:
    """A stump adds its weight below its cut: a feature that rises with the return has a negative one."""
    return -np.rint(1000 * ics / np.abs(ics).max()) / 1024


def publish(store: Path, manifest: Manifest, last: date, seq: int) -> InformationCoefficient:
    """Learn from the sessions up to `last` and publish what was learned."""
    weights, ic = learned(store / "data", last)
    publish_bundle(store, recipe(store / "data", last, seq, weights).but(ic=ic))
    return ic


def traded(bench: Workbench, session: date, seen: Seen) -> None:
    """Run one session and note what it came to."""
    done = bench("run-day", "--session", str(session), "--json")
    jobs = {
        job: (status, summary, json.loads(figures))
        for job, status, summary, figures in bench.rows(
            "SELECT job, status, summary, figures FROM job_runs WHERE session = ?", str(session)
        )
    }
    status, summary, figures = jobs.get("plan", ("absent", done.out + done.err, {}))
    if done.code or status != "done":
        others = [f"{job} {end}: {words}" for job, (end, words, _) in jobs.items() if end != "done"]
        seen.wrong.append(f"{session}: plan {status}: {summary[-300:]}; {'; '.join(others) or done.err[-300:]}")
        return
    if figures["turnover"] > 0 and not figures["orders"]:
        seen.wrong.append(f"{session}: the path moves by {figures['turnover']:.4f} and no order was planned")
    report = json.loads((bench.state / "reports" / f"report_{session}.json").read_text())
    if report["plan"]["rounding"] != figures["rounding"] or "nearest whole shares" not in _text(bench, session):
        seen.wrong.append(f"{session}: the report lacks the figures of rounding")
    seen.orders.append(figures["orders"])
    seen.rounding.append(figures["rounding"])
    seen.from_path.append(_from_path(bench, session))


def _text(bench: Workbench, session: date) -> str:
    return (bench.state / "reports" / f"report_{session}.md").read_text()


def _from_path(bench: Workbench, session: date) -> float:
    """The largest distance in shares between a closing position and its path, names with an unfilled order left out."""
    [(body,)] = bench.rows("SELECT body FROM plans WHERE session = ?", str(session))
    plan = json.loads(body)
    unfilled = {row[0] for row in plan["refusals"]} | {
        symbol for (symbol,) in bench.rows("SELECT symbol FROM intents WHERE session = ? AND state <> 'filled'", str(session))
    }
    held = dict(bench.rows("SELECT symbol, quantity FROM positions WHERE session = ? AND phase = 'close'", str(session)))
    names = ({*plan["path"], *held} & set(plan["references"])) - unfilled
    return max((abs(float(Decimal(held.get(s, "0")) - Decimal(plan["path"].get(s, "0")))) for s in names), default=0.0)


def told(seen: Seen, equity: int) -> list[str]:
    """The figures of the year, for a person."""
    late = seen.rounding[SETTLED:] or seen.rounding
    share = [r["share"] for r in late]
    gross = [r["planned_gross"] / r["target_gross"] for r in late if r["target_gross"]]
    extra = [r["planned_l1"] for r in late]
    return [
        f"{len(seen.orders)} sessions of {equity:,} USD: {sum(seen.orders):,} orders, {min(seen.orders)} to {max(seen.orders)} a session",
        f"after {SETTLED} sessions: nearest whole shares miss {np.median(share):.1%} of the target book (worst "
        f"{max(share):.1%}); planned gross / target gross {np.median(gross):.3f} "
        f"({min(gross):.3f} to {max(gross):.3f}); "
        f"distance from the moving target {np.median(extra):.1%} of equity, "
        f"names never held {max(len(r['never_held']) for r in late)}",
        f"furthest position from its path: {max(seen.from_path):.2f} shares",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the year, print its figures, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--equity", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=YEAR)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="An empty folder for market and device, which stays.")
    chosen = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        seen = year(chosen.keep or Path(folder), chosen.equity, chosen.sessions, chosen.seed)
    for line in (*seen.wrong, *(told(seen, chosen.equity) if seen.orders else ())):
        print(line)
    return 1 if seen.wrong else 0


def year(root: Path, equity: int, sessions: int, seed: int) -> Seen:
    """Trade `sessions` sessions in `root`; it ends at the first session without a plan."""
    store = root / "store"
    market = generate(seed, sessions=LEARNED + SLEEVE.lookback_sessions + sessions, end=END, with_defects=False)
    bars, actions = market.write(root / "vendor")
    manifest = ingest(
        DeliveryFiles(bars, actions),
        store / "data",
        DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig(), name="generated"),
    )
    sign_data(store / "data")
    days = manifest.calendar.between(manifest.first, manifest.last)[-sessions:]
    trust = store / "root.pub"
    trust.write_text(bundles.roots()[0].text + "\n")
    bench, seen = Workbench(root / "device"), Seen()
    for number, session in enumerate(days):
        if number % QUARTER == 0:
            last = manifest.calendar.offset(session, -HORIZON - 1)
            ic = publish(store, manifest, last, 1 + number // QUARTER)
            print(f"{session}: learned to {last}, IC {ic.mean:.4f}, t {ic.t:.1f}", flush=True)
        if number == 0:
            made = bench("init", "--venue", "exchange", "--store", str(store), "--trust", str(trust), "--equity", str(equity))
            assert made.code == 0, made.err
            assert bench("arm", "--session", str(session), "--yes").code == 0
        traded(bench, session, seen)
        if seen.wrong:
            break
        if number % 20 == 19:
            print(f"{session}: {number + 1} sessions", flush=True)
    if seen.from_path and max(seen.from_path) > 0.5 + 1e-9:
        seen.wrong.append(f"a position lies {max(seen.from_path):.2f} shares from its path")
    return seen


if __name__ == "__main__":
    sys.exit(main())
