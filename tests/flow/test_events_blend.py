"""A daily score of the names with an event: trained, published, delivered, and blended on a device that finds the same events."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from matplotlib.figure import Figure

pytest.importorskip("trainer.__main__", reason="the trainer delivers the scores")

from signals.bundle import read_folder
from signals.indicators.regimes import SIGMA, WILD
from signals.market.bars import Bars
from signals.sleeves.events import EVENTS
from tests.fakes.store import END, publish_store
from tests.flow.test_intraday_sleeve import done
from tests.flow.test_pulled_scores import key_folder, score_daily
from tests.flow.test_two_sleeves import device, run_day, titles
from trainer.curation.generated.market import generate

NAMES, SESSIONS = 160, 540
RECIPE = """
label: {kind: LABEL, k: 5}
regime: true
lightgbm: {trees: 15, num_leaves: 7, min_data_in_leaf: 50, objective: regression}
cpcv: {groups: 3, test_groups: 1, embargo_sessions: 5, holdout_sessions: 0}
"""


@pytest.mark.slow
def test_a_score_of_events_enters_the_blend_for_the_names_that_have_one(tmp_path: Path) -> None:
    """With the market's regime among its features, whose states the bundle carries. A gate is shown, and takes no place in the blend:
    the device says of every event, to the bit, what the trainer says of it with the same bundle.

    On an evening on which no name has an event the other sleeves' scores are delivered all the same.
    """
    store = publish_store(tmp_path / "store", generate(11, NAMES, SESSIONS, END, strength=0.0, events=1.0))
    data, keys, recipe = store.root / "data", key_folder(tmp_path / "keys"), tmp_path / "recipe.yml"
    with mock.patch.object(Figure, "savefig", lambda figure, file, **_: file.write(b"\x89PNG")):
        for label in ("event_score", "event_gate"):
            recipe.write_text(RECIPE.replace("LABEL", label).replace("k: 5", "k: 30" if label == "event_gate" else "k: 5"))
            done("train", "--sleeve", "events", "--data", data, "--config", recipe, "--run", tmp_path / label, "--end", store.last_training)
    run = tmp_path / "event_score"
    evidence = json.loads((run / "evidence.json").read_text())
    assert evidence["walk_forward"]["ic"]["mean"] > 0.05 and evidence["regimes"]
    assert WILD in [one["name"] for one in json.loads((run / "feature_list.json").read_text())["features"]]
    asked = ("publish", "--role", "evaluation", "--keys", keys, "--to", store.root)
    done(*asked, "--run", run)
    done(*asked, "--run", tmp_path / "event_gate")
    day = store.sessions(1)[0]
    asof = store.manifest.calendar.previous(day)
    delivered = {row["sleeve"]: row for row in score_daily(store, keys, asof)["delivered"]}
    assert set(delivered) == {"equities_xs", "events", "event_gate"}
    sleeves = {"equities_xs": 0.5, "events": {"weight": 0.5, "scoring": "pulled"}}
    bench = device(store, tmp_path / "device", sleeves=sleeves)
    jobs = run_day(bench, day)
    assert jobs["plan"]["figures"]["sleeves"] == pytest.approx({"equities_xs": 0.5, "events": 0.5})
    scored = dict(bench.rows("SELECT symbol, score FROM scores WHERE sleeve = 'events'"))
    found = {row["symbol"]: row for row in bench("events", "--asof", str(asof), "--json").json["rows"]}
    assert set(scored) == set(found) and 1 < len(scored) < NAMES / 3 and np.ptp(list(scored.values())) > 0.0
    assert not any("no events scores" in title for title in titles(bench))
    ours = dict(bench.rows("SELECT symbol, score FROM scores WHERE sleeve = 'event_gate'"))
    theirs = json.loads(json.loads((store.root / "scores" / f"event_gate_{asof}.json").read_text())["payload"])
    assert ours == dict(zip(theirs["symbols"], theirs["scores"], strict=True)) and set(ours) == set(found)
    assert all(0.0 < row["p_target"] < 1.0 for row in found.values())
    shown = [row for row in bench("signals", "--session", str(day), "--json").json["rows"] if row["sleeve"] == "events"]
    assert max(abs(row["contribution"] or 0.0) for row in shown) > 0.1
    [bundle] = (bench.state / "bundles" / "events").glob("1-*")
    assert SIGMA.encode() in read_folder(bundle).files["manifest.json"]
    for number, following in enumerate(store.sessions(4)[1:], start=2):
        evening = store.manifest.calendar.previous(following)
        score_daily(store, keys, evening)
        figures = run_day(bench, following, armed=True)["plan"]["figures"]
        assert figures["sleeves"] == pytest.approx({"equities_xs": 0.5, "events": 0.5}), "other names have an event: no lack of coverage"
        said = bench.rows("SELECT count(DISTINCT asof), count(*) FROM scores WHERE sleeve = 'events'")
        assert said[0][0] == number and said[0][1] > 2 * number
    later = store.manifest.calendar.offset(evening, 1)

    def nothing(bars: Bars) -> dict[str, np.ndarray]:
        return {name: np.full(bars.close.shape, np.nan) for name in EVENTS.joined}

    with mock.patch("trainer.samples.joined_datasets.event_figures", nothing):
        assert {row["sleeve"] for row in score_daily(store, keys, later)["delivered"]} == {"equities_xs"}, "nor does a gate say anything"
