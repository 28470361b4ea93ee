"""An evening's pictures: a published net sees every name, what it saw is kept and shown with the events, and nothing trades on it."""

from __future__ import annotations

import base64
import json
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from appliance.bundles.feature_record import FeatureRecord
from appliance.bundles.picture_record import require_heads
from appliance.ledger import AccessMode, Ledger
from appliance.system.state_folder import StateFolder
from appliance.views.events import events_of
from signals.bundle.manifest import Part
from signals.errors import ScoresInvalid
from signals.events.analogs import code_of, nearest, read_bank
from signals.market.dataset import load_bars
from signals.models.heads import ScoreHead
from signals.models.inference import FEATURES, GraphMember, infer
from signals.sleeves.patterns import PATTERNS, pictured
from signals.views.sample_views import BarImageView
from tests.fakes.device import Workbench
from tests.fakes.picture_nets import HEAD, LENGTH, MAP, WIDTHS, arrays, graph, recipe
from tests.fakes.store import Published, publish_bundle, publish_store


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workbench, Published, dict[str, np.ndarray]]:
    """A device after the pull and the score job of one session, with a bundle of the sleeve `patterns`."""
    store = publish_store(tmp_path_factory.mktemp("store"))
    days = np.array(store.manifest.calendar.days, dtype="datetime64[D]")
    known = arrays(7, days, 400)
    publish_bundle(store.root, recipe(last=store.last_training, arrays={"bank.bin": (Part.BANK, known)}))
    bench = Workbench(tmp_path_factory.mktemp("device") / "device")
    asked = ("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust), "--fixed-ic", "0.05")
    assert bench(*asked).code == 0
    day = str(store.sessions(1)[0])
    assert bench("arm", "--session", day, "--yes").code == 0
    for job in ("pull", "score"):
        done = bench(job, "--session", day)
        assert done.code == 0, done.out + done.err
    return bench, store, known


def test_every_name_with_a_picture_is_seen_as_the_bundle_sees_it_and_asks_the_bank_exactly(
    evening: tuple[Workbench, Published, dict[str, np.ndarray]],
) -> None:
    bench, store, known = evening
    asof = store.manifest.calendar.previous(store.sessions(1)[0])
    ((figures,),) = bench.rows("SELECT figures FROM job_runs WHERE job = 'score'")
    file = json.loads(figures)["patterns"]["file"]
    record = FeatureRecord.from_bytes((bench.state / "features" / file).read_bytes())
    bars = load_bars(store.root / "data", store.manifest, store.manifest.first, asof)
    column = np.flatnonzero(pictured(bars)[-1])
    assert record.symbols == tuple(bars.symbols[c] for c in column) and len(column) > 20
    shown = BarImageView().rows(PATTERNS.panel(bars), np.full(len(column), len(bars.sessions) - 1), column)
    said = infer([GraphMember(graph(), WIDTHS, profile="image-1")], {FEATURES: shown})
    odds = HEAD.parts["score"].probabilities(MAP.logits(said["score"]))  # type: ignore[union-attr]
    days = np.array(store.manifest.calendar.days, dtype="datetime64[D]")
    bank, row = read_bank(known, days), store.manifest.calendar.index(asof)
    for i, symbol in enumerate(record.symbols):
        kept = {one.name: one.value for one in record.of(symbol)}
        np.testing.assert_allclose([kept[f"p_{name}"] for name in HEAD.classes], odds[i], rtol=1e-6)
        np.testing.assert_allclose([kept[f"v{n}"] for n in range(1, LENGTH + 1)], said["embedding"][i], rtol=1e-6)
        near = nearest(bank, said["embedding"][i].astype(np.float32), row=row, column=code_of(symbol))
        assert (kept["sim_conf"], kept["hist_rr_pct"]) == (pytest.approx(near.sim_conf), pytest.approx(near.hist_rr_pct))
    assert dict(bench.rows("SELECT sleeve, count(*) FROM scores GROUP BY sleeve"))["patterns"] == len(column)


def test_events_are_shown_with_what_was_seen_and_their_pictures(
    evening: tuple[Workbench, Published, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    bench, _, _ = evening
    shown = bench("events", "--json").json["rows"]
    recorded = {symbol for (symbol,) in bench.rows("SELECT symbol FROM events")}
    assert {row["symbol"] for row in shown} == recorded and recorded
    seen = [row for row in shown if row["sees"]]
    assert seen and all(row["sees"].split()[0] in HEAD.classes and -1.0 <= row["sim_conf"] <= 1.0 for row in seen)
    assert all(base64.b64decode(row["picture"]).startswith(b"\x89PNG") for row in seen)
    with Ledger(bench.state / "ledger.sqlite", AccessMode.READ) as ledger:
        gone = events_of(ledger, StateFolder(tmp_path), None)
    assert "no longer kept" in str(gone.facts["patterns"]) and len(gone.rows) == len(shown) and "sees" not in gone.columns


def test_a_bank_whose_outcomes_were_known_at_once_is_reported_and_what_is_traded_goes_on(tmp_path: Path) -> None:
    """Signed all the same: whoever signs can be wrong, and a net that only shows something stops nothing."""
    store = publish_store(tmp_path / "store")
    days = np.array(store.manifest.calendar.days, dtype="datetime64[D]")
    wrong = arrays(7, days, 400)
    wrong["known"] = wrong["asof"].copy()
    publish_bundle(store.root, recipe(last=store.last_training, arrays={"bank.bin": (Part.BANK, wrong)}))
    bench = Workbench(tmp_path / "device")
    assert bench("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust), "--fixed-ic", "0.05").code == 0
    day = str(store.sessions(1)[0])
    assert bench("arm", "--session", day, "--yes").code == 0
    for job in ("pull", "score", "reconcile", "plan"):
        done = bench(job, "--session", day)
        assert done.code == 0, done.out + done.err
    assert "patterns: the bundle's bank is none" in str(bench.rows("SELECT summary FROM job_runs WHERE job = 'score'"))
    assert any("no patterns scores" in title for (title,) in bench.rows("SELECT title FROM alerts"))
    assert bench.rows("SELECT count(*) FROM intents") != [(0,)]


def test_heads_that_are_read_of_a_picture_are_asked_for() -> None:
    line = namedtuple("line", "name head")
    for heads in ((), (("score", ScoreHead()), ("pole", ScoreHead()), ("embedding", ScoreHead())), (("score", HEAD.parts["score"]),)):
        given: Any = SimpleNamespace(manifest=SimpleNamespace(heads=[line(*one) for one in heads]))
        with pytest.raises(ScoresInvalid, match="has the heads score, pole, embedding"):
            require_heads(given)
