"""Two sleeves, one of them a plug-in, over 60 sessions: the device's replay is the trainer's backtest, order for order.

Run it with `python -m tests.campaigns.two_sleeves [--sessions N]`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from signals.sleeves import SLEEVES
from tests.fakes import bundles
from tests.fakes.plugin import write_reversal
from tests.fakes.store import END, SESSIONS, SYMBOLS, Published, publish_bundle, publish_data, recipe
from tests.flow.test_two_sleeves import replay, require_equal
from trainer.curation.generated.market import generate

SETTLED = 6  # sessions after the last training session


def published(root: Path, sessions: int) -> Published:
    """A store of both sleeves that learned until so many sessions before the end of its data."""
    manifest = publish_data(root / "data", generate(11, SYMBOLS, SESSIONS + sessions, END))
    last = manifest.calendar.offset(manifest.last, -(sessions + SETTLED))
    for sleeve in ("equities_xs", "reversal"):
        publish_bundle(root, recipe(root / "data", last, sleeve=SLEEVES[sleeve]).but(expiry_sessions=70))
    trust = root / "root.pub"
    trust.write_text(bundles.roots()[0].text + "\n")
    return Published(root, trust, manifest, last)


def main() -> int:
    """Compare, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=60)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        plugin = str(write_reversal(Path(folder) / "plugin"))
        sys.path.insert(0, plugin)
        os.environ["PYTHONPATH"] = plugin
        store = published(Path(folder) / "store", asked.sessions)
        bench = replay(store, Path(folder) / "device", asked.sessions)
        orders = require_equal(store, bench, asked.sessions)
    sys.stdout.write(f"{asked.sessions} sessions, {orders} orders: replay and backtest are equal, order for order and to the cent\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
