"""A recipe has a section for every learner of the table, installed ones too, and says where its learner fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from signals.config import parse
from signals.errors import BadConfig, FixInput
from tests.fakes.learners import write_covariance
from tests.fakes.plugin import write_plugin
from trainer.commands.training import say_where
from trainer.learners import lgbm
from trainer.learners.base import FitDevice, shares_bins
from trainer.learners.networks.rows import NETWORKS
from trainer.learners.parameters import LightGbmConfig
from trainer.learners.table import LEARNERS, learner_named
from trainer.recipes.base import RecipeConfig

BEFORE_NETWORKS = "ba5fca940f6f986e18b4d51049a292f70f38029080ff02b55f8eceb4e7ca1cf9"


def recipe(**sections: Any) -> RecipeConfig:
    return parse(sections, RecipeConfig, where="recipe.yml")


def test_recipes_from_before_networks_keep_their_hash() -> None:
    assert RecipeConfig().fingerprint() == BEFORE_NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_s_parameters_are_the_recipe_s_section_of_its_name(name: str) -> None:
    config = recipe(learner=name, **{name: {"epochs": 2, "patience": 1}}, search={name: {"epochs": [2, 3]}})
    assert config.of(name) == NETWORKS[name].config.model_validate({"epochs": 2, "patience": 1})
    assert config.search.of(name) == {"epochs": (2, 3)}
    assert recipe(**config.model_dump(mode="json")) == config
    assert config.fingerprint() != recipe(learner=name, **{name: {"epochs": 2}}).fingerprint()


def test_the_chosen_learner_s_parameters_are_written_where_they_are_the_defaults() -> None:
    assert recipe(learner="tcn").document()["tcn"]["kernel"] == 3
    assert "tcn" not in recipe().document()


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"lstm": {"hidden": 0}}, "lstm.hidden: Input should be greater than or equal to 1"),
        ({"lstm": [1]}, "lstm: Input should be a valid dictionary"),
        ({"lsmt": {"hidden": 8}}, "unknown key lsmt"),
        ({"search": {"lsmt": {"hidden": [8]}}}, "unknown key search.lsmt"),
        ({"search": {"lstm": {"wings": [2]}}}, "search.lstm names 'wings', which is no parameter of it"),
        ({"search": {"lstm": {"hidden": [0]}}}, "hidden: Input should be greater than or equal to 1"),
        ({"learner": "lsmt"}, "no learner 'lsmt'; choose from: lightgbm, catboost, "),
        ({"transformer": {"size": 30, "heads": 4}}, "4 heads cannot share a token of 30"),
    ],
)
def test_a_section_that_says_nothing_known_is_refused(sections: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfig) as caught:
        recipe(**sections)
    assert said in str(caught.value)


def test_an_installed_learner_has_its_section_its_search_and_its_place_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadConfig, match="unknown key covariance"):
        recipe(covariance={"shrink": 0.5})
    monkeypatch.syspath_prepend(write_covariance(tmp_path))
    config = recipe(learner="covariance", covariance={"shrink": 0.5})
    assert learner_named("covariance", config, 1).config.shrink == 0.5  # type: ignore[attr-defined]
    assert config.search.of("covariance") == {"shrink": (0.5, 1.0)} and "covariance" in LEARNERS


def test_an_installed_learner_does_not_take_a_name_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(write_plugin(tmp_path, "other_ridge", "ROW = None", "trademl.learners", ridge="ROW"))
    with pytest.raises(FixInput, match="takes the name 'ridge', which is taken"):
        list(LEARNERS)


def test_auto_says_which_device_it_took_and_cuda_without_one_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    if lgbm.lightgbm_device(FitDevice.AUTO) is FitDevice.CUDA:
        pytest.skip("this machine has CUDA")
    say_where(("lightgbm", "ridge"), RecipeConfig(), FitDevice.AUTO, shown=True)
    assert capsys.readouterr().err == "lightgbm fits on cpu: it finds no CUDA device here\nridge fits on cpu\n"
    with pytest.raises(FixInput) as caught:
        say_where(("lightgbm",), RecipeConfig(), FitDevice.CUDA, shown=True)
    assert str(caught.value) == "LightGBM has no CUDA device here (--device cuda). Use --device auto or cpu"


@pytest.mark.parametrize("kind", ["cuda", "gpu"])
def test_lightgbm_takes_a_gpu_that_its_build_can_fit_on_and_shares_no_bins_there(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe is what says so: here it is made to answer as it would on such a machine."""
    monkeypatch.setattr(lgbm, "has_gpu_driver", lambda: True)
    monkeypatch.setattr(lgbm, "gpu_kind", lambda: kind)
    assert [lgbm.lightgbm_device(wish) for wish in FitDevice] == [FitDevice.CUDA, FitDevice.CPU, FitDevice.CUDA]
    there, here = (lgbm.LightGbm(LightGbmConfig(), 1, device=device) for device in (FitDevice.CUDA, FitDevice.CPU))
    assert there._parameters(("a",))["device_type"] == kind and "device_type" not in here._parameters(("a",))
    assert (shares_bins(there), shares_bins(here)) == (False, True)


def test_a_build_of_lightgbm_that_cannot_fit_on_a_gpu_is_found_out_by_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    def refuse(settings: dict[str, Any], *_: Any, **__: Any) -> None:
        asked.append(settings["device_type"])
        raise lgbm.lightgbm.basic.LightGBMError("not enabled in this build")

    monkeypatch.setattr(lgbm.lightgbm, "train", refuse)
    assert lgbm.gpu_kind.__wrapped__() == "" and asked == ["cuda", "gpu"]
