"""A package in a folder brings a dataset of its own and the sleeve that reads it; no file of the product is touched."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from signals.errors import BadDataset, FixInput
from signals.files import sha256_of
from signals.market.dataset import load_bars, read_manifest
from signals.sleeves import SLEEVES
from tests.fakes.curated import curate
from tests.fakes.plugin import TICKS, write_plugin, write_ticks
from trainer.learners.base import FitDevice
from trainer.recipes.base import RecipeConfig
from trainer.samples.joined_datasets import INPUTS, snapshots_of
from trainer.samples.samples import Range, prepare
from trainer.search.trial_log import data_of, trial_key
from trainer.tasks.recipes import recipe_named
from trainer.training.train import TrainingRequest, train

CONFIG = RecipeConfig.model_validate({"cpcv": {"groups": 3, "test_groups": 1, "holdout_sessions": 0}})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with two minutes a session of half of its names, of which one in four shares was bought, then three in four."""
    folder = curate(tmp_path_factory.mktemp("market"))
    manifest = read_manifest(folder)
    bars = load_bars(folder, manifest, manifest.first, manifest.last)
    rows = [
        f"{day}T{hour}:30,{symbol},{100 * (at + 1)},400"
        for day in bars.sessions[-80:]
        for symbol in bars.symbols[::2]
        for at, hour in ((0, "10"), (2, "14"))
    ]
    (folder / "ticks.csv").write_text("\n".join(["time,symbol,bought,volume", *rows]))
    return folder


def test_a_sleeve_of_minutes_and_its_input_are_trained_from_a_folder_on_the_path(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what trades was bought, by hand; names without minutes give no row, and the evidence names the version of the input."""
    monkeypatch.syspath_prepend(str(write_ticks(tmp_path)))
    material = prepare(recipe_named("tick_flow"), CONFIG, Range(data))
    assert list(INPUTS)[-1] == "ticks"
    names = set(np.array(material.panel.symbols)[np.unique(material.rows.column)])
    bars = material.source.bars
    assert names <= set(bars.symbols[::2]) and len(names) > 20
    assert set(material.rows.inputs()[:][:, 0].tolist()) == {0.5} and len(np.unique(material.rows.t0)) > 40
    assert snapshots_of(material.sleeve, data) == {"ticks": sha256_of((data / "ticks.csv").read_bytes())}


def test_a_trial_on_another_version_of_an_input_is_another_trial(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One session's last trade is corrected: the daily bars, their snapshot, the sessions and the recipe are the same."""
    monkeypatch.syspath_prepend(str(write_ticks(tmp_path)))
    recipe = recipe_named("tick_flow")

    def asked() -> tuple[str, dict[str, object]]:
        material = prepare(recipe, CONFIG, Range(data))
        known = data_of(recipe, material.source, material.rows)
        return trial_key(known, material.config, 1, FitDevice.CPU), known

    before = asked()
    held = (data / "ticks.csv").read_text()
    (data / "ticks.csv").write_text(held.removesuffix("300,400") + "200,400")
    after = asked()
    (data / "ticks.csv").write_text(held)
    assert before[0] != after[0] and before[1]["snapshot_id"] == after[1]["snapshot_id"]
    assert asked() == before
    plain = prepare(recipe_named("equities_xs"), RecipeConfig(), Range(data)).source
    assert "datasets" not in data_of(recipe, plain, prepare(recipe, CONFIG, Range(data)).rows), "daily bars alone are named as they were"


def test_an_input_that_is_not_there_or_is_on_other_axes_is_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.syspath_prepend(str(write_plugin(tmp_path / "alone", "tick_sleeve", TICKS, "trademl.sleeves", tick_flow="SLEEVE")))
        with pytest.raises(FixInput, match="reads the input 'ticks', which nothing here computes"):
            prepare(recipe_named("tick_flow"), CONFIG, Range(data))
        with pytest.raises(FixInput, match="reads the input 'ticks'"):
            snapshots_of(SLEEVES["tick_flow"], data)
    sys.modules.pop("tick_sleeve", None)
    narrow = write_ticks(tmp_path / "narrow")
    module = narrow / "tick_sleeve.py"
    module.write_text(module.read_text().replace("np.nan)}", "np.nan)[:, :-1]}"))
    monkeypatch.syspath_prepend(str(narrow))
    with pytest.raises(BadDataset, match="bought_share is on other axes"):
        prepare(recipe_named("tick_flow"), CONFIG, Range(data))
    sys.modules.pop("tick_sleeve", None)


def test_a_training_names_an_input_that_knew_later_sessions(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less what is bought in a session on average, over the whole file; the honest one is not doubted."""
    request = TrainingRequest(data, tmp_path / "run", None, None, (), 1, 1, "1.0+test")
    config = RecipeConfig.model_validate({"lightgbm": {"trees": 5}, "cpcv": {"groups": 3, "test_groups": 1, "holdout_sessions": 0}})
    doubts = []
    for name, figure in (("honest", "np.nan)}"), ("leaking", "np.nan) - bought.mean()}")):
        folder = write_ticks(tmp_path / name)
        module = folder / "tick_sleeve.py"
        module.write_text(module.read_text().replace("np.nan)}", figure))
        with monkeypatch.context() as patched:
            patched.syspath_prepend(str(folder))
            known = train(recipe_named("tick_flow"), config, replace(request, run=tmp_path / "runs" / name), lambda step: None)
        sys.modules.pop("tick_sleeve", None)
        doubts.append([said for said in known.warnings if "the input ticks of the sleeve tick_flow gives other figures of" in said])
    assert doubts[0] == [] and len(doubts[1]) == 1 and doubts[1][0].startswith("LEAK SUSPECTED")


def test_the_battery_of_sleeves_passes_on_a_sleeve_with_an_input_of_its_own(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(write_ticks(tmp_path))!r}); import pytest;"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-k', 'tick_flow', 'tests/contracts/test_sleeves.py']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout
