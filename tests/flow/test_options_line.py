"""The whole line of `options_vol`: a vendor's chains, a trained run, its bundle, delivered scores, a device's blend, and structures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from signals.bundle import Role
from signals.market.dataset import load_bars, read_manifest
from tests.fakes.store import Published, publish_store
from tests.flow.test_pulled_scores import key_folder
from tests.flow.test_two_sleeves import configured, device, run_day

pytestmark = pytest.mark.slow  # half a minute, most of it fitting surfaces: `make options-campaign`

trainer = pytest.importorskip("trainer.__main__", reason="the trainer trains and delivers")

from tests.fakes.option_market import Quoting, quoted, quotes_frame  # noqa: E402

SLEEVE, OTHER = "options_vol", "equities_xs"
NAMES, SESSIONS = 11, 76
SHAPE = Quoting(half_points=0.001, deviations=2.5, rate=0.0, has_ticks=False)
RECIPE = {
    "label": {"kind": "hedged_pnl", "k": 5, "min_sessions": 20, "caps": {"name_usd": 5_000.0, "total_usd": 50_000.0}},
    "lightgbm": {"objective": "regression", "trees": 60, "num_leaves": 6, "min_data_in_leaf": 5, "lambda_l2": 0.1},
    "cpcv": {"groups": 3, "test_groups": 1, "embargo_sessions": 0, "holdout_sessions": 0},
}


def asked(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(trainer.app, [*map(str, words), "--json"])
    assert done.exit_code == 0, f"{words}: {done.output}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write_chains(store: Published, path: Path) -> tuple[str, ...]:
    """Quotes of a few names until the evening that is scored; what a name's options cost changes from week to week."""
    manifest = read_manifest(store.root / "data")
    asof = manifest.calendar.previous(store.sessions(1)[0])
    bars = load_bars(store.root / "data", manifest, manifest.calendar.offset(asof, -SESSIONS), asof)
    moved = np.ptp(np.log(bars.close), axis=0)  # NaN where a session is missing
    whole = [column for column in range(len(bars.symbols)) if moved[column] < 0.35 and bars.eligible[:, column].all()]
    rng, chains = np.random.default_rng(3), []
    for column in whole[:NAMES]:
        shape = replace(SHAPE, step=round(0.025 * float(bars.close[0, column]), 2))
        for row, day in enumerate(bars.sessions):
            expiries = [bars.sessions[-1] + np.timedelta64(days, "D") for days in ((30, 58) if row == len(bars.sessions) - 1 else (30,))]
            variance = (0.3 + 0.05 * np.sin(0.9 * column + row / 7.0) + 0.01 * rng.standard_normal()) ** 2
            chains.append(quoted(bars.symbols[column], day.astype(object), float(bars.close[row, column]), variance, expiries, shape))
    quotes_frame(chains).to_parquet(path, index=False)
    return tuple(bars.symbols[column] for column in whole[:NAMES])


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> tuple[Published, Path, tuple[str, ...]]:
    """A store with a bundle of each sleeve, that of options trained and published by the trainer's own commands."""
    root = tmp_path_factory.mktemp("line")
    store = publish_store(root / "store")
    names = write_chains(store, root / "quotes.parquet")
    keys = key_folder(root / "keys")
    data = store.root / "data"
    audited = asked("options", "ingest", "--quotes", root / "quotes.parquet", "--to", data / "options")
    assert audited["days"] == {"AMBER": NAMES * SESSIONS, "GREEN": NAMES}
    (root / "recipe.yml").write_text(yaml.safe_dump(RECIPE))
    of = ("--data", data, "--config", root / "recipe.yml", "--end", store.last_training, "--run", root / "run", "--workers", 1)
    evidence = asked("train", "--sleeve", SLEEVE, *of)
    assert evidence["sleeve"] == SLEEVE and set(evidence["hedged"]) == {"straddle", "vertical", "vega_used"}
    assert any(said.startswith("no calendar is learned") for said in evidence["warnings"]), "chains of one expiry have none"
    asked("publish", "--run", root / "run", "--role", Role.EVALUATION, "--keys", keys, "--to", store.root, "--registry", root / "registry")
    return store, root, names


def test_a_trained_runs_scores_reach_the_blend_of_the_names_that_have_options(
    line: tuple[Published, Path, tuple[str, ...]], tmp_path: Path
) -> None:
    store, root, names = line
    day = store.sessions(1)[0]
    asof = store.manifest.calendar.previous(day)
    bench = configured(device(store, tmp_path / "device"), sleeves={OTHER: 0.6, SLEEVE: {"weight": 0.4, "scoring": "pulled"}})
    assert bench("pull", "--session", str(day)).code == 0
    told = asked("score-daily", "--data", store.root / "data", "--keys", root / "keys", "--to", store.root, "--asof", asof)
    delivered = {row["sleeve"]: row for row in told["delivered"]}
    assert delivered[SLEEVE]["names"] == NAMES and delivered[OTHER]["names"] > NAMES
    jobs = run_day(bench, day)
    assert jobs["score"]["status"] == jobs["plan"]["status"] == "done"
    assert jobs["plan"]["figures"]["sleeves"] == pytest.approx({OTHER: 0.6, SLEEVE: 0.4})
    scored = bench.rows("SELECT symbol, score, source FROM scores WHERE sleeve = ? ORDER BY symbol", SLEEVE)
    assert [row[0] for row in scored] == sorted(names) and {row[2] for row in scored} == {delivered[SLEEVE]["bundle_sha256"]}
    document = json.loads((store.root / delivered[SLEEVE]["name"]).read_text())
    payload = json.loads(document["payload"])
    assert [row[1] for row in scored] == payload["scores"] and len(set(payload["scores"])) > 1


def test_the_evenings_structures_of_the_same_run_are_signed_and_shown(
    line: tuple[Published, Path, tuple[str, ...]], tmp_path: Path
) -> None:
    store, root, names = line
    day = store.sessions(1)[0]
    asof = store.manifest.calendar.previous(day)
    given = ("--data", store.root / "data", "--run", root / "run", "--keys", root / "keys", "--to", store.root, "--asof", asof)
    (root / "caps.yml").write_text(yaml.safe_dump({"vega_caps": {"name_usd": 5_000.0, "total_usd": 50_000.0}}))
    told = asked("options", "structures", *given, "--config", root / "caps.yml")
    assert told["structures"] and {one["root"] for one in told["structures"]} <= set(names)
    assert {one["template"] for one in told["structures"]} == {"vertical"}, "a template without a model has no forecast"
    bench = device(store, tmp_path / "device")
    assert bench("pull", "--session", str(day)).code == 0
    picture = tmp_path / "payoffs.svg"
    shown = bench("structures", "--asof", str(asof), "--to", str(picture), "--json")
    assert shown.code == 0, shown.err
    assert [row["root"] for row in shown.json["rows"]] == [one["root"] for one in told["structures"]]
    assert picture.read_text().count("at the first expiry") == min(40, len(told["structures"]))
    by_name: dict[str, float] = {}
    for one in told["structures"]:
        by_name[one["root"]] = by_name.get(one["root"], 0.0) + abs(one["units"] * one["vega_usd"])
    assert max(by_name.values()) <= 5_000.0 and sum(by_name.values()) <= 50_000.0
    assert bench.rows("SELECT count(*) FROM intents") == [(0,)], "nothing of it is traded"
