"""A sleeve of minutes across names: trained, published, scored where the minutes are, delivered, and blended on a device."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

pytest.importorskip("trainer.__main__", reason="the trainer delivers the scores")

from signals.files import sha256_of
from signals.market.dataset import load_bars
from tests.fakes.session_minutes import day_paths, keep, rank_of_next
from tests.fakes.store import Published
from tests.flow.test_pulled_scores import key_folder, score_daily
from tests.flow.test_two_sleeves import device, run_day, titles
from trainer.__main__ import app
from trainer.validation.ic import overlapping_mean

NAMES, SESSIONS = 20, 110
RECIPE = """
sleeve: intraday_xs
lightgbm: {trees: 15, num_leaves: 7, min_data_in_leaf: 50}
cpcv: {groups: 4, test_groups: 1, embargo_sessions: 5, holdout_sessions: 0}
"""


def done(*arguments: object, may_refuse: bool = False) -> dict[str, Any]:
    found = CliRunner().invoke(app, [str(argument) for argument in (*arguments, "--json")])
    assert found.exit_code in (0, int(may_refuse)), found.output
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


@pytest.fixture(scope="module")
def line(published: Published, tmp_path_factory: pytest.TempPathFactory) -> tuple[Published, Path, dict[str, Any], date]:
    """The store with minutes beside its data, keys, the run's evidence, and the session to trade.

    On the evening before it one name lacks an hour of its minutes.
    """
    root = tmp_path_factory.mktemp("intraday")
    shutil.copytree(published.root, root / "store")
    store = Published(root / "store", root / "store" / "root.pub", published.manifest, published.last_training)
    data, calendar = store.root / "data", store.manifest.calendar
    day = store.sessions(1)[0]
    whole = load_bars(data, store.manifest, store.manifest.first, store.manifest.last)
    bars = whole.select(whole.symbols[:NAMES])
    frame = day_paths(bars.rows(len(bars.sessions) - SESSIONS, len(bars.sessions)), calendar, rank_of_next(bars, 5)[-SESSIONS:], seed=1)
    hour = frame["time"].dt.strftime("%H").eq("15") & frame["time"].dt.date.eq(calendar.previous(day))
    keep(frame[~(hour & frame["symbol"].eq(bars.symbols[0]))], data)
    keys, run, recipe = key_folder(root / "keys"), root / "run", root / "recipe.yml"
    recipe.write_text(RECIPE)
    begin = bars.sessions[-SESSIONS].astype(object)
    span = ("--start", begin, "--end", store.last_training)
    with mock.patch.object(Figure, "savefig", lambda figure, file, **_: file.write(b"\x89PNG")):
        done("train", "--sleeve", "intraday_xs", "--data", data, "--config", recipe, "--run", run, *span)
    done("publish", "--run", run, "--role", "evaluation", "--keys", keys, "--to", store.root)
    return store, keys, json.loads((run / "evidence.json").read_text()), day


def test_a_signal_in_minutes_is_learned_without_torch_and_enters_the_blend_of_a_device(
    line: tuple[Published, Path, dict[str, Any], date], tmp_path: Path
) -> None:
    """The device has no minutes: it takes what is delivered for the names that have them whole, and says nothing of the others."""
    store, keys, evidence, day = line
    assert evidence["walk_forward"]["ic"]["mean"] > 0.1 and evidence["walk_forward"]["ic"]["t"] > 2.0
    minutes = sha256_of((store.root / "data" / "minutes" / "manifest.json").read_bytes())
    assert evidence["datasets"] == {"minute_bars": minutes}, "a run names the minutes that it was made of"
    checks = {check["check"]: check["passed"] for check in evidence["leaks"]["checks"]}
    assert checks["session replaced"], "minutes of one session are handed to other names, and features of that session alone change"
    assert checks["labels shifted"], "labels are those of other names of the minutes, not of names without any"
    asof = store.manifest.calendar.previous(day)
    delivered = {row["sleeve"]: row for row in score_daily(store, keys, asof)["delivered"]}
    assert delivered["intraday_xs"]["name"] == f"scores/intraday_{asof}.json"
    sleeves = {"equities_xs": {"weight": 0.5, "scoring": "pulled"}, "intraday_xs": {"weight": 0.5, "scoring": "pulled"}}
    bench = device(store, tmp_path / "device", sleeves=sleeves)
    jobs = run_day(bench, day)
    assert jobs["plan"]["figures"]["sleeves"] == pytest.approx({"equities_xs": 0.5, "intraday_xs": 0.5})
    scored = dict(bench.rows("SELECT symbol, score FROM scores WHERE sleeve = 'intraday_xs'"))
    known = bench.rows("SELECT symbol FROM scores WHERE sleeve = 'equities_xs' ORDER BY symbol")
    names = {symbol for (symbol,) in known}
    whole = load_bars(store.root / "data", store.manifest, asof, asof).symbols
    assert set(scored) == names & set(whole[1:NAMES]), "the name without an hour is absent, and so are those without minutes"
    assert not any("no intraday_xs scores" in title for title in titles(bench))
    shown = [row for row in bench("signals", "--session", str(day), "--json").json["rows"] if row["sleeve"] == "intraday_xs"]
    assert max(abs(row["contribution"] or 0.0) for row in shown) > 0.1 and np.ptp(list(scored.values())) > 0.0


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.08, 0.0], ids=["planted", "noise"])
def test_a_signal_in_minutes_lifts_the_blend_and_noise_does_not(published: Published, size: float, tmp_path: Path) -> None:
    """A stack of both against `equities_xs` alone, on the same sessions and names: the advantage of its IC, with its t."""
    data, sessions = tmp_path / "data", 240
    shutil.copytree(published.root / "data", data)
    manifest = published.manifest
    bars = load_bars(data, manifest, manifest.first, manifest.last)
    said = size * rank_of_next(bars, 5)[-sessions:]
    keep(day_paths(bars.rows(len(bars.sessions) - sessions, len(bars.sessions)), manifest.calendar, said, seed=2), data)
    begin, runs = bars.sessions[3 - sessions].astype(object), ()
    for sleeve in ("equities_xs", "intraday_xs"):
        recipe = tmp_path / f"{sleeve}.yml"
        recipe.write_text(RECIPE.replace("intraday_xs", sleeve).replace("test_groups: 1", "test_groups: 2"))
        runs += ("--runs", tmp_path / sleeve)
        done("train", "--sleeve", sleeve, "--data", data, "--config", recipe, "--run", tmp_path / sleeve, "--start", begin)
    done("stack", *runs, "--data", data, "--to", tmp_path / "stack", may_refuse=True)
    stack, alone = (ics(tmp_path / run / "oof.parquet") for run in ("stack", "equities_xs"))
    gain = overlapping_mean((stack - alone).dropna().to_numpy(), 5)
    assert (gain.t > 2.3) is (size > 0.0), gain
    assert gain.sessions > 200


def ics(path: Path) -> pd.Series:
    """Rank correlation of score and label by session."""
    frame = pd.read_parquet(path)
    return frame.groupby("session")[["score", "label"]].apply(lambda own: own["score"].corr(own["label"], method="spearman"))
