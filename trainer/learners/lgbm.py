"""The LightGBM learner: deterministic fits and an exact ONNX export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import lightgbm
import numpy as np

from signals.errors import LearnerFailed
from signals.market.bars import Floats
from signals.text.wording import reason_of
from trainer.learners.base import FitDevice, Matrix, Rows, check_rows, has_gpu_driver, on_cpu_alone
from trainer.learners.bins import Bins
from trainer.learners.boosted import BoostedModel
from trainer.learners.objectives import directions, learned, newest_apart
from trainer.learners.parameters import BOOSTED_FIELDS, LightGbmConfig, Objective
from trainer.learners.trees import read_trees, trees_to_onnx, with_float32_thresholds

OBJECTIVES = {
    Objective.REGRESSION: "regression",
    Objective.QUANTILE: "quantile",
    Objective.RANK: "lambdarank",
    Objective.EXTREMES: "binary",
}
# Whether a feature can be split at all depends on the rows and parameters of a fit: shared bins leave it to the fit.
SHARED: dict[str, object] = {"feature_pre_filter": False, "verbosity": -1}
ON_CPU: dict[str, object] = {"deterministic": True, "force_col_wise": True}


@dataclass(frozen=True)
class LightGbm:
    """The learner. `threads` changes speed only: LightGBM's deterministic mode sums in a fixed order.

    With `classes`, two or more, targets are the numbers of classes, from the worst to the best, whatever the objective.
    """

    config: LightGbmConfig
    seed: int
    threads: int = 1
    device: FitDevice = FitDevice.CPU
    classes: int = 0

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> LightGbmModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        check_rows(features, target, names)

        def binned(rows: Rows) -> lightgbm.Dataset:
            return lightgbm.Dataset(
                features if len(rows) == len(features) else features[rows],
                feature_name=list(names),
                params=self._parameters(names),
                free_raw_data=True,
            )

        return self._fit(binned, target, weight, names, sessions, self._parameters(names))

    @property
    def binning(self) -> tuple[int, int]:
        """What bins depend on next to the features: fits with the same can share them."""
        return self.config.max_bin, self.seed

    def bins(self, features: Matrix, names: tuple[str, ...]) -> Bins:
        """Bins of all these rows, for `fit_binned`."""
        max_bin, seed = self.binning
        return Bins(features, names, {**SHARED, "max_bin": max_bin, "seed": seed, "num_threads": self.threads})

    def fit_binned(
        self, bins: Bins, chosen: Rows, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None
    ) -> LightGbmModel:
        """Fit on the rows numbered `chosen` of `bins`, ascending, whose targets, weights and sessions these are."""
        parameters = {**self._parameters(names), **SHARED}
        return self._fit(lambda rows: bins.of(chosen[rows]), target, weight, names, sessions, parameters)

    def _fit(
        self,
        binned: Callable[[Rows], lightgbm.Dataset],
        target: Floats,
        weight: Floats,
        names: tuple[str, ...],
        sessions: Rows | None,
        parameters: dict[str, object],
    ) -> LightGbmModel:
        """Fit on all rows, of which `binned` makes datasets; where patience asks for it, after finding how long."""

        def data(rows: Rows) -> lightgbm.Dataset:
            rows, label, group = learned(self.config, self.classes, rows, target, sessions)
            return binned(rows).set_label(label).set_weight(weight[rows]).set_group(group)

        trees = self.config.trees
        if self.config.patience:
            fitted, newest = newest_apart(sessions, len(target), self.config)
            held = data(newest)
            trees = self._train(data(fitted), parameters, trees, held).best_iteration
        booster = self._train(data(np.arange(len(target))), parameters, trees, None)
        exact = lightgbm.Booster(model_str=_canonical(booster.model_to_string(num_iteration=-1)))
        return LightGbmModel(exact.model_to_string(num_iteration=-1), names, self.threads)

    def _train(self, data: lightgbm.Dataset, parameters: dict[str, object], trees: int, held: lightgbm.Dataset | None) -> lightgbm.Booster:
        """Fit; where rows are `held` back, until they got no better for as long as patience lasts."""
        stop: list[Callable[..., object]] = []
        if held is not None:
            stop.append(lightgbm.early_stopping(self.config.patience, verbose=False))
        try:
            return lightgbm.train(
                parameters, data, num_boost_round=trees, callbacks=stop, valid_sets=None if held is None else [held.set_reference(data)]
            )
        except lightgbm.basic.LightGBMError as error:
            raise LearnerFailed(f"LightGBM: {reason_of(error)}", fix="Correct the parameters") from None

    def _parameters(self, names: tuple[str, ...]) -> dict[str, object]:
        shape: dict[str, object] = self.config.model_dump(exclude={"trees", *BOOSTED_FIELDS})
        if self.config.objective is Objective.QUANTILE:
            shape["alpha"] = self.config.quantile
        if self.config.monotone:
            shape["monotone_constraints"] = directions(names, self.config)
        return {
            **shape,
            **({"device_type": gpu_kind(), "gpu_use_dp": True} if self.device is FitDevice.CUDA else ON_CPU),
            "objective": "multiclass" if self.classes else OBJECTIVES[self.config.objective],
            "num_class": max(1, self.classes),
            "bagging_freq": 1,
            "seed": self.seed,
            "num_threads": self.threads,
            "verbosity": -1,
        }


@dataclass(frozen=True)
class LightGbmModel(BoostedModel):
    """Fitted trees, held as LightGBM's text with thresholds that float32 can express."""

    threads: int = 1

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.text)

    def to_onnx(self) -> bytes:
        """ONNX graph of the same trees."""
        return trees_to_onnx(read_trees(self.text), len(self.names), self.head.width)

    def _width(self) -> int:
        return int(self._booster.num_model_per_iteration())

    def _sums(self, features: Matrix) -> Floats:
        return np.asarray(self._booster.predict(features, num_threads=self.threads, raw_score=True))

    def _gains(self) -> Floats:
        return np.asarray(self._booster.feature_importance("gain"))

    def _shap(self, features: Matrix) -> Floats:
        return np.asarray(self._booster.predict(features, num_threads=self.threads, pred_contrib=True))


def lightgbm_device(wish: FitDevice) -> FitDevice:
    """Device for `wish`; "cuda" is an error where this build of LightGBM finds no GPU, never a silent fallback."""
    if wish is not FitDevice.CPU and has_gpu_driver() and gpu_kind():
        return FitDevice.CUDA
    return on_cpu_alone(wish, "LightGBM")


@cache
def gpu_kind() -> str:
    """What LightGBM calls a GPU that it can fit on here: "cuda", "gpu" (OpenCL), or "" where a fit on neither works."""
    rows = np.arange(64.0, dtype=np.float32)[:, None]
    for kind in ("cuda", "gpu"):
        settings = {"device_type": kind, "min_data_in_leaf": 8, "verbosity": -1}
        try:
            lightgbm.train(settings, lightgbm.Dataset(rows, rows[:, 0], params=settings), num_boost_round=1)
        except lightgbm.basic.LightGBMError:
            continue
        return kind
    return ""


def _canonical(text: str) -> str:
    """Thresholds that float32 can express, and no trace of the thread count, which changes nothing else."""
    lines = with_float32_thresholds(text).split("\n")
    return "\n".join(line for line in lines if not line.startswith("[num_threads:"))
