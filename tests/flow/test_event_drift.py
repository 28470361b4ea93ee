"""Drift of what bundles read and said of events is watched as a traded sleeve's is: an alert, rows, a line of the report; nothing stops."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.bundles.slots import Slot
from appliance.bundles.store import CURRENT_FILE
from appliance.context import Deps
from appliance.ledger import Ledger
from appliance.ledger import scores as score_rows
from appliance.monitoring.drift import event_drift
from appliance.monitoring.session_monitoring import _shown
from appliance.system.clock import VirtualClock
from signals.bundle import Bundle, Part, verify
from signals.events.recorded import SHOWN
from signals.market.bars import Bars
from signals.market.dataset import load_bars
from signals.models.inference import infer
from signals.monitoring.drift import LEAST_ROWS, DriftState, reference
from signals.sleeves import SLEEVES
from signals.sleeves.events import with_figures
from signals.text.documents import to_json
from tests.fakes import event_bundles
from tests.fakes.bars import synthetic_bars
from tests.fakes.broker import FakeBroker, Inbox, MemoryFs, deps_of
from tests.fakes.bundles import Recipe, keyset, policy, weekdays
from tests.fakes.device import Workbench
from tests.fakes.store import publish_bundle, publish_store

GATE = SHOWN[0]
CALENDAR = weekdays()
BARS = synthetic_bars(11, sessions=500, symbols=48, missing=0.0, start=CALENDAR.days[0])
TRAINED = 360


def drawn_from(bars: Bars, last: date, *, moved: float = 0.0) -> Recipe:
    """A gate whose reference is the events of these bars; with `moved`, one whose volumes were other ones."""
    panel = SLEEVES[GATE].panel(with_figures(bars))
    rows, values = panel.eligible, panel.values.copy()
    scores = np.full(rows.shape, np.nan)
    scores[rows] = event_bundles.said(GATE, "score", values[rows])
    values[:, :, panel.names.index("event_volume")] += np.float32(moved)
    content = json.dumps(to_json(reference(replace(panel, values=values), scores))).encode()
    return event_bundles.recipe(GATE, last=last).with_file("drift.json", Part.DRIFT, content)


def test_a_figure_that_moved_is_an_alert_a_row_and_a_line_and_what_is_traded_goes_on(tmp_path: Path) -> None:
    store = publish_store(tmp_path / "store")
    days = store.sessions(2)
    bars = load_bars(store.root / "data", store.manifest, store.manifest.first, store.last_training)
    publish_bundle(store.root, drawn_from(bars, store.last_training, moved=2.0))
    bench = Workbench(tmp_path / "device")
    assert bench("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust), "--fixed-ic", "0.05").code == 0
    assert bench("arm", "--session", str(days[0]), "--yes").code == 0
    for day in map(str, days):
        for job in ("pull", "score", "reconcile", "plan", "report"):
            done = bench(job, "--session", day)
            assert done.code == 0, done.out + done.err
    rows = {row["name"]: row for row in bench("drift", "--json").json["rows"]}
    moved = rows[f"{GATE}: event_volume"]
    assert moved["verdict"] == "DRIFTED" and moved["psi"] > moved["limit"] and rows[f"{GATE}: score"]["verdict"] == "too little history yet"
    assert {name for name, row in rows.items() if name.startswith(GATE) and row["verdict"] == "DRIFTED"} == {f"{GATE}: event_volume"}
    assert {"score", "momentum_5"} <= set(rows), "the traded sleeve's are there as before"
    alerts = bench.rows("SELECT key, body FROM alerts WHERE key LIKE 'drift-%'")
    assert len(alerts) == 1 and str(alerts[0][0]) == f"drift-{GATE}-{days[0]}", "said once, not at each report"
    assert "event_volume (PSI" in alerts[0][1] and "Nothing is traded by it" in alerts[0][1]
    report = (bench.state / "reports" / f"report_{days[1]}.md").read_text()
    assert f"{GATE}, which is only shown: event_volume has drifted." in report
    assert bench.rows("SELECT count(*) FROM intents") != [(0,)]


class Market:
    """Bars of the history, those after `since` with ranges as much wider as `wider` says."""

    def __init__(self, wider: float = 1.0) -> None:
        edge = {name: BARS.close + wider * (getattr(BARS, name) - BARS.close) for name in ("high", "low")}
        after = (np.arange(len(BARS.sessions)) >= TRAINED)[:, None]
        opened = np.clip(BARS.open, edge["low"], edge["high"])
        self.known = replace(BARS, **{name: np.where(after, x, getattr(BARS, name)) for name, x in {**edge, "open": opened}.items()})

    def bars(self, asof: date, sessions: int) -> Bars:
        return self.known.until(asof, sessions)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    drawn_from(BARS.rows(0, TRAINED), CALENDAR.days[TRAINED]).write(folder)
    return verify(folder, keyset(), policy(sleeves={GATE: SLEEVES[GATE].spec}, today=CALENDAR.days[TRAINED]), reproduce=infer)


def device(root: Path, bundle: Bundle, *, wider: float = 1.0, moved: float = 0.0, since: int = TRAINED) -> Deps:
    """A device that judged every event from the session `since` on by the bundle, whose scores moved by `moved`."""
    clock = VirtualClock(CALENDAR.session(CALENDAR.days[-1]).close)
    made = deps_of(root, FakeBroker(clock, CALENDAR, {}), clock, CALENDAR, MemoryFs(), Ledger(root / "ledger.sqlite"), Inbox())
    panel = SLEEVES[GATE].panel(with_figures(BARS))
    for row in range(since, len(BARS.sessions)):
        day = CALENDAR.days[row]
        column = np.flatnonzero(panel.eligible[row])
        values = event_bundles.said(GATE, "score", panel.values[row, column]) + moved
        found = zip(column, values, strict=True)
        score_rows.save(
            made.ledger,
            day,
            GATE,
            [score_rows.ScoreRow(day, BARS.symbols[c], GATE, float(x), rank, 0.0, bundle.sha256) for rank, (c, x) in enumerate(found, 1)],
        )
    return replace(made, open_market=lambda: Market(wider))


def test_the_law_that_was_learned_from_is_within_its_limits_and_a_planted_shift_is_not(tmp_path: Path, bundle: Bundle) -> None:
    """Scores of the record, figures of the bars: each is seen where it was planted and nowhere else."""
    asof = CALENDAR.days[TRAINED + 80]
    honest, wide, moved = (
        event_drift(device(tmp_path / name, bundle, **of), bundle, asof)
        for name, of in (("a", {}), ("b", {"wider": 2.0}), ("c", {"moved": 0.5}))
    )
    assert all(one.state is DriftState.MEASURED and not one.is_exceeded for one in (honest.score, *honest.features))
    drifted = {one.name for one in wide.features if one.is_exceeded}
    assert "event_atr" in drifted and not wide.score.is_exceeded
    assert moved.score.is_exceeded and moved.features == honest.features


def test_a_young_bundle_and_another_bundles_scores_are_too_little_history(tmp_path: Path, bundle: Bundle) -> None:
    deps, asof = device(tmp_path / "a", bundle, since=TRAINED + 40), CALENDAR.days[TRAINED + 80]
    assert event_drift(deps, bundle, asof).score.state is DriftState.TOO_LITTLE_HISTORY
    other: Any = replace(bundle, sha256="0" * 64)
    assert event_drift(deps, other, asof).score.state is DriftState.TOO_LITTLE_HISTORY


def test_a_pool_of_few_events_says_so(tmp_path: Path, bundle: Bundle) -> None:
    class Few(Market):
        def bars(self, asof: date, sessions: int) -> Bars:
            found = super().bars(asof, sessions)
            return replace(found, eligible=found.eligible & (np.arange(len(found.symbols)) < 3))

    deps = replace(device(tmp_path / "a", bundle), open_market=Few)
    asof = CALENDAR.days[TRAINED + 80]
    panel = SLEEVES[GATE].panel(with_figures(Few().bars(asof, 60)))
    assert 0 < panel.eligible.sum() < LEAST_ROWS
    assert {one.state for one in event_drift(deps, bundle, asof).features} == {DriftState.TOO_FEW_ROWS}


def test_a_damaged_pointer_of_what_is_only_shown_is_notified_and_stops_no_report(tmp_path: Path, bundle: Bundle) -> None:
    deps, asof = device(tmp_path / "a", bundle), CALENDAR.days[TRAINED + 80]
    inbox = Inbox()
    deps = replace(deps, notifier=inbox)
    deps.fs.write(Slot(GATE).folder(deps.folder.bundles) / CURRENT_FILE, b"{")
    assert _shown(CALENDAR.days[TRAINED + 81], asof, deps) == {}
    assert [alert.title for alert in inbox.alerts] == [f"the drift of {GATE} is not watched"]
