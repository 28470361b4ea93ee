"""An evening's pictures and events: what a net sees of every name, and what bundles say of each event, is kept and shown, never traded."""

from __future__ import annotations

import base64
import json
import re
from collections import namedtuple
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from appliance.bundles import shown_records
from appliance.bundles.feature_record import FeatureRecord
from appliance.bundles.shown_records import require_heads, require_trade
from appliance.config import ApplianceConfig
from appliance.jobs import score as score_job
from appliance.ledger import AccessMode, Ledger
from appliance.ledger.events import EventRow
from appliance.reports import markdown, session_data
from appliance.system.state_folder import StateFolder
from appliance.views.events import events_of
from signals.bundle import verify
from signals.bundle.manifest import Part
from signals.config import parse
from signals.errors import BadConfig, BundleRefused, ScoresInvalid
from signals.events.analogs import code_of, nearest, read_bank
from signals.events.recorded import SHOWN
from signals.market.dataset import load_bars
from signals.models.heads import ScoreHead
from signals.models.inference import FEATURES, GraphMember, infer
from signals.sleeves import SLEEVES
from signals.sleeves.events import EVENTS, event_figures
from signals.sleeves.patterns import PATTERNS, pictured
from signals.views.sample_views import BarImageView
from tests.fakes import event_bundles
from tests.fakes.bars import synthetic_bars
from tests.fakes.bundles import keyset, policy
from tests.fakes.device import Workbench
from tests.fakes.picture_nets import HEAD, LENGTH, MAP, WIDTHS, arrays, graph, recipe
from tests.fakes.store import Published, publish_bundle, publish_store

GATE, QUANTILES, _ = SHOWN


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workbench, Published, dict[str, np.ndarray]]:
    """A device after the pull and the score job of one session, with a net of pictures, a gate and quantiles, and no offsets."""
    store = publish_store(tmp_path_factory.mktemp("store"))
    days = np.array(store.manifest.calendar.days, dtype="datetime64[D]")
    known = arrays(7, days, 400)
    publish_bundle(store.root, recipe(last=store.last_training, arrays={"bank.bin": (Part.BANK, known)}))
    for sleeve in (GATE, QUANTILES):
        publish_bundle(store.root, event_bundles.recipe(sleeve, last=store.last_training))
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
    file = json.loads(figures)["shown"]["patterns"]["file"]
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
    assert "patterns: the evening's features are no longer kept" in str(gone.facts["said"])
    assert len(gone.rows) == len(shown) and not {"sees", "p_target"} & set(gone.columns)


def test_a_gate_and_quantiles_say_of_every_event_what_their_graphs_say_of_the_whole_history(
    evening: tuple[Workbench, Published, dict[str, np.ndarray]],
) -> None:
    """Probability, stop and target in ATR, per cent and ticks; the bundles that spoke are named, and that there are no offsets."""
    bench, store, _ = evening
    asof = store.manifest.calendar.previous(store.sessions(1)[0])
    bars = load_bars(store.root / "data", store.manifest, store.manifest.first, asof)
    figures = event_figures(bars)
    shown = {row["symbol"]: row for row in bench("events", "--json").json["rows"]}
    kept = {
        sleeve: dict(bench.rows(f"SELECT symbol, coalesce(probability, score) FROM scores WHERE sleeve = '{sleeve}'")) for sleeve in SHOWN
    }
    for row in range(-60, 0, 6):  # prices of whole cents, many of which are met again
        evening_alone = event_figures(bars.until(bars.sessions[row].astype(object), EVENTS.lookback_sessions))
        for name in EVENTS.names:
            np.testing.assert_array_equal(evening_alone[name][-1].astype(np.float32), figures[name][row].astype(np.float32), name)
    column = np.flatnonzero(np.isfinite(figures["event_kind"][-1]))
    assert {bars.symbols[c] for c in column} == set(shown) == set(kept[GATE]) == set(kept[QUANTILES]) and not kept["event_arms"]
    inputs = np.column_stack([figures[name][-1, column] for name in EVENTS.names]).astype(np.float32)
    odds = event_bundles.MAP.slope * event_bundles.said(GATE, "score", inputs) + event_bundles.MAP.intercept
    stop, target = (event_bundles.said(QUANTILES, head, inputs) for head in ("stop_4", "target_30"))
    for i, c in enumerate(column):
        row, probability, close = shown[bars.symbols[c]], 1.0 / (1.0 + np.exp(-odds[i])), bars.close[-1, c]
        assert row["p_target"] == pytest.approx(probability, rel=1e-6) == pytest.approx(kept[GATE][bars.symbols[c]], rel=1e-6)
        share = np.exp(figures["event_atr"][-1, c])
        assert row["pays"] == bool(probability > (1.0 + 0.001 / share) / 2.0)  # 10 bps of a stop of one ATR
        for name, atr in (("stop", stop[i]), ("target", target[i])):
            found = row[f"{name}_distance"]
            assert (found["atr"], found["share"]) == (pytest.approx(atr, rel=1e-6), pytest.approx(atr * share, rel=1e-6))
            assert abs(found["ticks"] - atr * share * close / (0.01 if close >= 1.0 else 0.0001)) <= 0.51
        assert row["stop_70"].endswith(f"{row['stop_distance']['ticks']:,} ticks") and row["entry"] is None
    text = bench("events").out
    assert "event_arms: no bundle of it spoke this evening" in text and "event_gate: bundle " in text and "no promotion: unproven" in text
    with Ledger(bench.state / "ledger.sqlite", AccessMode.READ) as ledger:
        given: Any = SimpleNamespace(ledger=ledger, folder=StateFolder(bench.state), calendar=store.manifest.calendar)
        page: Any = SimpleNamespace(events=session_data._events(asof, given), asof=asof, session=store.sessions(1)[0])
    report = markdown._events(page)
    assert f"{len(column)} events at {asof}" in report and "judged by the gate" in report and "arms: no bundle of it spoke" in report


def test_the_report_shows_the_bars_before_the_likeliest_events_and_says_how_many_it_leaves_out(
    evening: tuple[Workbench, Published, dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One path a tone for wicks and one for bodies, of 64 bars each picture; every event has its stop and target from the open."""
    bench, store, _ = evening
    day = store.sessions(1)[0]
    shown = sorted(bench("events", "--json").json["rows"], key=lambda row: (-row["p_target"], row["symbol"]))
    pictured = sum(row["picture"] is not None for row in shown[:2])
    assert len(shown) > 2 and pictured
    monkeypatch.setattr(session_data, "PICTURES", 2)
    assert bench("report", "--session", str(day)).code == 0
    drawn, text = ((bench.state / "reports" / name).read_text() for name in (f"events_{day}.svg", f"report_{day}.md"))
    assert drawn.count("<text") == pictured and drawn.count("<path") == 4 * pictured
    assert len(re.findall(r"M[0-9. ]+V", drawn)) == 2 * 64 * pictured
    assert f"![bars before the events](events_{day}.svg)" in text
    assert f"The pictures are of the {pictured} likeliest to meet their targets; {len(shown) - pictured} are left out." in text
    first = shown[0]
    assert f"| {first['symbol']} | {first['kind']} | {first['side'].lower()} | {first['stop']} / {first['target']} |" in text


@pytest.mark.parametrize(
    ("sleeve", "changes", "why"),
    [
        (GATE, {"label": {**event_bundles.LABEL, "k": 5}}, "whose k is 5, and this device records 30"),
        (GATE, {"label": {**event_bundles.LABEL, "stop_atr": 2.0}}, "whose stop_atr is 2.0, and this device records 1"),
        (GATE, {"label": []}, "does not say which trade"),
        (GATE, {"label": {"stop_atr": 1.0}}, "does not say which trade"),
        (GATE, {"event": ""}, "has a map to the probability"),
        (GATE, {"event": "the label is above its session's median"}, "has a map to the probability"),
        (QUANTILES, {"form": event_bundles.recipe(GATE).form, "golden": event_bundles.recipe(GATE).golden}, "has the head 'stop_4'"),
    ],
)
def test_a_bundle_of_another_trade_or_without_what_is_read_says_nothing(sleeve: str, changes: Any, why: str, tmp_path: Path) -> None:
    made = event_bundles.recipe(sleeve, **changes)
    if "form" in changes:
        made = made.with_file("model.onnx", Part.MODEL, event_bundles.recipe(GATE).files["model.onnx"][1])
    made.write(tmp_path / "b")
    bundle = verify(tmp_path / "b", keyset(), policy(sleeves={sleeve: SLEEVES[sleeve].spec}), reproduce=infer)
    with pytest.raises(ScoresInvalid, match=why):
        require_trade(bundle)


def test_quantiles_have_a_horizon_of_their_own_and_other_features_or_sleeves_are_refused(tmp_path: Path) -> None:
    """An evening without an event is no fault."""
    event_bundles.recipe(QUANTILES, label={**event_bundles.LABEL, "k": 6}).write(tmp_path / "b")
    spec = SLEEVES[QUANTILES].spec
    bundle = verify(tmp_path / "b", keyset(), policy(sleeves={QUANTILES: spec}), reproduce=infer)
    require_trade(bundle)
    with pytest.raises(BundleRefused, match="its features are not this device's: position 0 is 'event_kind'"):
        verify(tmp_path / "b", keyset(), policy(sleeves={QUANTILES: (("event_kind", "kind", 5), *spec[1:])}), reproduce=infer)
    with pytest.raises(BundleRefused, match="this device has no sleeve 'event_quantiles'"):
        verify(tmp_path / "b", keyset(), policy(sleeves={"events": spec}), reproduce=infer)
    with pytest.raises(BadConfig, match="event_gate is no sleeve that is traded"):
        parse({"stores": {"data": "d", "bundles": "b"}, "sleeves": {GATE: 1.0}}, ApplianceConfig, where="config.yml")
    bars = synthetic_bars(3, sessions=80, symbols=4)
    quiet = replace(bars, eligible=np.zeros_like(bars.eligible))
    given: Any = SimpleNamespace(market=SimpleNamespace(bars=lambda asof, sessions: quiet.until(asof, sessions)))
    assert score_job._judged(bars.sessions[-1].astype(object), bundle, given, None) is None


def test_a_name_that_a_record_lacks_and_a_number_that_is_none_are_absent_and_never_zero() -> None:
    row = EventRow(date(2024, 3, 1), "A", "wedge", 1, 0.5, None, 0.02, "high", datetime(2024, 3, 1, tzinfo=UTC))
    values = np.array([[np.nan, 0.0, np.nan, 1.5]], dtype="<f4").tobytes()
    names = ("close", "score", "stop_4", "target_30")
    record = FeatureRecord(row.asof, QUANTILES, "s", "d", names, ("A",), values)
    found = shown_records.forecast(row, {QUANTILES: record})
    assert (found.probability, found.pays, found.stop, found.entry_atr) == (None, None, None, None)
    assert found.target == shown_records.Distance(1.5, pytest.approx(0.03), None), "a close that is not known as traded gives no ticks"
    assert shown_records.forecast(replace(row, symbol="B"), {QUANTILES: record}) == shown_records.EventForecast()


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
