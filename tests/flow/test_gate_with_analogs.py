"""A gate that learned from what past events made: a device finds it by its own net of pictures, as training did, or the gate is silent."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

pytest.importorskip("trainer.__main__", reason="the trainer finds the figures that a gate learns from")

from appliance.context import Deps
from appliance.jobs import score as score_job
from appliance.jobs.events import record_events
from appliance.jobs.score import PastEvents
from appliance.ledger import Ledger
from appliance.system.clock import VirtualClock
from signals.bundle import Bundle, verify
from signals.bundle.manifest import Part
from signals.errors import FixInput, ScoresInvalid
from signals.events.recorded import ANALOGS, SHOWN
from signals.files import sha256_of
from signals.market.actions import Action
from signals.market.bars import Bars
from signals.market.dataset import load_bars
from signals.models.inference import infer, predict
from signals.sleeves import SLEEVES
from signals.sleeves.events import event_figures
from signals.sleeves.patterns import PATTERNS
from tests.fakes import event_bundles, picture_nets
from tests.fakes.bars import synthetic_bars
from tests.fakes.broker import FakeBroker, Inbox, MemoryFs, deps_of
from tests.fakes.bundles import Recipe, keyset, policy, weekdays
from tests.fakes.device import Workbench
from tests.fakes.store import publish_bundle, publish_store
from tests.flow.test_intraday_sleeve import done
from tests.flow.test_pulled_scores import key_folder, score_daily
from trainer.__main__ import app
from trainer.runs.picture_bank import analog_figures, bank_of, net_of, seen_events

GATE, QUANTILES, _ = SHOWN
NET = sha256_of(picture_nets.graph())
CALENDAR = weekdays()
BARS = synthetic_bars(11, sessions=280, symbols=24, missing=0.0, start=CALENDAR.days[0])
RECORDS_SINCE, MADE, LAST = 195, 230, 268  # rows: of the device's first recorded event, of the bank's last bar, of the last evening


class Market:
    def bars(self, asof: date, sessions: int) -> Bars:
        return BARS.until(asof, sessions)

    def ends_and_renamings(self, first: date, asof: date) -> tuple[Action, ...]:
        return ()

    def dataset(self) -> None:
        return None


def patterns(run: Path) -> Recipe:
    """The bundle of a run of the sleeve `patterns` on the bars up to `MADE`: its net, and the bank that training makes by it."""
    bars = BARS.rows(0, MADE + 1)
    bank = bank_of(seen_events(bars, *net_of(run, bars)), bars, ())
    return picture_nets.recipe(arrays={"bank.bin": (Part.BANK, bank)})


def verified(made: Recipe, folder: Path) -> Bundle:
    made.but(last=CALENDAR.days[MADE]).write(folder)
    sleeve = SLEEVES[made.sleeve]
    of = policy(sleeves={made.sleeve: sleeve.spec}, shapes={made.sleeve: sleeve.spec_as}, today=CALENDAR.days[LAST])
    return verify(folder, keyset(), replace(of, refuses_expired=False), reproduce=infer)


def refused(*words: object) -> str:
    """The sentence of a command that a person must correct."""
    found = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(found.exception, FixInput), found.output
    return str(found.exception)


def test_a_device_finds_for_its_events_what_training_finds_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over forty evenings, by the bundle's bank and the device's own events since; NaN where training has NaN."""
    run = picture_nets.run(tmp_path / "net")
    expected = analog_figures(run, BARS, ())
    seen_by, gate = verified(patterns(run), tmp_path / "p"), verified(event_bundles.recipe(GATE, net=NET), tmp_path / "g")
    clock = VirtualClock(CALENDAR.session(CALENDAR.days[RECORDS_SINCE]).close)
    deps: Deps = deps_of(tmp_path, FakeBroker(clock, CALENDAR, {}), clock, CALENDAR, MemoryFs(), Ledger(tmp_path / "l.sqlite"), Inbox())
    deps = replace(deps, open_market=Market)
    read, outputs = list[Any](), score_job.outputs
    monkeypatch.setattr(score_job, "held_snapshot", lambda *_: SimpleNamespace(id="s"))
    monkeypatch.setattr(score_job, "runner", lambda _: infer)
    monkeypatch.setattr(score_job, "outputs", lambda bundle, panel, **more: (read.append(panel), outputs(bundle, panel, **more))[1])
    found = np.full((2, *BARS.close.shape), np.nan, np.float32)
    for row in range(RECORDS_SINCE, LAST):
        asof = CALENDAR.days[row]
        clock.advance(max(clock.now(), CALENDAR.session(asof).close))
        if row > MADE:
            *_, past = score_job._seen(asof, seen_by, deps)
            if score_job._judged(asof, gate, deps, past) is not None:
                panel = read[-1]
                assert panel.names[-2:] == ANALOGS
                columns = [BARS.column(symbol) for symbol in panel.symbols]
                found[:, row, columns] = np.where(panel.eligible[-1], panel.values[-1, :, -2:].T, np.nan)
        record_events(CALENDAR.days[row + 1], asof, deps)
    own = deps.ledger.read(int, "SELECT count(*) FROM bank_rows WHERE vector IS NOT NULL")
    assert own[0] > 50, "own events were asked too"
    for name, values in zip(ANALOGS, found, strict=True):
        wanted = expected[name][MADE + 1 : LAST].astype(np.float32)
        assert np.isfinite(wanted).sum() > 100
        np.testing.assert_array_equal(values[MADE + 1 : LAST].view(np.uint32), wanted.view(np.uint32), name)


@pytest.mark.slow
def test_a_gate_that_is_trained_and_published_says_on_a_device_what_its_model_says_of_trainings_figures(tmp_path: Path) -> None:
    """The manifest names the net; the trainer delivers no scores of it, and says what to do where the net or its hash is gone."""
    store = publish_store(tmp_path / "store")
    day = store.sessions(1)[0]
    data, net, asof = store.root / "data", picture_nets.run(tmp_path / "net"), store.manifest.calendar.previous(day)
    bars = load_bars(data, store.manifest, store.manifest.first, asof)
    bank = bank_of(seen_events(bars, *net_of(net, bars)), bars, ())
    publish_bundle(store.root, picture_nets.recipe(last=store.last_training, arrays={"bank.bin": (Part.BANK, bank)}))
    keys, recipe, run = key_folder(tmp_path / "keys"), tmp_path / "recipe.yml", tmp_path / "run"
    cpcv = {"groups": 3, "test_groups": 1, "embargo_sessions": 5, "holdout_sessions": 0}
    trees = {"trees": 20, "min_data_in_leaf": 20, "objective": "regression"}
    recipe.write_text(yaml.safe_dump({"label": {"kind": "event_gate", "analogs": str(net)}, "lightgbm": trees, "cpcv": cpcv}))
    trained = ("train", "--sleeve", "events", "--data", data, "--config", recipe, "--end", store.last_training)
    done(*trained, "--run", run)
    published = ("publish", "--role", "evaluation", "--keys", keys, "--to", store.root)
    done(*published, "--run", run)
    [manifest] = store.root.glob("**/event_gate/**/manifest.json")
    assert json.loads(manifest.read_text())["analogs_sha256"] == NET
    assert {row["sleeve"] for row in score_daily(store, keys, asof)["delivered"]} == {"equities_xs", "patterns"}
    bench = Workbench(tmp_path / "device")
    assert bench("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust), "--fixed-ic", "0.05").code == 0
    assert bench("arm", "--session", str(day), "--yes").code == 0
    for job in ("pull", "score"):
        assert (told := bench(job, "--session", str(day))).code == 0, told.out + told.err
    figures = {**event_figures(bars), **analog_figures(net, bars, ())}
    column = np.flatnonzero(np.isfinite(figures["event_kind"][-1]))
    rows = np.column_stack([panel[-1, column] for panel in figures.values()]).astype(np.float32)
    assert np.isfinite(rows[:, -2:]).any()
    expected = dict(zip([bars.symbols[c] for c in column], predict([(run / "model.onnx").read_bytes()], rows), strict=True))
    assert dict(bench.rows("SELECT symbol, score FROM scores WHERE sleeve = 'event_gate'")) == expected
    blind = rows.copy()
    blind[:, -2:] = np.nan
    assert (predict([(run / "model.onnx").read_bytes()], blind) != list(expected.values())).any(), "the model leans on them"
    known = json.loads((run / "evidence.json").read_text())
    (run / "evidence.json").write_text(json.dumps({name: value for name, value in known.items() if name != "analogs_sha256"}))
    assert "does not say by which net of pictures" in refused(*published, "--run", run)
    shutil.rmtree(net)
    assert "Put the run back that label.analogs names" in refused(*trained, "--run", tmp_path / "again")


def test_a_gate_is_silent_where_another_net_or_none_is_in_force(tmp_path: Path) -> None:
    gate = verified(event_bundles.recipe(GATE, net=NET), tmp_path / "g")
    made = {"S0001": np.array([0.5, 1.0])}
    assert score_job._analogs(gate, PastEvents(NET, made)) is made
    with pytest.raises(ScoresInvalid, match=f"by the net {NET[:16]}, and that of the patterns bundle in force is 0000.*publish the run"):
        score_job._analogs(gate, PastEvents("0" * 64, made))
    with pytest.raises(ScoresInvalid, match="and no patterns bundle with a bank saw this evening"):
        score_job._analogs(gate, None)
    unnamed = verified(event_bundles.recipe(GATE, net=NET).but(analogs_sha256=None), tmp_path / "u")
    with pytest.raises(ScoresInvalid, match="by the net of no name"):
        score_job._analogs(unnamed, PastEvents(NET, made))
    plain = verified(event_bundles.recipe(GATE), tmp_path / "plain")
    assert score_job._analogs(plain, None) == {}, "a gate that learned from none asks for none"
    assert "analogs_sha256" not in plain.manifest.to_bytes().decode() and PATTERNS.name not in plain.manifest.sleeve


def test_an_evening_scores_pictures_first_and_a_gate_of_another_net_is_an_alert_that_stops_nothing(tmp_path: Path) -> None:
    store = publish_store(tmp_path / "store")
    days = np.array(store.manifest.calendar.days, dtype="datetime64[D]")
    bank = picture_nets.arrays(7, days, 400)
    publish_bundle(store.root, picture_nets.recipe(last=store.last_training, arrays={"bank.bin": (Part.BANK, bank)}))
    for sleeve, net in ((GATE, NET), (QUANTILES, "a" * 64)):
        publish_bundle(store.root, event_bundles.recipe(sleeve, net=net, last=store.last_training))
    bench = Workbench(tmp_path / "device")
    assert bench("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust), "--fixed-ic", "0.05").code == 0
    day = str(store.sessions(1)[0])
    assert bench("arm", "--session", day, "--yes").code == 0
    for job in ("pull", "score", "reconcile", "plan"):
        done = bench(job, "--session", day)
        assert done.code == 0, done.out + done.err
    counts = dict(bench.rows("SELECT sleeve, count(*) FROM scores GROUP BY sleeve"))
    assert counts[GATE] == bench.rows("SELECT count(*) FROM events")[0][0] > 0 and QUANTILES not in counts
    alerts = dict(bench.rows("SELECT key, body FROM alerts WHERE key LIKE 'score-event%'"))
    assert set(alerts) == {f"score-{QUANTILES}-{day}"} and "by the net aaaaaaaaaaaaaaaa, and that of the patterns bundle" in str(alerts)
    assert "Train again by the run of patterns that is published, or publish the run of that net" in str(alerts)
    assert bench.rows("SELECT count(*) FROM intents") != [(0,)]
