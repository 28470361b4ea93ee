"""Why an order was sent, with every value that led to it; and what the bundles on the device are worth, proven now."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date

import numpy as np

from signals.market.dataset import load_bars
from signals.sleeves import SLEEVES
from tests.fakes.device import Workbench
from tests.fakes.store import Published
from tests.flow.test_slots import publish_shadow

Make = Callable[..., Workbench]


def test_an_order_is_explained_by_the_values_that_the_model_read(own_store: Published, make: Make) -> None:
    """H1: each feature stands with its value and z as they follow from the dataset itself; a spoilt file is not shown.

    The same day then proves the bundles: the one in force and the shadow hold, the empty slot is no fault, and one
    changed byte of a model is found.
    """
    publish_shadow(own_store)
    bench = make(own_store)
    day = own_store.sessions(1)[0]
    assert bench("arm", "--session", str(day), "--yes").code == 0
    assert bench("run-day", "--session", str(day)).code == 0
    ((order, symbol),) = bench.rows("SELECT client_order_id, symbol FROM intents ORDER BY symbol LIMIT 1")
    shown = _features(bench, order)
    asof = own_store.manifest.calendar.previous(day)
    assert shown.pop("read at").startswith(f"{asof}, ")
    assert shown == _recomputed(own_store, asof, symbol)
    _proven(bench)
    _spoilt(bench, order)


def _features(bench: Workbench, order: str) -> dict[str, str]:
    rows = bench("trace", order, "--json").json["rows"]
    return {row["fact"]: " ".join(row["value"].split()) for row in rows if row["section"] == "features"}


def _recomputed(store: Published, asof: date, symbol: str) -> dict[str, str]:
    """The values from the dataset, by the sleeve itself, and z by numpy."""
    sleeve = SLEEVES["equities_xs"]
    first = store.manifest.calendar.offset(asof, 1 - sleeve.lookback_sessions)
    panel = sleeve.features(load_bars(store.root / "data", store.manifest, first, asof), asof)
    symbols, values = panel.at(asof)
    wide = values.astype(np.float64)
    mean, deviation = np.nanmean(wide, axis=0), np.nanstd(wide, axis=0)
    mine = wide[symbols.index(symbol)]
    found = {}
    for i, name in enumerate(panel.names):
        z = f"{(mine[i] - mean[i]) / deviation[i]:+.2f}" if deviation[i] > 0 else "-"
        found[name] = "unknown" if np.isnan(mine[i]) else f"{mine[i]:.5g} z {z}"
    return found


def _proven(bench: Workbench) -> None:
    done = bench("bundle", "--verify", "--json")
    verdicts = {row["place"]: row["verdict"] for row in done.json["rows"]}
    assert done.code == 0, done.out
    shown = dict.fromkeys(("patterns", "event_gate", "event_quantiles", "event_arms"), "empty")
    assert verdicts == {"equities_xs": "HOLDS", "risk": "empty", "equities_xs shadow": "HOLDS", "risk shadow": "empty", **shown}
    facts = {(row["section"], row["fact"]): row["value"] for row in bench("bundle", "--json").json["rows"]}
    assert facts["shadow", "scored"].startswith("1 evenings, last ")
    assert "in the key set" in facts["proof", "signature"] and "REVOKED" not in facts["proof", "signature"]
    assert facts["proof", "last proven"].startswith("to score for ")


def _spoilt(bench: Workbench, order: str) -> None:
    pointer = json.loads((bench.state / "bundles" / "equities_xs" / "shadow" / "current.json").read_text())
    model = bench.state / "bundles" / "equities_xs" / "shadow" / pointer["folder"] / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(bytes(content))
    done = bench("bundle", "--verify", "--json")
    assert done.code == 6
    assert {row["place"]: row["verdict"] for row in done.json["rows"]}["equities_xs shadow"] == "REFUSED"
    (kept,) = (bench.state / "features").glob("*.json")
    kept.write_bytes(kept.read_bytes().replace(b"A", b"B", 1))
    assert _features(bench, order) == {"values": "the evening's features are not what was recorded (" + kept.name + ")"}
