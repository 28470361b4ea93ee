"""Replay generated markets under several settings and hold every session's attribution to the column of values.

For each row of `VARIANTS`: the parts of every session sum to the change of its real value, to the cent, nothing is left
to `other`, and no session could not be attributed. Splits, changes of name, delistings and dividends fall into the
replayed sessions of the seeds chosen.

Run it with `python -m tests.campaigns.attribution`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from appliance.views.monitoring import ATTRIBUTION_PARTS
from signals.market.actions import ActionKind
from tests.fakes import bundles
from tests.fakes.device import Workbench
from tests.fakes.store import END, SYMBOLS, Published, publish_bundle, publish_data, recipe
from trainer.curation.generated.market import generate

MARKET_SESSIONS, UNTRAINED = 700, 80
START = Decimal(1_000_000)


@dataclass(frozen=True)
class Variant:
    """One replay: a market, how many sessions of it, and what differs from the settings of a new device."""

    name: str
    seed: int
    sessions: int
    settings: dict[str, Any] = field(default_factory=dict)
    entry: str = "opg"


VARIANTS = (
    Variant("a split", 4, 11),
    Variant("a change of name", 6, 11),
    Variant("a delisting", 10, 8),
    Variant("the closing auction", 4, 6, {"execution": {"entry": {"kind": "cls"}}}, "cls"),
    Variant("steps through the day", 4, 6, {"execution": {"entry": {"kind": "twap", "steps": 3}}}, "day"),
    Variant("partial fills", 4, 8, {"venue": {"exchange": {"partial_fill_probability": 0.4}}}),
    Variant("long only", 2, 8, {"portfolio": {"mode": "long_only"}}),
)


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The settings with the changes put in, section by section."""
    found = dict(settings)
    for key, value in changes.items():
        found[key] = merged(found.get(key) or {}, value) if isinstance(value, dict) else value
    return found


def replayed(variant: Variant, root: Path) -> tuple[Workbench, Counted]:
    """Replay it in `root`; return the device and what fell into its sessions."""
    market = generate(variant.seed, SYMBOLS, MARKET_SESSIONS, END)
    manifest = publish_data(root / "store" / "data", market)
    last = manifest.calendar.offset(manifest.last, -UNTRAINED)
    publish_bundle(root / "store", recipe(root / "store" / "data", last).but(entry=variant.entry))
    trust = root / "store" / "root.pub"
    trust.write_text(bundles.roots()[0].text + "\n")
    store = Published(root / "store", trust, manifest, last)
    like = Workbench(root / "like")
    made = like("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(trust), "--fixed-ic", "0.05")
    assert made.code == 0, made.err
    config = like.state / "config.yml"
    config.write_text(yaml.safe_dump(merged(yaml.safe_load(config.read_text()), variant.settings)))
    bench, days = Workbench(root / "replayed"), store.sessions(variant.sessions)
    done = bench("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    events = [a for a in market.actions if days[0] <= a.effective <= days[-1]]
    return bench, Counted(
        len(days),
        sum(a.kind is ActionKind.DIVIDEND for a in events),
        sorted({a.kind.value for a in events if a.kind is not ActionKind.DIVIDEND}),
    )


@dataclass(frozen=True)
class Counted:
    """Sessions of a replay, its dividends, and the kinds of its other corporate actions."""

    sessions: int
    dividends: int
    kinds: list[str]


def judged(bench: Workbench, sessions: int) -> tuple[list[str], Decimal]:
    """What is wrong with the attributions of a replay, and the largest amount that no part but `other` explains."""
    rows = bench("attribution", "--sessions", "1000", "--json").json["rows"][::-1]
    values = bench.rows("SELECT session, real_nav FROM nav ORDER BY session")
    after = dict(values)
    before = dict(zip([day for day, _ in values], [str(START), *(usd for _, usd in values)], strict=False))
    wrong = [] if len(rows) == sessions - 1 else [f"{len(rows)} of {sessions} sessions attributed"]
    wrong += [body for (body,) in bench.rows("SELECT body FROM alerts WHERE title LIKE '%cannot be attributed%'")]
    most = Decimal(0)
    for row in rows:
        change = Decimal(after[row["session"]]) - Decimal(before[row["session"]])
        if sum(Decimal(row[part]) for part in ATTRIBUTION_PARTS) != change or Decimal(row["total"]) != change:
            wrong.append(f"{row['session']}: the parts are not {change}")
        most = max(most, abs(Decimal(row["of costs"]["other"])))
    return wrong, most


def main() -> int:
    """Print one line a variant and return the exit status."""
    failed = 0
    for variant in VARIANTS:
        with TemporaryDirectory() as folder:
            bench, seen = replayed(variant, Path(folder))
            wrong, most = judged(bench, seen.sessions)
        failed += len(wrong) + (most > Decimal("0.01"))
        said = f"{seen.sessions} sessions, {seen.dividends} dividends, {', '.join(seen.kinds) or 'no other action'}"
        print(f"{variant.name:24s} {said}; to `other` at most {most} USD; {'; '.join(wrong) or 'every sum exact'}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
